"""Progress of long stages: on the terminal or in a log, and an artifact in the Prefect UI."""

import time
from typing import Protocol
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.progress import TaskID

from tasks.reporting import report

UI_INTERVAL = 2.0


class Display(Protocol):
    """Where stages show how far they are: a `rich.progress.Progress`, or lines of text."""

    def add_task(self, description: str, *, total: float | None) -> TaskID:
        """Show one more."""

    def update(self, task_id: TaskID, *, completed: int, total: int | None) -> None:
        """Show how far it is."""

    def remove_task(self, task_id: TaskID) -> None:
        """Show it no longer."""


_display: Display | None = None


def show_in(display: Display | None) -> None:
    """Let stages of this process be shown; None hides them."""
    global _display  # noqa: PLW0603 - one terminal per process
    _display = display


class StageProgress:
    """Counts finished units of one stage.

    Args:
        name: of the stage.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: TaskID | None = None
        self._artifact: UUID | None = None
        self._next_update = 0.0
        if _display is not None:
            self._bar = _display.add_task(name, total=None)

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total` units."""
        if _display is not None and self._bar is not None:
            _display.update(self._bar, completed=done, total=total)
        if time.monotonic() >= self._next_update or done == total:
            self._next_update = time.monotonic() + UI_INTERVAL
            self._report(100.0 * done / max(total, 1))

    def close(self) -> None:
        """Take the bar off the terminal, if that is what shows it."""
        if _display is not None and self._bar is not None:
            _display.remove_task(self._bar)

    def _report(self, percent: float) -> None:
        if self._artifact is None:
            self._artifact = report(create_progress_artifact, percent, description=self._name)
        else:
            report(update_progress_artifact, self._artifact, percent)
