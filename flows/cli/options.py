"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path, typer.Argument(help="YAML file of the experiment.", exists=True, dir_okay=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings to change, as key.path=value (value in YAML)."),
]
Workdir = Annotated[
    Path,
    typer.Option(
        envvar="RETRIEVAL_WORKDIR",
        help="Holds artifacts, the MLflow database and Prefect's state; delete it to reset all.",
    ),
]
DEFAULT_WORKDIR = Path("workdir")
