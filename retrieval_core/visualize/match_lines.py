"""Two photographs side by side, with a line per place that they share."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from retrieval_core.visualize.features import FINER
from retrieval_core.visualize.matches import Match, Matches, Point
from retrieval_core.visualize.tiles import SLATE, captioned, dimmed, hues, scaled_to

HUES = "turbo"
GREY = (190, 196, 206)
DARK = (16, 18, 24)
LINES = 20
"""More can hardly be told apart."""
WIDTH = 960
"""Pixels of both photographs, unless they are narrow."""
HEIGHT = 540


def match_lines(
    left: Image.Image, right: Image.Image, matches: Matches, *, lines: int = LINES
) -> Image.Image:
    """Draw the matches; neighbouring lines have neighbouring hues, thick ones are most similar.

    Args:
        left: first photograph.
        right: second photograph.
        matches: may be empty.
        lines: most matches to draw, the most similar ones.

    Returns:
        RGBA on a transparent ground, with a caption.
    """
    height = min(HEIGHT, round(WIDTH / (left.width / left.height + right.width / right.height)))
    shown = [scaled_to(image, FINER * height) for image in (left, right)]
    gap = FINER * 6
    size = (shown[0].width + gap + shown[1].width, FINER * height)
    canvas = Image.new("RGB", size, SLATE)
    offset = shown[0].width + gap
    for image, x in zip(shown, (0, offset), strict=True):
        canvas.paste(Image.fromarray(dimmed(image, 0.82, 0.7)), (x, 0))
    factors = (size[1] / left.height, size[1] / right.height)
    drawn = matches.found[:lines] or matches.candidates
    colours = _by_height(drawn) if matches.found else [GREY] * len(drawn)
    _draw(canvas, drawn, colours, factors, offset)
    picture = canvas.resize((size[0] // FINER, height), Image.Resampling.LANCZOS)
    more = f" · best {lines} drawn" if len(matches.found) > lines else ""
    return captioned(picture, matches.caption + more)


def _draw(
    canvas: Image.Image,
    lines: Sequence[Match],
    colours: Sequence[tuple[int, int, int]],
    factors: tuple[float, float],
    offset: int,
) -> None:
    pen = ImageDraw.Draw(canvas)
    unit = max(FINER, round(max(canvas.size) / 700))
    widths = _widths(lines, unit)
    for match, colour, width in reversed(list(zip(lines, colours, widths, strict=True))):
        start = _scaled(match.left, factors[0], 0)
        end = _scaled(match.right, factors[1], offset)
        pen.line((start, end), fill=DARK, width=width + unit)
        pen.line((start, end), fill=colour, width=width)
        for x, y in (start, end):
            for radius, fill in ((2.6 * unit, DARK), (2.0 * unit, colour)):
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _by_height(lines: Sequence[Match]) -> list[tuple[int, int, int]]:
    """A hue per line by its order from top to bottom."""
    order = np.argsort(np.argsort([line.left[1] for line in lines], kind="stable"))
    return hues(0.13 + 0.8 * order / max(len(lines) - 1, 1), HUES)


def _widths(lines: Sequence[Match], unit: int) -> list[int]:
    """Pixels, from two thirds of a unit to nearly two by similarity."""
    similar = np.array([line.similarity for line in lines])
    spread = np.ptp(similar) if len(similar) else 0.0
    share = (similar - similar.min()) / spread if spread > 0 else np.ones(len(similar))
    return [int(width) for width in np.round(unit * (0.7 + 1.1 * share))]


def _scaled(point: Point, factor: float, offset: int) -> Point:
    return factor * point[0] + offset, factor * point[1]
