"""What `retrieval study` prints."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from flows.comparison_tables import VERDICTS
from flows.result import FlowResult
from flows.summary import print_addresses
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.visualize.scoreboard import headline_metrics, metric_title
from retrieval_core.visualize.study import NUMBERS


def print_study(console: Console, result: FlowResult) -> bool:
    """Print the scores, then the rows, then where everything is.

    Returns:
        Whether every row was scored.
    """
    (study,) = result.artifacts["study"]
    table = ArtifactDirectory(study.uri).read_json(NUMBERS)
    if table["lines"]:
        console.print(scores_table(table))
        console.print(rows_table(table))
    for row, error in table["errors"].items():
        console.print(f"[bold red]{row} failed[/]: ", end="")
        console.print(error, markup=False, highlight=False, soft_wrap=True)
    print_addresses(console, result)
    return not table["errors"]


def scores_table(study: dict[str, Any]) -> Table:
    """Scores in percent with their intervals, and below them the change against the first row."""
    metrics = headline_metrics({name for line in study["lines"] for name in line["cells"]})
    table = Table(
        box=box.SIMPLE_HEAVY,
        title=f"scores, %, with {100 * study['confidence']:g} % intervals",
        caption=f"* best of the column; +, - against {study['baseline']}",
    )
    table.add_column("row")
    table.add_column("descriptor")
    for name in metrics:
        table.add_column(metric_title(name), justify="right")
    for line in study["lines"]:
        cells = (_cell(line["cells"].get(name)) for name in metrics)
        table.add_row(line["row"], line["descriptor"], *cells)
    return table


def rows_table(study: dict[str, Any]) -> Table:
    """What each row cost, and what is behind it."""
    table = Table(box=box.SIMPLE_HEAVY, title="rows")
    for name in ("row", "descriptor"):
        table.add_column(name)
    for name in ("dimensions", "training, s"):
        table.add_column(name, justify="right")
    for name in ("network", "scores"):
        table.add_column(name, no_wrap=True)
    for line in study["lines"]:
        keys = (line["keys"][name] for name in ("network", "scores"))
        seconds = f"{line['training_seconds']:.1f}"
        table.add_row(
            line["row"], line["descriptor"], str(line["dimensions"] or ""), seconds, *keys
        )
    return table


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    lines = [f"{100 * cell['value']:.1f}{' *' if cell['best'] else ''}"]
    if cell["interval"]:
        low, high = cell["interval"]
        lines.append(f"[dim]{100 * low:.1f} - {100 * high:.1f}[/]")
    if cell["verdict"]:
        lines.append(f"{100 * cell['difference']['mean']:+.1f} {VERDICTS[cell['verdict']]}")
    return "\n".join(lines)
