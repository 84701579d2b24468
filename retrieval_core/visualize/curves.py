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
        points: rows from top to bottom, at least one.
        theme: colours; dots of before training are hollow.
    """
    figure, (axis,) = new_figure(theme, 0.9 + 0.42 * len(points))
    for row, point in enumerate(points):
        color = theme.before if point.before else theme.after
        if point.interval is not None:
            low, high = point.interval
            axis.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2.4, alpha=0.65)
        fill = theme.paper if point.before else color
        axis.plot(100 * point.value, row, "o", markersize=9, color=fill, markeredgecolor=color,
                  markeredgewidth=2)  # fmt: skip
        axis.annotate(
            f"{100 * point.value:.1f}", (100 * point.value, row), xytext=(0, 9),
            textcoords="offset points", ha="center", color=theme.ink, fontsize=9,
        )  # fmt: skip
    axis.set_yticks(range(len(points)), [p.label for p in points], color=theme.ink)
    axis.set_ylim(len(points) - 0.5, -0.7)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("%", color=theme.muted, fontsize=10)
    return figure


def _line(axis: Axes, theme: Theme, x: Sequence[float], y: Sequence[float]) -> None:
    axis.plot(x, y, color=theme.after, linewidth=2, marker="o", markersize=4.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.18)


def _mark(axis: Axes, theme: Theme, point: tuple[float, float], text: str) -> None:
    axis.plot(*point, "o", markersize=11, color="none", markeredgecolor=theme.worse,
              markeredgewidth=2)  # fmt: skip
    axis.annotate(
        text, point, xytext=(0, -20), textcoords="offset points", ha="center",
        color=theme.ink, fontsize=10,
    )  # fmt: skip
