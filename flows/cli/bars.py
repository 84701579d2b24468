"""Progress bars of work outside flows: one for each thing that is downloaded, unpacked or read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from flows.cli.console import errors
from flows.cli.lines import ProgressLines

Tell = Callable[[str, int, int], None]


@contextmanager
def bars() -> Iterator[Tell]:
    """Draw bars while the block runs; call with what is done, bytes done and bytes to be done.

    Without a terminal there is a line now and then instead.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        display = progress if errors.is_interactive else ProgressLines(errors, decimal)
        known: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = display.add_task(what, total=None)
            display.update(known[what], completed=done, total=total or None)

        yield tell
