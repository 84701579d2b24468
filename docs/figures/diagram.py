"""Block diagrams as SVG that follows the reader's light or dark screen.

Boxes stand on a grid; a box that names code carries its dotted name, which a test looks up, so
that a figure cannot outlive a renaming.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Literal

Kind = Literal["data", "module", "loss"]
Side = Literal["left", "right", "top", "bottom"]

CELL_WIDTH, CELL_HEIGHT = 184, 100
BOX_WIDTH, BOX_HEIGHT = 152, 64
MARGIN = 10
LANE_PADDING = 12
CAPTION_HEIGHT = 14
LOOP_DEPTH = 18
STYLE = """
text { font: 12px ui-sans-serif, system-ui, 'DejaVu Sans', sans-serif; fill: #1d2430 }
.code { font: 600 11.5px ui-monospace, 'DejaVu Sans Mono', monospace }
.small, .label { font-size: 11px; fill: #5b6472 }
.lane { fill: none; stroke: #c9ced6; stroke-dasharray: 5 4 }
.data { fill: #eef2f7; stroke: #c9ced6 }
.module { fill: #dbe8f7; stroke: #1f5fa8 }
.loss { fill: #fae5da; stroke: #b8410b }
.arrow { stroke: #5b6472; stroke-width: 1.4; fill: none }
.head { fill: #5b6472 }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ebf0 } .small, .label { fill: #a3acba } .lane { stroke: #414a59 }
  .data { fill: #222935; stroke: #414a59 } .module { fill: #17304c; stroke: #79b4f2 }
  .loss { fill: #47261a; stroke: #f08a55 } .arrow { stroke: #a3acba } .head { fill: #a3acba }
}
"""


@dataclass(frozen=True)
class Box:
    """A step or the data between two.

    Attributes:
        column: of the grid, fractions allowed.
        row: of the grid, fractions allowed.
        title: first line; the last part of `code` where that is given.
        note: lines below the title, parted by a line feed.
        kind: data (grey), module (blue) or loss (orange).
        code: dotted name of what does it.
    """

    column: float
    row: float
    title: str = ""
    note: str = ""
    kind: Kind = "module"
    code: str = ""

    @property
    def center(self) -> tuple[float, float]:
        """Pixels."""
        return self.column * CELL_WIDTH, self.row * CELL_HEIGHT

    def side(self, side: Side) -> tuple[float, float]:
        """Where an arrow touches, pixels."""
        x, y = self.center
        dx = {"left": -BOX_WIDTH / 2, "right": BOX_WIDTH / 2}.get(side, 0)
        dy = {"top": -BOX_HEIGHT / 2, "bottom": BOX_HEIGHT / 2}.get(side, 0)
        return x + dx, y + dy

    def svg(self) -> str:
        """Rectangle and text."""
        x, y = self.center
        left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
        radius = 12 if self.kind == "data" else 4
        shape = (
            f'<rect class="{self.kind}" x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" '
            f'height="{BOX_HEIGHT}" rx="{radius}"/>'
        )
        lines = [(self.title or self.code.rpartition(".")[2], "code" if self.code else "")]
        lines += [(line, "small") for line in self.note.splitlines()]
        first = y + 4 - 7.5 * (len(lines) - 1)
        texts = (
            f'<text class="{name}" x="{x:g}" y="{first + 15 * i:g}" text-anchor="middle">'
            f"{escape(line)}</text>"
            for i, (line, name) in enumerate(lines)
        )
        return shape + "".join(texts)


@dataclass(frozen=True)
class Arrow:
    """From one box to another, by their positions in the figure."""

    start: int
    end: int
    label: str = ""
    leave: Side = "right"
    enter: Side = "left"

    def svg(self, boxes: list[Box]) -> str:
        """A line with right angles where the sides ask for them."""
        (x0, y0), (x1, y1) = boxes[self.start].side(self.leave), boxes[self.end].side(self.enter)
        label_x, label_y, anchor = (x0 + x1) / 2, (y0 + y1) / 2 - 6, "middle"
        if self.leave == self.enter == "bottom":
            low = max(y0, y1) + LOOP_DEPTH
            path, label_y = f"V{low:g} H{x1:g} V{y1:g}", low + 14
        elif self.leave in ("top", "bottom"):
            path = f"V{(y0 + y1) / 2:g} H{x1:g} V{y1:g}"
            label_x, label_y, anchor = label_x + 8, label_y + 10, "start"
        else:
            path = f"H{(x0 + x1) / 2:g} V{y1:g} H{x1:g}"
        line = f'<path class="arrow" d="M{x0:g} {y0:g} {path}" marker-end="url(#head)"/>'
        text = (
            f'<text class="label" x="{label_x:g}" y="{label_y:g}" text-anchor="{anchor}">'
            f"{escape(self.label)}</text>"
        )
        return line + text if self.label else line


@dataclass(frozen=True)
class Lane:
    """A dashed frame with a caption around some boxes, by their positions in the figure."""

    caption: str
    members: tuple[int, ...]
    below: int = 0

    def bounds(self, boxes: list[Box]) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        sides = [boxes[i] for i in self.members]
        return (
            min(b.side("left")[0] for b in sides) - LANE_PADDING,
            min(b.side("top")[1] for b in sides) - LANE_PADDING - CAPTION_HEIGHT,
            max(b.side("right")[0] for b in sides) + LANE_PADDING,
            max(b.side("bottom")[1] for b in sides) + LANE_PADDING + self.below,
        )

    def svg(self, boxes: list[Box]) -> str:
        """Frame and caption."""
        left, top, right, bottom = self.bounds(boxes)
        return (
            f'<rect class="lane" x="{left:g}" y="{top:g}" width="{right - left:g}" '
            f'height="{bottom - top:g}" rx="8"/>'
            f'<text class="label" x="{left + 10:g}" y="{top + 16:g}">{escape(self.caption)}</text>'
        )


@dataclass(frozen=True)
class Diagram:
    """A figure: boxes, arrows between them, frames around them.

    Attributes:
        name: of the file.
        alt: what it shows, for those who do not see it.
    """

    name: str
    alt: str
    boxes: list[Box]
    arrows: list[Arrow]
    lanes: list[Lane] = field(default_factory=list)

    def svg(self) -> str:
        """The whole file."""
        left, top, right, bottom = self._bounds()
        width, height = right - left, bottom - top
        body = [lane.svg(self.boxes) for lane in self.lanes]
        body += [box.svg() for box in self.boxes]
        body += [arrow.svg(self.boxes) for arrow in self.arrows]
        content = "\n".join(body)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="{left:g} {top:g} {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(self.alt)}">\n'
            f"<style>{STYLE}</style>\n"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker>'
            f"</defs>\n{content}\n</svg>\n"
        )

    def _bounds(self) -> tuple[float, float, float, float]:
        boxes = [(*b.side("left"), *b.side("right")) for b in self.boxes]
        framed = [lane.bounds(self.boxes) for lane in self.lanes]
        return (
            min(x for x, *_ in boxes + framed) - MARGIN,
            min([b.side("top")[1] for b in self.boxes] + [f[1] for f in framed]) - MARGIN,
            max(right for _, _, right, _ in boxes + framed) + MARGIN,
            max([b.side("bottom")[1] for b in self.boxes] + [f[3] for f in framed]) + MARGIN,
        )
