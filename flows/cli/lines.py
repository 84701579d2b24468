"""Progress where no terminal shows bars: a line now and then, as a log file wants it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from rich.console import Console
from rich.progress import TaskID

INTERVAL = 30.0


@dataclass
class _Shown:
    description: str
    next_line: float


class ProgressLines:
    """Tells of what takes longer than half a minute, at most twice a minute, with the time of day.

    Several threads may use it.

    Args:
        console: where the lines go.
        amount: how a number of finished units is written.
    """

    def __init__(self, console: Console, amount: Callable[[int], str] = "{:,}".format) -> None:
        self._console, self._amount = console, amount
        self._shown: list[_Shown] = []
        self._adding = Lock()

    def add_task(self, description: str, *, total: float | None) -> TaskID:
        """Begin with something of which there will be news."""
        del total
        with self._adding:
            self._shown.append(_Shown(description, time.monotonic() + INTERVAL))
            return TaskID(len(self._shown) - 1)

    def update(self, task_id: TaskID, *, completed: int, total: int | None) -> None:
        """Print how far it is, if it is time for a line."""
        shown = self._shown[task_id]
        if time.monotonic() < shown.next_line:
            return
        shown.next_line = time.monotonic() + INTERVAL
        of = f" of {self._amount(total)}" if total else ""
        line = f"{time.strftime('%H:%M:%S')} {shown.description}: {self._amount(completed)}{of}"
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def remove_task(self, task_id: TaskID) -> None:
        """Nothing more will be told of it: lines stay."""
