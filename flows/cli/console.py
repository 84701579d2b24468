"""What surrounds a command: settings, progress bars and users' errors."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.cli.lines import ProgressLines
from retrieval_core.config import PipelineConfig, load_config
from retrieval_core.errors import RetrievalError
from tasks.environment import prepare_environment

USER_ERROR = 2

console = Console()
errors = Console(stderr=True)


def begin(config: Path, overrides: list[str] | None, workdir: Path) -> tuple[PipelineConfig, Path]:
    """The checked settings and the work directory, which is made once they are accepted."""
    with user_errors():
        settings = load_config(config, overrides or [])
    return settings, open_workdir(workdir)


def open_workdir(workdir: Path) -> Path:
    """The absolute work directory, made if it is not there."""
    with user_errors():
        return prepare_environment(workdir)


def execute(flow: Callable[..., Any], config: PipelineConfig, workdir: Path) -> Any:
    """The result of a flow, with a bar per running stage."""
    with progress(), user_errors():
        return flow(config, str(workdir))


@contextmanager
def progress() -> Iterator[None]:
    """Show how far running stages are while the block runs: bars, or lines without a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tasks.progress import show_in

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as display:
        show_in(display if errors.is_interactive else ProgressLines(errors))
        try:
            yield
        finally:
            show_in(None)


@contextmanager
def user_errors(status: int = USER_ERROR) -> Iterator[None]:
    """Print an error that the user can mend as one message, and end with this status."""
    try:
        yield
    except RetrievalError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        errors.print(str(error), markup=False, highlight=False)
        sys.exit(status)
