"""Precision against recall, per setup and ranking, as a chart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retrieval_core.data.catalogue import Catalogue
from retrieval_core.evaluation.precision_recall import Float64, precision_recall
from retrieval_core.evaluation.report import ALL
from retrieval_core.evaluation.revisited import SETUPS
from retrieval_core.visualize.inputs import Comparison, ScoredRanking
from retrieval_core.visualize.theme import Theme, new_figure, set_title


@dataclass(frozen=True, eq=False)
class RecallCurve:
    """The mean curve of one ranking.

    Attributes:
        label: for the legend.
        descriptor: number of the descriptor, which decides the colour.
        before: whether it was measured before training.
        precision: per setup (L,) in [0, 1], at recalls from 0 to 1.
    """

    label: str
    descriptor: int
    before: bool
    precision: dict[str, Float64]


def recall_curves(catalogue: Catalogue, found: Sequence[Comparison]) -> list[RecallCurve]:
    """The curves of all rankings, final ones first within a descriptor."""
    curves = []
    for number, comparison in enumerate(found):
        runs = (comparison.final, comparison.before)
        curves += [_curve(catalogue, number, comparison, run) for run in runs if run is not None]
    return curves


def recall_chart(curves: Sequence[RecallCurve], theme: Theme) -> Figure:
    """A panel per setup; rankings before training are dashed.

    Args:
        curves: at least one.
        theme: colours.
    """
    known = {setup for curve in curves for setup in curve.precision}
    setups = [setup for setup in (*SETUPS, ALL) if setup in known]
    figure, axes = new_figure(theme, 4.0, panels=len(setups))
    for axis, setup in zip(axes, setups, strict=True):
        for curve in reversed(curves):  # the final ones lie on top
            if setup in curve.precision:
                _draw(axis, theme, curve, curve.precision[setup])
        name = "" if setup == ALL else f"{setup}: "
        set_title(axis, theme, f"{name}precision, %".capitalize(), "recall, %")
        axis.set_xlim(-2, 102)
        axis.set_ylim(-3, 105)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside lower left", ncols=4, frameon=False,
        labelcolor=theme.ink, fontsize=10,
    )  # fmt: skip
    return figure


def _curve(
    catalogue: Catalogue, number: int, comparison: Comparison, run: ScoredRanking
) -> RecallCurve:
    before = run.phase == "before" and comparison.before is not None
    phase = ", before" if before else ", after" if comparison.before else ""
    precision = precision_recall(run.ranking, catalogue)
    return RecallCurve(f"{comparison.title}{phase}", number, before, precision)


def _draw(axis: Axes, theme: Theme, curve: RecallCurve, precision: Float64) -> None:
    recall = np.linspace(0, 100, len(precision))
    axis.plot(
        recall,
        100 * precision,
        color=(theme.after, theme.worse, theme.muted)[curve.descriptor % 3],
        linewidth=1.6 if curve.before else 2.4,
        linestyle=(0, (3, 2)) if curve.before else "solid",
        alpha=0.75 if curve.before else 1,
        label=curve.label,
    )
