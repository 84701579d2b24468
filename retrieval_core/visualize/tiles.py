"""Tiles with captions, and sheets of them on a transparent ground."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SLATE = "#3d4757"
"""Ground of captions that judge nothing; carries white text at a contrast of 9."""

Rgb = npt.NDArray[np.uint8]


def captioned(image: Image.Image, caption: str, *, color: str = SLATE) -> Image.Image:
    """An image above a bar that carries a caption, smaller where it would not fit.

    Args:
        image: RGB.
        caption: one line.
        color: of the bar; must be dark enough for white text.

    Returns:
        RGBA of the image's width.
    """
    bar = bar_height(image.height)
    tile = Image.new("RGBA", (image.width, image.height + bar), color)
    tile.paste(image, (0, 0))
    margin = bar // 3
    fitted = _fitting(caption, image.width - 2 * margin, round(0.46 * bar))
    middle = (margin, image.height + bar / 2)
    ImageDraw.Draw(tile).text(middle, caption, fill="white", font=fitted, anchor="lm")
    return tile


def sheet(rows: Sequence[Sequence[Image.Image]], gap: int = 10) -> Image.Image:
    """Tiles in rows, left-aligned.

    Args:
        rows: top to bottom, at least one tile in all.
        gap: between tiles, pixels.

    Returns:
        RGBA.
    """
    filled = [row for row in rows if row]
    width = max(sum(t.width for t in row) + gap * (len(row) - 1) for row in filled)
    heights = [max(tile.height for tile in row) for row in filled]
    whole = Image.new("RGBA", (width, sum(heights) + gap * (len(heights) - 1)), (0, 0, 0, 0))
    top = 0
    for row, height in zip(filled, heights, strict=True):
        left = 0
        for tile in row:
            whole.paste(tile, (left, top))
            left += tile.width + gap
        top += height + gap
    return whole


def on_white(picture: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, for viewers that show transparency in their own colour."""
    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


def scaled_to(image: Image.Image, height: int) -> Image.Image:
    """An image of this height, enlarged if need be, in its own proportions."""
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def dimmed(image: Image.Image, brightness: float, colour: float) -> Rgb:
    """(H, W, 3) uint8 pixels with less light and less colour, as a ground to draw on.

    Args:
        image: RGB.
        brightness: factor in [0, 1].
        colour: share of the colour that is kept, in [0, 1].
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    mixed: Rgb = (brightness * (colour * pixels + (1 - colour) * grey)).round().astype(np.uint8)
    return mixed


def hues(values: npt.ArrayLike, name: str) -> list[tuple[int, int, int]]:
    """Colours of matplotlib's colour map `name` at values in [0, 1]."""
    colours = matplotlib.colormaps[name](np.asarray(values, np.float64).reshape(-1), bytes=True)
    return [(int(r), int(g), int(b)) for r, g, b, _ in colours]


def bar_height(height: int) -> int:
    """Of the caption of an image so high, pixels."""
    return round(min(max(0.13 * height, 28), 34))


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The bold face that matplotlib ships, which has the glyphs; the system may have none."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), max(8, size))


def _fitting(text: str, width: int, size: int) -> ImageFont.FreeTypeFont:
    while size > 8 and font(size).getlength(text) > width:
        size -= 1
    return font(size)
