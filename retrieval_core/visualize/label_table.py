"""Scores of each label."""

from dataclasses import dataclass

from retrieval_core.evaluation.report import Scores
from retrieval_core.visualize.scoreboard import metric_title

ROWS = 50


@dataclass(frozen=True)
class LabelTable:
    """The labels that are hardest to find.

    Attributes:
        metrics: headings of the columns.
        rows: label, number of its queries, and its scores in [0, 1]; lowest mAP first.
        left_out: labels that are not listed.
    """

    metrics: list[str]
    rows: list[tuple[str, int, list[float]]]
    left_out: int


def label_table(scores: Scores) -> LabelTable | None:
    """A row per label with queries, at most `ROWS`; None where there are fewer than two."""
    if len(scores.by_label) < 2:
        return None
    ordered = sorted(scores.by_label.items(), key=lambda item: item[1]["map"])
    names = [name for name in ordered[0][1] if name != "queries"]
    rows = [
        (label or "(none)", int(found["queries"]), [found[name] for name in names])
        for label, found in ordered[:ROWS]
    ]
    metrics = ["queries", *(metric_title(name) for name in names)]
    return LabelTable(metrics, rows, len(ordered) - len(rows))
