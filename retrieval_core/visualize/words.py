"""How a database uses its visual words, as a chart."""

import numpy as np
from matplotlib.figure import Figure

from retrieval_core.index.word_use import WordUse
from retrieval_core.visualize.theme import Theme, new_figure, set_title


def words_title(use: WordUse) -> str:
    """The numbers in words."""
    return (
        f"{100 * use.used:.1f} % of {len(use.counts):,} words in use, evenness "
        f"{100 * use.evenness:.1f} % ({use.entropy:.2f} bits, as {use.effective_words:,.0f} "
        "words used alike)"
    )


def word_use_chart(use: WordUse, theme: Theme, *, unit: str = "images") -> Figure:
    """Uses of every word, most used first, on logarithmic axes; the dashed line is even use.

    Args:
        use: of the words.
        theme: colours.
        unit: what was counted.
    """
    counts = use.counts[use.counts > 0]
    rank = np.arange(1, len(counts) + 1)
    figure, (axis,) = new_figure(theme, 3.6)
    axis.fill_between(rank, counts, 0.8, step="mid", color=theme.after, alpha=0.18, linewidth=0)
    axis.plot(rank, counts, color=theme.after, linewidth=2, drawstyle="steps-mid")
    even = use.counts.mean()
    axis.axhline(even, color=theme.before, linewidth=1.4, linestyle=(0, (4, 3)))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(0.9, 1.1 * len(use.counts))
    axis.set_ylim(0.8, 1.6 * max(counts.max(initial=1), even))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter("{x:,.0f}")
    axis.annotate(
        f"even use, {even:.3g}", (0.9, even), xytext=(8, 5), textcoords="offset points",
        color=theme.muted, fontsize=9.5,
    )  # fmt: skip
    axis.tick_params(which="minor", length=0)
    set_title(axis, theme, f"Use of visual words, {unit}", "word, most used first")
    return figure
