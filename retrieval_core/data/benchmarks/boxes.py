"""Whether queries' boxes lie in their images."""

from collections.abc import Iterable

from PIL import Image

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import DatasetError

TOLERANCE = 0.01
"""Share of the longest side that a box may protrude by: people drew them."""

TURNED = (5, 6, 7, 8)
ORIENTATION = 0x0112


def check_boxes(rows: Iterable[ImageRow]) -> None:
    """Compare boxes with the sizes in the headers of their images; no pixel is decoded.

    Args:
        rows: those without a box, and those whose file cannot be opened, are passed over.

    Raises:
        DatasetError: a box leaves its image.
    """
    for row in rows:
        size = _upright_size(row.path) if row.box else None
        if row.box is None or size is None:
            continue
        left, top, right, bottom = row.box
        width, height = size
        slack = TOLERANCE * max(size)
        if min(left, top) < -slack or right > width + slack or bottom > height + slack:
            raise DatasetError(
                f"the box {list(row.box)} of query {row.path} leaves its image of {width} x "
                f"{height} pixels: put the published photograph there, not a resized one, with "
                "the ground truth that belongs to it"
            )


def _upright_size(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except Exception:  # missing or damaged: found again, and excluded, where it is read
        return None
    return (height, width) if turned else (width, height)
