"""Average precision query by query: the chart, its extremes, and its change."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from retrieval_core.evaluation.bootstrap import Difference, bootstrap_difference
from retrieval_core.evaluation.report import Scores
from retrieval_core.visualize.theme import Theme, new_figure, set_title

RESAMPLINGS = 2_000


def main_setup(scores: Scores) -> str:
    """The setup that the headline reports: medium where difficulties are told apart."""
    names = list(scores.average_precisions)
    return "medium" if "medium" in names else names[0]


def known_precisions(scores: Scores, setup: str | None = None) -> dict[int, float]:
    """Average precision in [0, 1] per query id, of queries with positives in the setup.

    Args:
        scores: of one ranking.
        setup: such as "hard", or another metric of queries; the main setup by default.
    """
    values = scores.by_query.get(setup or main_setup(scores), [])
    pairs = zip(scores.query_ids, values, strict=False)
    return {query: ap for query, ap in pairs if ap is not None}


def paired_difference(
    before: Scores, after: Scores, setup: str, *, confidence: float, seed: int
) -> Difference | None:
    """Change of the mean average precision over the queries that have positives in both.

    Args:
        before: scores of one ranking.
        after: scores of another ranking of the same queries.
        setup: such as "hard".
        confidence: of the paired bootstrap interval, in (0, 1).
        seed: of the bootstrap.

    Returns:
        None where there is no such query.
    """
    old, new = known_precisions(before, setup), known_precisions(after, setup)
    queries = sorted(old.keys() & new.keys())
    if not queries:
        return None
    return bootstrap_difference(
        [old[query] for query in queries],
        [new[query] for query in queries],
        resamplings=RESAMPLINGS,
        confidence=confidence,
        seed=seed,
    )


def precisions_chart(before: Scores | None, after: Scores, theme: Theme) -> Figure:
    """A dot per query, sorted; with a stem from its average precision before training.

    Args:
        before: scores before training, if there was any.
        after: final scores.
        theme: colours.
    """
    new = known_precisions(after)
    old = {} if before is None else known_precisions(before)
    queries = sorted(new, key=lambda query: (old.get(query, new[query]), new[query], query))
    x = np.arange(len(queries))
    y = 100 * np.array([new[query] for query in queries])
    figure, (axis,) = new_figure(theme, 3.6)
    size = float(np.clip(2_000 / max(len(queries), 1), 6, 42))
    if old:
        start = 100 * np.array([old.get(query, new[query]) for query in queries])
        stems = np.stack([np.stack([x, start], 1), np.stack([x, y], 1)], axis=1)
        colors = [theme.after if up else theme.worse for up in y >= start]
        axis.add_collection(LineCollection(list(stems), colors=colors, linewidths=1.3, alpha=0.55))
        axis.scatter(x, start, size, color=theme.paper, edgecolors=theme.before, linewidths=1.4,
                     label=f"before, mean {start.mean():.1f}", zorder=3)  # fmt: skip
        axis.axhline(start.mean(), color=theme.before, linewidth=1.2, linestyle=(0, (4, 3)))
    mean = y.mean() if len(y) else 0.0
    name = "after, " if old else ""
    axis.scatter(x, y, size, color=theme.after, label=f"{name}mean {mean:.1f}", zorder=4)
    axis.axhline(mean, color=theme.after, linewidth=1.2, linestyle=(0, (4, 3)))
    order = "sorted by the value before" if old else "sorted"
    set_title(axis, theme, "Average precision per query, %", f"{len(queries):,} queries, {order}")
    axis.set_ylim(-4, 104)
    axis.margins(x=0.02)
    axis.set_xticks([])
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, labelcolor=theme.ink,
        fontsize=10, borderaxespad=0.2,
    )  # fmt: skip
    return figure


def extreme_queries(scores: Scores, count: int, *, best: bool) -> list[int]:
    """Query ids of the highest or lowest average precision, ties by id."""
    known = known_precisions(scores)
    sign = -1 if best else 1
    return sorted(known, key=lambda query: (sign * known[query], query))[:count]


def changed_queries(before: Scores, after: Scores, count: int, *, up: bool) -> list[int]:
    """Query ids whose average precision rose or fell most, largest change first, ties by id."""
    old, new = known_precisions(before), known_precisions(after)
    sign = 1 if up else -1
    gains = {query: sign * (new[query] - old[query]) for query in old.keys() & new.keys()}
    moved = [query for query in gains if gains[query] > 0]
    return sorted(moved, key=lambda query: (-gains[query], query))[:count]
