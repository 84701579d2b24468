"""`retrieval study`: several experiments in one table."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli.console import console, open_workdir, progress, user_errors
from flows.cli.options import DEFAULT_WORKDIR, ConfigPath, Overrides, Workdir
from retrieval_core.config import Study, built_in_study, load_study
from retrieval_core.errors import ConfigError

A_ROW_FAILED = 1

Rows = Annotated[
    list[str] | None,
    typer.Option("--row", help="Only this row of the table; may be given several times."),
]


class _FilesToo(TyperGroup):
    """Takes the file of a study in the place of a command, too."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0].endswith((".yaml", ".yml")):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


study_app = typer.Typer(
    cls=_FilesToo,
    help="Run several experiments and put their scores in one table.",
    no_args_is_help=True,
)


@study_app.command()
def stages(
    config: ConfigPath,
    overrides: Overrides = None,
    row: Rows = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """What training adds: the network untrained, pretrained and fine-tuned.

    Example: retrieval study stages configs/cgd_resnet50_cars196.yaml
    """
    with user_errors():
        study = built_in_study("stages", config, overrides or []).only(row or [])
    _run(study, workdir)


@study_app.command()
def cgd(
    config: ConfigPath,
    overrides: Overrides = None,
    row: Rows = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """The twelve combinations of global descriptors: S, M, G, SM, MS, SG, ... GSM.

    Example: retrieval study cgd configs/cgd_resnet50_cars196.yaml training.epochs=20
    """
    with user_errors():
        study = built_in_study("cgd", config, overrides or []).only(row or [])
        _check_start(study)
    _run(study, workdir)


@study_app.command()
def run(
    study: Annotated[
        Path, typer.Argument(help="YAML file of the study.", exists=True, dir_okay=False)
    ],
    overrides: Overrides = None,
    row: Rows = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """A study of your own; the word "run" may be left out.

    Example: retrieval study configs/studies/cars196-half_losses.yaml
    """
    with user_errors():
        loaded = load_study(study, overrides or []).only(row or [])
    _run(loaded, workdir)


def _check_start(study: Study) -> None:
    """Fail before any row does, where all start from another method's network."""
    from retrieval_core.models.zoo import find_checkpoint

    weights = next(iter(study.rows.values())).model.weights
    checkpoint = find_checkpoint(weights)
    if checkpoint and checkpoint.method != "backbone":
        raise ConfigError(
            f"model.weights: {weights} is a {checkpoint.method} checkpoint, the rows are of cgd; "
            "start from those of the backbone, such as model.weights=hub"
        )


def _run(study: Study, workdir: Path) -> None:
    """Run every row, print the table, and end with an error if a row did."""
    root = open_workdir(workdir)
    from flows.study import study as flow
    from flows.study_tables import print_study

    with progress(), user_errors():
        result = flow(study, str(root))
    if not print_study(console, result):
        raise typer.Exit(A_ROW_FAILED)
