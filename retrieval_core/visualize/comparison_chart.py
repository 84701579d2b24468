"""Average precision of every query under two runs."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from retrieval_core.evaluation.comparison import PairedScores
from retrieval_core.visualize.theme import Theme, new_figure, set_title


@dataclass(frozen=True)
class Names:
    """What a chart calls its two runs."""

    before: str
    after: str


def changes_chart(pair: PairedScores, names: Names, theme: Theme) -> Figure:
    """Left a dot per query, one run against the other; right the changes, sorted.

    Args:
        pair: queries of both runs.
        names: of the runs.
        theme: colours; a lower score is drawn in that of `worse`.
    """
    figure, (scatter, stems) = new_figure(theme, 4.0, panels=2)
    size = float(np.clip(2_000 / len(pair.query_ids), 6, 42))
    _scatter(scatter, pair, names, theme, size)
    _stems(stems, pair, names, theme, size)
    return figure


def _scatter(axis: Axes, pair: PairedScores, names: Names, theme: Theme, size: float) -> None:
    axis.plot([0, 100], [0, 100], color=theme.before, linewidth=1.2, linestyle=(0, (4, 3)))
    colors = [theme.worse if change < 0 else theme.after for change in pair.changes]
    axis.scatter(
        100 * pair.before, 100 * pair.after, size, colors, alpha=0.85, clip_on=False, zorder=3
    )
    set_title(axis, theme, "Average precision per query, %", names.before)
    axis.set_ylabel(names.after, color=theme.muted, fontsize=10, labelpad=8)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", anchor="W")


def _stems(axis: Axes, pair: PairedScores, names: Names, theme: Theme, size: float) -> None:
    order = np.lexsort((pair.query_ids, pair.changes))
    x, before, after = np.arange(len(order)), 100 * pair.before[order], 100 * pair.after[order]
    colors = [theme.worse if change < 0 else theme.after for change in pair.changes[order]]
    lines = np.stack([np.stack([x, before], 1), np.stack([x, after], 1)], axis=1)
    axis.add_collection(LineCollection(list(lines), colors=colors, linewidths=1.3, alpha=0.55))
    axis.scatter(
        x, before, size, color=theme.paper, edgecolors=theme.before, linewidths=1.4, zorder=3
    )
    axis.scatter(x, after, size, colors, zorder=4)
    set_title(axis, theme, "From the largest loss to the largest gain, %",
              f"{len(order):,} queries; hollow: {names.before}, filled: {names.after}")  # fmt: skip
    axis.set_ylim(-4, 104)
    axis.margins(x=0.03)
    axis.set_xticks([])
