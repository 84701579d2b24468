"""`retrieval compare`: finished runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import console, open_workdir, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Two or more runs: name, start of the id in MLflow, YAML file of the experiment, "
            "or directory of a report or of scores. The first is what the others are measured "
            "against."
        ),
    ],
    workdir: Workdir = DEFAULT_WORKDIR,
    output: Annotated[
        Path | None,
        typer.Option(help="Directory of compare.html; default: comparisons/ in the workdir."),
    ] = None,
    queries: Annotated[
        int, typer.Option(min=0, help="Largest gains and losses to show as photographs.")
    ] = 3,
) -> None:
    """Compare finished runs: scores, chance, settings, and each query's gain or loss.

    Example: retrieval compare how_lite0_demo fire_lite0_demo
    """
    if len(runs) < 2:
        raise typer.BadParameter("give at least two runs", param_hint="RUNS")
    root = open_workdir(workdir)
    from flows.comparison_tables import print_review
    from tasks.compare import compare_runs

    with user_errors():
        review, directory = compare_runs(runs, str(root), str(output) if output else None, queries)
    print_review(console, review, directory)
