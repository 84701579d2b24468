"""How a database uses its visual words, as a chart."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from retrieval_core.index.word_use import WordUse
from retrieval_core.visualize.theme import Theme, new_figure, set_title

LABELS = 9
"""Most of the histogram's bars; the labels of more would touch."""


def words_title(use: WordUse) -> str:
    """The numbers in words."""
    return (
        f"{100 * use.used:.1f} % of {len(use.counts):,} words in use, evenness "
        f"{100 * use.evenness:.1f} % ({use.entropy:.2f} bits, as {use.effective_words:,.0f} "
        "words used alike)"
    )


def word_use_chart(use: WordUse, theme: Theme, *, unit: str = "images per word") -> Figure:
    """Uses of every word, most used first, on logarithmic axes; beside it their histogram.

    The dashed line is the use that every word would have if all were used alike.

    Args:
        use: of the words.
        theme: colours.
        unit: what was counted.
    """
    figure, (ranked, histogram) = new_figure(theme, 3.6, panels=2)
    _draw_ranked(ranked, theme, use)
    set_title(ranked, theme, unit.capitalize(), "word, most used first")
    _draw_histogram(histogram, theme, use)
    crowded = len(histogram.patches) > LABELS
    set_title(histogram, theme, "Number of words", f"{unit}, from" if crowded else unit)
    return figure


def _draw_ranked(axis: Axes, theme: Theme, use: WordUse) -> None:
    counts = use.counts[use.counts > 0]
    rank = np.arange(1, len(counts) + 1)
    axis.fill_between(rank, counts, 0.8, step="mid", color=theme.after, alpha=0.18, linewidth=0)
    axis.plot(rank, counts, color=theme.after, linewidth=2, drawstyle="steps-mid")
    even = use.counts.mean()
    axis.set_xlim(0.9, 1.1 * len(use.counts))
    axis.set_ylim(0.8, 1.6 * max(counts.max(initial=1), even))
    axis.set_xscale("log")
    axis.set_yscale("log")
    for scale in (axis.xaxis, axis.yaxis):
        # "1, 2, 5, 10" where few powers of ten would be labelled
        decades = np.log10(scale.get_view_interval()).max()
        scale.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3.5 else (1,)))
        scale.set_major_formatter("{x:,.0f}")
        scale.set_minor_locator(NullLocator())
    if even > 0:
        axis.axhline(even, color=theme.muted, linewidth=1.4, linestyle=(0, (4, 3)))
        axis.annotate(
            f"even use, {even:.3g}", (0.9, even), xytext=(8, -5), textcoords="offset points",
            color=theme.muted, fontsize=9.5, va="top",
        )  # fmt: skip


def _draw_histogram(axis: Axes, theme: Theme, use: WordUse) -> None:
    """A bar of unused words, then one per doubling of the use: 1, 2 to 3, 4 to 7 ..."""
    doublings = int(use.counts.max()).bit_length()
    edges = [0, *(2**power for power in range(doublings + 1))]
    number, _ = np.histogram(use.counts, [edge - 0.5 for edge in edges])
    places = np.arange(len(number))
    axis.bar(places, number, 0.9, color=theme.after, align="edge")
    even = float(use.counts.mean())
    place = 1 + np.log2(even) if even >= 1 else even
    axis.axvline(place, color=theme.muted, linewidth=1.4, linestyle=(0, (4, 3)))
    labels = [f"{edge:,}" for edge in edges[:-1]]
    if len(labels) <= LABELS:
        ends = [f"-{edge - 1:,}" if edge > 2 else "" for edge in edges[1:]]
        labels = [label + end for label, end in zip(labels, ends, strict=True)]
    every = 1 + len(labels) // (LABELS + 1)
    axis.set_xticks(places[::every] + 0.45, labels[::every])
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.grid(visible=False, axis="x")
