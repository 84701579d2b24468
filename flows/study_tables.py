"""What `retrieval study` prints."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from flows.result import FlowResult
from flows.summary import print_addresses
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.visualize.scoreboard import metric_title
from retrieval_core.visualize.study import NUMBERS, study_metrics

# how a change is shown
VERDICTS = {
    "clear gain": ("green", ""),
    "clear loss": ("red", ""),
    "within chance": ("dim", "~ "),
}


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
    metrics = study_metrics({name for line in study["lines"] for name in line["cells"]})
    table = Table(
        box=box.SIMPLE_HEAVY,
        title=f"scores, %, with {100 * study['confidence']:g} % intervals",
        caption=f"* best; third lines: against {study['baseline']}, ~ within chance",
        padding=(0, 1, 0, 0),
    )
    table.add_column("row", no_wrap=True)
    for name in metrics:
        table.add_column(metric_title(name), justify="right")
    for line in study["lines"]:
        table.add_row(_name(line), *(_cell(line["cells"].get(name)) for name in metrics))
    return table


def rows_table(study: dict[str, Any]) -> Table:
    """What each row cost, and the keys of what is behind it."""
    table = Table(box=box.SIMPLE_HEAVY, title="rows")
    table.add_column("row", no_wrap=True)
    table.add_column("dimensions", justify="right")
    table.add_column("training, s", justify="right")
    table.add_column("network", no_wrap=True)
    table.add_column("scores", no_wrap=True)
    for line in study["lines"]:
        numbers = (str(line["dimensions"] or ""), f"{line['training_seconds']:.1f}")
        keys = (line["keys"][name] for name in ("network", "scores"))
        table.add_row(_name(line), *numbers, *keys)
    return table


def _name(line: dict[str, Any]) -> str:
    return f"{line['row']}\n[dim]{line['descriptor']}[/]"


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    lines = [f"[bold]{_percent(cell['value'])} *[/]" if cell["best"] else _percent(cell["value"])]
    if cell["interval"]:
        # so that six scores have room beside each other
        ends = "-".join(map(_percent, cell["interval"])).replace("100.0", "100")
        lines.append(f"[dim]{ends}[/]")
    if cell["verdict"]:
        style, sign = VERDICTS[cell["verdict"]]
        lines.append(f"[{style}]{sign}{100 * cell['difference']['mean']:+.1f}[/]")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
