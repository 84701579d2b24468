"""`retrieval checkpoints`: published networks by name."""

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.bars import bars
from flows.cli.console import console, errors, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir
from retrieval_core.errors import ConfigError

checkpoints_app = typer.Typer(help="List and download published networks.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="Names from `retrieval checkpoints list`.")]


@checkpoints_app.command("list")
def list_checkpoints(workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Every published network, its licence, and whether it is on this machine.

    Example: retrieval checkpoints list
    """
    _work_in(workdir)
    from rich import box
    from rich.table import Table

    from retrieval_core.models.zoo import checkpoints

    table = Table(box=box.SIMPLE_HEAVY, caption="! restricted: no commercial use")
    for column in ("name", "what it is", "method", "licence", "here"):
        table.add_column(column, overflow="fold")
    with user_errors():
        for c in checkpoints().values():
            licence = f"[bold]{c.licence} ![/]" if c.restricted else c.licence
            table.add_row(c.name, c.title, c.method, licence, "yes" if c.is_here else "")
    console.print(table)


@checkpoints_app.command("download")
def download_checkpoints(names: Names, workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Download networks before they are needed; what is there already is not fetched again.

    Example: retrieval checkpoints download fire how_r50-
    """
    _work_in(workdir)
    from retrieval_core.models.zoo import checkpoints, find_checkpoint, licence_notice, obtain

    with user_errors():
        for name in names:
            if find_checkpoint(name) is None:
                raise ConfigError(
                    f"{name!r} is no published checkpoint: {', '.join(checkpoints())}"
                )
        for name in names:
            checkpoint = checkpoints()[name]
            if checkpoint.restricted:
                errors.print(f"[bold]licence[/]: {licence_notice(checkpoint)}", highlight=False)
            with bars() as tell, warnings.catch_warnings(action="ignore"):
                path = obtain(checkpoint, partial(tell, name))
            console.print(str(path), soft_wrap=True, markup=False, highlight=False)


def _work_in(workdir: Path) -> None:
    os.environ["RETRIEVAL_WORKDIR"] = str(workdir.expanduser().resolve())
