"""Pictures as files in an artifact and as data inside a page."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.visualize.theme import DARK, LIGHT, Theme, to_png

PHOTOGRAPH_QUALITY = 80
WEBP_EFFORT = 2
"""Of 6: more takes up to half as long again and saves nothing worth it."""
PNG_LEVEL = 3
"""Of 9: higher ones save a few percent of a photograph and take three times as long."""


@dataclass(frozen=True)
class Picture:
    """A picture inside a page.

    Attributes:
        title: heading above it.
        alt: what it shows, for those who do not see it.
        light: data URI.
        dark: data URI for dark screens; None where one picture serves both.
        width: pixels.
        height: pixels.
    """

    title: str
    alt: str
    light: str
    dark: str | None
    width: int
    height: int


class Album:
    """Writes pictures into an artifact and hands them back for a page.

    Attributes:
        names: of the PNG files so far.
    """

    def __init__(self, directory: ArtifactDirectory) -> None:
        self._directory = directory
        self.names: list[str] = []

    def chart(
        self,
        name: str,
        draw: Callable[[Theme], Figure],
        *,
        title: str,
        alt: str,
        lossless: bool = True,
    ) -> Picture:
        """Draw a chart in both themes; the file holds the light one.

        Args:
            name: of the file, without its ending.
            draw: makes the figure.
            title: heading in the page.
            alt: what it shows.
            lossless: false for a chart with photographs, which would be large.
        """
        light, dark = (to_png(draw(theme)) for theme in (LIGHT, DARK))
        self._write(name, light)
        images = [Image.open(io.BytesIO(content)) for content in (light, dark)]
        embedded = [_embed(image, lossless=lossless) for image in images]
        return Picture(title, alt, embedded[0], embedded[1], *images[0].size)

    def photographs(self, name: str, image: Image.Image, *, title: str, alt: str) -> Picture:
        """Keep a picture of photographs on a transparent ground (arguments as `chart`)."""
        self._write(name, png_of(image))
        return Picture(title, alt, _embed(image, lossless=False), None, *image.size)

    def _write(self, name: str, content: bytes) -> None:
        self._directory.write_bytes(f"{name}.png", content)
        self.names.append(f"{name}.png")


def png_of(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="png", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def _embed(image: Image.Image, *, lossless: bool) -> str:
    """A data URI; WebP is a fraction of a PNG's size and every browser shows it."""
    buffer = io.BytesIO()
    image.save(
        buffer, format="webp", lossless=lossless, quality=PHOTOGRAPH_QUALITY, method=WEBP_EFFORT
    )
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
