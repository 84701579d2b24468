"""A picture of rankings: per row a query and what was found, right and wrong told apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.data.images import load_image
from retrieval_core.errors import ImageError
from retrieval_core.search.ranking import Ranking
from retrieval_core.visualize.theme import LIGHT
from retrieval_core.visualize.tiles import font

# frame colours carry white text at a contrast of 4.8 or more; the glyphs tell without colour
BLUE, GREEN, RED, GREY = "#1f5fa8", "#00755a", "#b8410b", "#667080"
CROSS = "\N{MULTIPLICATION SIGN}"
MARKS = {
    "correct": (GREEN, "✓"),
    "wrong": (RED, "×"),  # noqa: RUF001 - the glyph is meant
    "junk": (GREY, "·"),
}
MEANINGS = {"correct": "right", "wrong": "wrong", "junk": "junk, left out of the score"}
UNJUDGED = (GREY, "")
INK = LIGHT.ink
MAT = (128, 128, 128, 48)
UNREADABLE = (128, 128, 128, 120)
DECODED = 1024
"""Pixels, longest side: far above a thumbnail, so that a small query box stays sharp."""
HEIGHT = 144
"""Of a thumbnail, pixels."""
ASPECT = 1.5
"""Width of a tile relative to its height: photographs of 3:2 and narrower fill the height."""


@dataclass(frozen=True)
class GridRow:
    """A query and the top of its ranking.

    Attributes:
        query: drawn first, cropped to its box.
        truth: right answers of the query; None where nobody knows.
        note: caption of the query, a few words.
        found: results, best first, with their scores.
    """

    query: ImageRow
    truth: QueryTruth | None
    note: str
    found: tuple[tuple[ImageRow, float], ...]

    def mark(self, image_id: int) -> str:
        """Whether a result is "correct", "wrong", "junk" or, without truth, "unjudged"."""
        if self.truth is None:
            return "unjudged"
        if image_id in self.truth.junk:
            return "junk"
        right = image_id in self.truth.easy or image_id in self.truth.hard
        return "correct" if right else "wrong"


def grid_rows(
    catalogue: Catalogue, ranking: Ranking, notes: Iterable[tuple[int, str]], *, top_k: int = 7
) -> list[GridRow]:
    """Rows of a grid from a ranking.

    Args:
        catalogue: dataset that was ranked.
        ranking: a query that is not in it has no results.
        notes: id and caption of each query to show, top to bottom.
        top_k: results of a row, >= 1; the query itself is not among them.
    """
    rows = {row.image_id: row for row in catalogue.rows}
    truths = {truth.query: truth for truth in catalogue.truth}
    lines = {int(query): line for line, query in enumerate(ranking.query_ids)}
    grid = []
    for query, note in notes:
        line = lines.get(query)
        top = [] if line is None else _top(ranking, line, top_k)
        found = tuple((rows.get(i) or _unknown(i), score) for i, score in top)
        grid.append(GridRow(rows[query], truths[query], note, found))
    return grid


def ranking_grid(rows: Sequence[GridRow], *, height: int = HEIGHT) -> Image.Image:
    """Draw rankings: the query framed blue, results green (✓), red (×) or grey (·, junk).

    Thumbnails have equal height. The background is transparent. An image that cannot be read is
    a grey tile.

    Args:
        rows: rankings, top to bottom.
        height: of a thumbnail, pixels.

    Returns:
        RGBA.
    """
    width, gap = round(ASPECT * height), max(2, height // 12)
    columns = 1 + max((len(row.found) for row in rows), default=0)
    tile_height = height + _caption_height(height)
    step_x, step_y = width + gap, tile_height + 2 * gap
    size = (columns * step_x, max(1, len(rows) * step_y - 2 * gap))
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    for line, row in enumerate(rows):
        tiles = [_tile(row.query, BLUE, row.note, height, crop=True)]
        for rank, (image, score) in enumerate(row.found, start=1):
            color, glyph = MARKS.get(row.mark(image.image_id), UNJUDGED)
            caption = f"{glyph} {rank}   {_number(score)}".lstrip()
            tiles.append(_tile(image, color, caption, height, crop=False))
        for column, tile in enumerate(tiles):
            # a wider gap parts the query from its results
            sheet.paste(tile, (column * step_x + gap * (column > 0), line * step_y))
    return sheet


def ranking_legend(rows: Sequence[GridRow], *, height: int = 34) -> Image.Image:
    """What the colours of these rankings mean, in one line, for a picture that stands alone.

    Args:
        rows: rankings.
        height: of the line, pixels.

    Returns:
        RGBA with dark text on a transparent ground.
    """
    seen = {row.mark(image.image_id) for row in rows for image, _ in row.found}
    entries = [(BLUE, "Q", "query")]
    entries += [(*MARKS[name], MEANINGS[name]) for name in MARKS if name in seen]
    face, gap = font(round(0.6 * height)), height // 2
    widths = [height + gap + round(face.getlength(meaning)) + 2 * gap for *_, meaning in entries]
    strip = Image.new("RGBA", (sum(widths), height), (0, 0, 0, 0))
    pen, left = ImageDraw.Draw(strip), 0
    for (color, glyph, meaning), width in zip(entries, widths, strict=True):
        pen.rectangle((left, 0, left + height - 1, height - 1), fill=color)
        pen.text((left + height / 2, height / 2), glyph, fill="white", font=face, anchor="mm")
        pen.text((left + height + gap, height / 2), meaning, fill=INK, font=face, anchor="lm")
        left += width
    return strip


def _unknown(image_id: int) -> ImageRow:
    """A searched image that the catalogue does not tell of, such as a distractor."""
    return ImageRow(image_id, f"image {image_id}", "", "test", "database")


def _top(ranking: Ranking, line: int, top_k: int) -> list[tuple[int, float]]:
    ids, scores = ranking.ids[line], ranking.scores[line]
    places = np.flatnonzero((ids >= 0) & (ids != ranking.query_ids[line]))[:top_k]
    return [(int(ids[place]), float(scores[place])) for place in places]


def _tile(row: ImageRow, color: str, caption: str, height: int, *, crop: bool) -> Image.Image:
    width, frame = round(ASPECT * height), max(2, height // 34)
    tile = Image.new("RGBA", (width, height + _caption_height(height)), color)
    inner = (width - 2 * frame, height - 2 * frame)
    tile.paste(_photograph(row, inner, crop=crop), (frame, frame))
    middle = (2 * frame + 2, height + _caption_height(height) / 2 - frame / 2)
    ImageDraw.Draw(tile).text(
        middle, caption, fill="white", font=font(round(0.13 * height)), anchor="lm"
    )
    return tile


def _photograph(row: ImageRow, size: tuple[int, int], *, crop: bool) -> Image.Image:
    """The image in the middle of a mat of the given size."""
    mat = Image.new("RGBA", size, MAT)
    try:
        image = load_image(row.path, image_size=DECODED, box=row.box if crop else None)
    except ImageError as error:
        mat.paste(UNREADABLE, (0, 0, *size))
        middle = (size[0] / 2, size[1] / 2)
        small = font(round(0.11 * size[1]))
        ImageDraw.Draw(mat).text(middle, error.reason, fill="white", font=small, anchor="mm")
        return mat
    factor = min(size[0] / image.width, size[1] / image.height)
    fitted = image.resize(
        (max(1, round(factor * image.width)), max(1, round(factor * image.height))),
        Image.Resampling.LANCZOS,
    )
    mat.paste(fitted, ((size[0] - fitted.width) // 2, (size[1] - fitted.height) // 2))
    return mat


def _number(score: float) -> str:
    return f"{score:.3f}" if abs(score) < 10 else f"{score:.1f}"


def _caption_height(height: int) -> int:
    return round(0.2 * height)
