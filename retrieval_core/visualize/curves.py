"""Charts of a training run and of scores with their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from retrieval_core.visualize.theme import Theme, new_figure, set_title


@dataclass(frozen=True)
class ScorePoint:
    """A score with its bootstrap interval, all in [0, 1].

    Attributes:
        label: of the row.
        value: the score.
        interval: lower and upper end, None where none was computed.
        before: whether it was measured before training.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    before: bool


def training_curves(history: Sequence[dict[str, Any]], theme: Theme) -> Figure:
    """Loss and validation mAP per epoch; without validation the loss alone.

    Args:
        history: one `EpochReport` as a dict per epoch, at least one.
        theme: colours.
    """
    epochs = [entry["epoch"] for entry in history]
    scores = [entry.get("validation_map") for entry in history]
    known = [(e, 100 * s) for e, s in zip(epochs, scores, strict=True) if s is not None]
    figure, axes = new_figure(theme, 3.3, panels=2 if known else 1)
    _line(axes[0], theme, epochs, [entry["loss"] for entry in history])
    set_title(axes[0], theme, "Training loss", "epoch")
    if known:
        x, y = zip(*known, strict=True)
        _line(axes[1], theme, x, y)
        best = max(known, key=lambda point: point[1])
        _mark(axes[1], theme, best, f"best {best[1]:.1f}")
        set_title(axes[1], theme, "Validation mAP, %", "epoch")
    return figure


def scores_chart(points: Sequence[ScorePoint], theme: Theme) -> Figure:
    """Scores as dots with whiskers that span their bootstrap intervals.

    Args:
        points: top to bottom, at least one; those of one label share a row.
        theme: colours; dots of before training are hollow.
    """
    labels = list(dict.fromkeys(point.label for point in points))
    compared = any(point.before for point in points)
    figure, (axis,) = new_figure(theme, 0.9 + (0.75 if compared else 0.5) * len(labels))
    for point in points:
        offset = (-0.15 if point.before else 0.15) if compared else 0.0
        _whisker(axis, theme, point, labels.index(point.label), offset)
    axis.set_yticks(range(len(labels)), labels, color=theme.ink)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.margins(x=0.06)
    axis.grid(axis="y", visible=False)
    legend = "hollow: before training, filled: after; " if compared else ""
    axis.set_xlabel(f"{legend}%", color=theme.muted, fontsize=10, labelpad=8)
    return figure


def _whisker(axis: Axes, theme: Theme, point: ScorePoint, row: int, offset: float) -> None:
    color = theme.before if point.before else theme.after
    x, y = 100 * point.value, row + offset
    if point.interval is not None:
        low, high = point.interval
        axis.plot([100 * low, 100 * high], [y, y], color=color, linewidth=2.4, alpha=0.65)
    axis.plot(
        x,
        y,
        "o",
        markersize=9,
        markeredgewidth=2,
        markeredgecolor=color,
        color=theme.paper if point.before else color,
    )
    # a pair's numbers stand on its outer sides, where they cannot meet
    _caption(axis, theme, (x, y), f"{x:.1f}", -18 if offset > 0 else 9)


def _line(axis: Axes, theme: Theme, x: Sequence[float], y: Sequence[float]) -> None:
    axis.plot(x, y, color=theme.after, linewidth=2, marker="o", markersize=4.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(axis="x", visible=False)
    axis.margins(x=0.06, y=0.18)


def _mark(axis: Axes, theme: Theme, point: tuple[float, float], text: str) -> None:
    axis.plot(
        *point, "o", markersize=11, markeredgewidth=2, markeredgecolor=theme.worse, color="none"
    )
    _caption(axis, theme, point, text, 11)


def _caption(
    axis: Axes, theme: Theme, point: tuple[float, float], text: str, offset: float
) -> None:
    """Text centred above a point, or below it where the offset (points) is negative."""
    axis.annotate(
        text,
        point,
        xytext=(0, offset),
        textcoords="offset points",
        ha="center",
        color=theme.ink,
        fontsize=9.5,
    )
