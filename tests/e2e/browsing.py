"""Prefect's run form in a real browser, as a user fills it in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE_MS = 60_000
CLASS = "contains(concat(' ', @class, ' '), ' {} ')"


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of an installed browser; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found[0], args=FLAGS)
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
        toast = self._page.locator(".p-toast")
        toast.first.wait_for()
        return str(toast.first.inner_text())
