"""Colours of the charts in light and dark, and figures without global state."""

import io
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 10.4
"""Inches; a chart fills the report's text column."""

DOTS_PER_INCH = 160


@dataclass(frozen=True)
class Theme:
    """Colours by their role; distinct in lightness too, so that hue is never needed to read."""

    paper: str
    ink: str
    muted: str
    rule: str
    before: str
    after: str
    worse: str


LIGHT = Theme(
    paper="#ffffff",
    ink="#1d2430",
    muted="#5b6472",
    rule="#e3e6eb",
    before="#9aa3b2",
    after="#1f5fa8",
    worse="#b8410b",
)

DARK = Theme(
    paper="#161a21",
    ink="#e8ebf0",
    muted="#a3acba",
    rule="#313947",
    before="#77818f",
    after="#79b4f2",
    worse="#f08a55",
)


def new_figure(theme: Theme, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, calm axes, and no link to pyplot's global state.

    Args:
        theme: colours.
        height: inches.
        panels: number of axes, >= 1.
    """
    figure = Figure(
        figsize=(WIDTH, height), facecolor=theme.paper, layout=ConstrainedLayoutEngine(wspace=0.06)
    )
    axes = [figure.add_subplot(1, panels, i + 1) for i in range(panels)]
    for axis in axes:
        axis.set_facecolor(theme.paper)
        axis.tick_params(colors=theme.muted, length=0, labelsize=10, pad=6)
        axis.grid(color=theme.rule, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[:].set_visible(False)
    return figure, axes


def set_title(axis: Axes, theme: Theme, title: str, x_label: str = "") -> None:
    """Title and axis label in the report's manner."""
    axis.set_title(title, loc="left", color=theme.ink, fontsize=11, fontweight="bold", pad=12)
    axis.set_xlabel(x_label, color=theme.muted, fontsize=10, labelpad=8)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    # without Software the bytes do not depend on matplotlib's version string
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
