"""What vector indexes cost, by kind and dimension, on a CPU and on a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from retrieval_core.visualize.theme import Theme, new_figure, set_title

PANELS = {
    "build_seconds": "Build, s",
    "add_seconds": "Add, s",
    "query_milliseconds": "Search, ms a query",
    "bytes_per_image": "Memory, B an image",
}
MARKERS = "osD^vP*X"


@dataclass(frozen=True)
class IndexCost:
    """Measurements of one index.

    Attributes:
        kind: as in `VectorConfig.kind`.
        device: where it was built and searched.
        dim: of its vectors.
        build_seconds: from all images but the last.
        add_seconds: of the last images.
        query_milliseconds: of a query among many.
        bytes_per_image: that the index takes on the device.
        recall: share of the ten nearest that are found, in [0, 1].
    """

    kind: str
    device: Literal["cpu", "gpu"]
    dim: int
    build_seconds: float
    add_seconds: float
    query_milliseconds: float
    bytes_per_image: float
    recall: float


def costs_chart(costs: Sequence[IndexCost], theme: Theme) -> Figure:
    """A panel per cost, on logarithmic axes: a marker per kind, dashed lines for the GPU.

    Args:
        costs: at least one.
        theme: colours.
    """
    figure, axes = new_figure(theme, 3.9, panels=len(PANELS))
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        _panel(axis, theme, costs, name)
        set_title(axis, theme, title, "dimensions")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower left", ncols=8, frameon=False,
        labelcolor=theme.ink, fontsize=10,
    )  # fmt: skip
    return figure


def _panel(axis: Axes, theme: Theme, costs: Sequence[IndexCost], name: str) -> None:
    kinds = list(dict.fromkeys(cost.kind for cost in costs))
    for kind, device in dict.fromkeys((cost.kind, cost.device) for cost in costs):
        own = sorted((c for c in costs if (c.kind, c.device) == (kind, device)), key=_dim)
        _line(axis, theme, own, name, kinds.index(kind))
    dims = sorted({cost.dim for cost in costs})
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(dims, [str(dim) for dim in dims])
    axis.set_xticks([], minor=True)
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(which="minor", length=0)
    axis.margins(x=0.12, y=0.15)


def _line(axis: Axes, theme: Theme, costs: Sequence[IndexCost], name: str, number: int) -> None:
    first = costs[0]
    axis.plot(
        [cost.dim for cost in costs],
        [getattr(cost, name) for cost in costs],
        color=(theme.after, theme.worse, theme.muted, theme.ink)[number % 4],
        marker=MARKERS[number % len(MARKERS)],
        linewidth=2,
        markersize=6,
        linestyle="solid" if first.device == "cpu" else (0, (3, 2)),
        label=first.kind if first.device == "cpu" else f"{first.kind}, GPU",
    )


def _dim(cost: IndexCost) -> int:
    return cost.dim
