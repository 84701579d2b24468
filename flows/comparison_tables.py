"""What `retrieval compare` prints."""

from rich import box
from rich.console import Console
from rich.table import Table

from retrieval_core.evaluation.comparison import PairedScores
from retrieval_core.evaluation.review import Review
from retrieval_core.visualize.comparison import all_metrics, left_out
from retrieval_core.visualize.scoreboard import metric_title

VERDICTS = {
    "clear gain": "[green]gain[/]",
    "clear loss": "[red]loss[/]",
    "within chance": "[dim]chance[/]",
}


def print_review(console: Console, review: Review, directory: str) -> None:
    """Print who is who, the scores, what was set differently, and where the page is."""
    for number, run in enumerate(review.runs):
        line = f"{review.letter(number)}  {run.name}  {run.source}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(scores_table(review))
    console.print(differences_table(review))
    for line in left_out(review):
        console.print(line, markup=False, highlight=False)
    console.print(settings_table(review) if review.differences else "no setting differs\n")
    page = f"comparison {directory}/compare.html"
    console.print(page, soft_wrap=True, markup=False, highlight=False)


def scores_table(review: Review) -> Table:
    """Scores as each run reported them, in percent; a column per run."""
    percent = f"{100 * review.confidence:g} %"
    table = Table(box=box.SIMPLE_HEAVY, title=f"scores, %, with the runs' intervals ({percent})")
    table.add_column("", no_wrap=True)
    table.add_column("score", no_wrap=True)
    for number in range(len(review.runs)):
        table.add_column(review.letter(number), justify="right")
    for descriptor, name, values in all_metrics(review):
        cells = (
            _value(value, run.descriptors[descriptor].scores.intervals.get(name))
            if value is not None
            else ""
            for run, value in zip(review.runs, values, strict=True)
        )
        table.add_row(descriptor, metric_title(name), *cells)
    return table


def differences_table(review: Review) -> Table:
    """Changes of the scores against A, in percent."""
    table = Table(
        box=box.SIMPLE_HEAVY,
        title="scores against A, over the same queries",
        caption="queries: better / equal / worse; p: paired permutation test",
    )
    for name in ("", "score", ""):
        table.add_column(name, no_wrap=True)
    for name in ("difference, %", "p", "queries"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for pairing in review.pairings:
        for pair in pairing.setups:
            letter = review.letter(pairing.number)
            table.add_row(pairing.descriptor, pair.setup, letter, *_change(pair))
    return table


def settings_table(review: Review) -> Table:
    """Settings that differ, a column per run."""
    table = Table(box=box.SIMPLE_HEAVY, title="settings that differ")
    table.add_column("setting")
    for number in range(len(review.runs)):
        table.add_column(review.letter(number))
    for name, values in review.differences.items():
        table.add_row(name, *("" if value is None else str(value) for value in values))
    return table


def _value(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{100 * value:.1f}"
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _change(pair: PairedScores) -> tuple[str, str, str, str]:
    change = pair.difference
    counts = " / ".join(str(count) for count in pair.counts.values())
    return (
        f"{100 * change.mean:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]",
        f"{pair.p_value:.3f}",
        counts,
        VERDICTS[pair.verdict],
    )
