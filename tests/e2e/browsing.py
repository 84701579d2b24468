"""Prefect's run form in a real browser, as a user fills it in."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
CLASS = "contains(concat(' ', @class, ' '), ' {} ')"


def installed_browser() -> str | None:
    """Path of a browser that can be driven; None where there is none, or no playwright."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of the installed browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=installed_browser(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


class RunForm:
    """The form that starts a run of a deployment."""

    def __init__(self, page: Any, server: str, deployment_id: str) -> None:
        self._page = page
        page.goto(f"{server}/deployments/deployment/{deployment_id}/run")
        self.field("Extends").wait_for()

    def field(self, *titles: str) -> Any:
        """The field below the sections of these titles."""
        scope = self._page
        for title in titles:
            label = CLASS.format("schema-form-property__label")
            body = CLASS.format("schema-form-property")
            text = f"normalize-space()='{title} (Optional)'"
            scope = scope.locator(f"xpath=.//span[{label} and {text}]/ancestor::div[{body}][1]")
            scope = scope.first
        return scope

    def fill(self, *titles: str, value: object) -> None:
        """Type into a field."""
        self.field(*titles).locator("input, textarea").first.fill(str(value))

    def choose(self, *titles: str, value: str) -> None:
        """Choose from a drop-down."""
        self.field(*titles).locator("button.p-select-button__control").focus()
        self._page.keyboard.press("Space")
        self._page.locator(f".p-select-option:has-text('{value}')").click()

    def add(self, *titles: str, value: object) -> None:
        """Add an item to a list."""
        field = self.field(*titles)
        field.get_by_role("button", name="Add item").click()
        field.locator("input").last.fill(str(value))

    def submit(self) -> tuple[int, dict[str, Any]]:
        """Status and content of the server's answer."""
        with self._page.expect_response("**/create_flow_run") as answer:
            self._page.get_by_role("button", name="Submit").last.click()
        return answer.value.status, answer.value.json()

    def message(self) -> str:
        """What the form says after a refusal."""
        return str(self._page.get_by_text("Validation failed").first.inner_text())
