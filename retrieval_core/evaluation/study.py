"""The table of a study: every row's scores, and what each gained against the first row."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.bootstrap import Difference
from retrieval_core.evaluation.comparison import PairedScores, Verdict, compare_scores
from retrieval_core.evaluation.report import Scores


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A row of a study by one of its descriptors.

    Attributes:
        row: its name.
        descriptor: "asmk", "global" or "processed".
        scores: of the row's final network.
        dimensions: of the global descriptor, None of others.
        training_seconds: that training took, 0 where nothing was trained.
        keys: of what is behind the scores: the dataset's digest, artifacts' keys.
    """

    row: str
    descriptor: str
    scores: Scores
    dimensions: int | None
    training_seconds: float
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """A score, all in [0, 1].

    Attributes:
        value: mean over the queries.
        interval: bootstrap interval, None where none was computed.
        best: whether no other line of the same dataset has a higher one.
        difference: from the first row, over the queries that both have; None in the first row
            itself, and where they cannot be paired.
        p_value: of the paired permutation test.
        verdict: of both.
    """

    value: float
    interval: tuple[float, float] | None
    best: bool
    difference: Difference | None = None
    p_value: float | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Line:
    """What the table says of a `ScoredRow`; `cells` are by metric."""

    row: str
    descriptor: str
    dimensions: int | None
    training_seconds: float
    keys: Mapping[str, str]
    cells: dict[str, Cell]


@dataclass(frozen=True)
class StudyTable:
    """A study's result.

    Attributes:
        name: of the study.
        rows: their names.
        settings: per dotted setting that differs, its value in each row.
        lines: of the rows that were scored, in their order.
        errors: per row that failed, why.
        confidence: of the intervals, in (0, 1).
    """

    name: str
    rows: list[str]
    settings: Mapping[str, list[Any]]
    lines: list[Line]
    errors: Mapping[str, str]
    confidence: float

    @property
    def baseline(self) -> str | None:
        """The row that others are measured against: the first that was scored."""
        return self.lines[0].row if self.lines else None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "baseline": self.baseline}


def score_lines(
    rows: Sequence[ScoredRow], *, confidence: float = 0.95, seed: int = 0
) -> list[Line]:
    """Compare rows with the first one, descriptor by descriptor.

    Args:
        rows: those of one name one after another.
        confidence: of the paired intervals, in (0, 1).
        seed: of the bootstrap and the permutation test.
    """
    first = {row.descriptor: row for row in rows if row.row == rows[0].row}
    highest = _highest(rows)
    lines = []
    for row in rows:
        pairs = _pairs(first.get(row.descriptor), row, confidence, seed)
        cells = {
            metric: _cell(row, metric, pairs.get(metric), highest) for metric in row.scores.metrics
        }
        facts = (row.row, row.descriptor, row.dimensions, row.training_seconds, row.keys)
        lines.append(Line(*facts, cells))
    return lines


def _highest(rows: Sequence[ScoredRow]) -> dict[tuple[str, str], float]:
    """Per dataset and metric the highest value."""
    highest: dict[tuple[str, str], float] = {}
    for row in rows:
        for metric, value in row.scores.metrics.items():
            place = (row.keys["dataset"], metric)
            highest[place] = max(value, highest.get(place, value))
    return highest


def _pairs(
    first: ScoredRow | None, row: ScoredRow, confidence: float, seed: int
) -> dict[str, PairedScores]:
    """Per metric the queries of both, none where rows were scored on other datasets."""
    if first is None or first is row or first.keys["dataset"] != row.keys["dataset"]:
        return {}
    try:
        pairs = compare_scores(first.scores, row.scores, confidence=confidence, seed=seed)
    except RankingError:
        return {}
    return {pair.metric: pair for pair in pairs}


def _cell(
    row: ScoredRow,
    metric: str,
    pair: PairedScores | None,
    highest: Mapping[tuple[str, str], float],
) -> Cell:
    value = row.scores.metrics[metric]
    interval = row.scores.intervals.get(metric)
    best = value == highest[row.keys["dataset"], metric]
    if pair is None:
        return Cell(value, interval, best)
    return Cell(value, interval, best, pair.difference, pair.p_value, pair.verdict)
