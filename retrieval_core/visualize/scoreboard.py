"""Scores as rows of tables and points of charts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from retrieval_core.evaluation.bootstrap import Difference
from retrieval_core.evaluation.comparison import metric_of
from retrieval_core.evaluation.report import ALL
from retrieval_core.evaluation.revisited import SETUPS
from retrieval_core.visualize.average_precision import main_setup, paired_difference
from retrieval_core.visualize.curves import ScorePoint
from retrieval_core.visualize.inputs import Comparison, ScoredRanking

HEADLINE = ("map_easy", "map_medium", "map_hard", "map", "map_over_labels")
RECALL = "recall@"


@dataclass(frozen=True)
class ScoreRow:
    """A score of one descriptor before and after training, as fractions of 1.

    Attributes:
        title: the descriptor in words.
        metric: the score in words.
        before: value and interval, None where nothing was trained.
        final: value and interval.
        difference: with its paired interval, None without a score before.
        is_main: whether it is the headline.
    """

    title: str
    metric: str
    before: ScorePoint | None
    final: ScorePoint
    difference: Difference | None
    is_main: bool

    @property
    def verdict(self) -> str:
        """What the paired interval says, in words."""
        if self.difference is None:
            return ""
        if self.difference.low > 0:
            return "clear gain"
        return "clear loss" if self.difference.high < 0 else "within chance"


def score_rows(found: Sequence[Comparison], *, confidence: float, seed: int) -> list[ScoreRow]:
    """Scores per descriptor: mAP in the setups that any query has positives in, then others.

    Args:
        found: one comparison per descriptor.
        confidence: of the paired bootstrap interval, in (0, 1).
        seed: of the paired bootstrap.
    """
    rows = []
    for comparison in found:
        scores = comparison.final.scores
        for setup in (*SETUPS, ALL, *scores.query_scores):
            metric = metric_of(setup)
            if setup in scores.by_query and metric in scores.metrics:
                difference = _difference(comparison, setup, confidence, seed)
                rows.append(_row(comparison, metric, difference, setup == main_setup(scores)))
    return rows


def score_points(rows: Sequence[ScoreRow]) -> list[ScorePoint]:
    """The dots of the chart, top to bottom."""
    points = ((row.before, row.final) for row in rows)
    return [point for pair in points for point in pair if point is not None]


def all_scores(runs: Sequence[ScoredRanking]) -> list[tuple[str, list[float | None]]]:
    """Every metric in words with its value per run, in [0, 1]."""
    names = dict.fromkeys(name for run in runs for name in run.scores.metrics)
    # "map" is there for every dataset, and where difficulties are told apart it repeats "medium"
    if "map_medium" in names:
        names.pop("map", None)
    ordered = sorted(names, key=_difficulty)
    return [(metric_title(n), [run.scores.metrics.get(n) for run in runs]) for n in ordered]


def headline_metrics(known: Collection[str]) -> list[str]:
    """The metrics that a small table has room for, in its order."""
    names = [name for name in HEADLINE if name in known]
    names += sorted(name for name in known if name.startswith("map@") or name == "nmi")
    recalls = [name for name in known if name.startswith(RECALL)]
    recalls.sort(key=lambda name: int(name.removeprefix(RECALL)))
    if "map_medium" in names:
        names = [name for name in names if name not in ("map", "map_over_labels")]
        recalls = recalls[:1]
    return names + recalls


def metric_title(name: str) -> str:
    """A metric's name in words: "precision@5_hard" becomes "precision@5, hard"."""
    head, _, setup = name.partition("_")
    head = head.replace("map", "mAP").replace("nmi", "NMI").replace("@r", "@R")
    separator = " " if setup.startswith(("over", "against")) else ", "
    return f"{head}{separator}{setup.replace('_', ' ')}" if setup else head


def _difficulty(name: str) -> tuple[str, int]:
    """Orders metrics by name, those of one name from easy to hard."""
    head, _, setup = name.partition("_")
    return head, list(SETUPS).index(setup) if setup in SETUPS else -1


def _difference(
    comparison: Comparison, setup: str, confidence: float, seed: int
) -> Difference | None:
    if comparison.before is None:
        return None
    before, after = comparison.before.scores, comparison.final.scores
    return paired_difference(before, after, setup, confidence=confidence, seed=seed)


def _row(
    comparison: Comparison, metric: str, difference: Difference | None, is_main: bool
) -> ScoreRow:
    before = comparison.before
    has_before = before is not None and metric in before.scores.metrics
    return ScoreRow(
        title=comparison.title,
        metric=metric_title(metric),
        before=_point(comparison, before, metric) if before and has_before else None,
        final=_point(comparison, comparison.final, metric),
        difference=difference,
        is_main=is_main,
    )


def _point(comparison: Comparison, run: ScoredRanking, metric: str) -> ScorePoint:
    return ScorePoint(
        label=f"{comparison.title}\n{metric_title(metric)}",
        value=run.scores.metrics[metric],
        interval=run.scores.intervals.get(metric),
        before=run.phase == "before",
    )
