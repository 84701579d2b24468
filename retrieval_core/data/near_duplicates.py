"""The same photograph in two sets of images, found by a difference hash; no network is asked.

A hash says for a 16 x 17 thumbnail which pixels are brighter than their left neighbours. It
survives another size, compression, brightness and loss of colour. A second hash of the inner part
survives a crop: the whole of a cropped copy resembles the inner part of the original.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval_core.data.images import load_image
from retrieval_core.data.overlap import SharedImage
from retrieval_core.errors import ImageError

UInt8 = npt.NDArray[np.uint8]

ROWS, COLUMNS = 16, 17
BITS = ROWS * (COLUMNS - 1)
READ_SIZE = 128
"""Pixels; JPEG files are decoded at an eighth or a quarter of their size for it."""

INNER = 0.04
"""Share of each side that the inner part leaves out; finds crops of up to 6 % from each side."""

MAX_DISTANCE = 40
"""Differing bits of copies. Of different photographs among 8,144 of cars, none had fewer."""

CLEAR_STEP, MIN_CLEAR = 2, 16
"""Grey levels of a clear step, and how many must rise and how many fall; photographs have 37."""

FLAT = "flat"


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """Hashes of images.

    Attributes:
        paths: of the N images, sorted.
        hashes: (N, 2, 32) uint8, of the whole image and of its inner part.
        excluded: path and reason of images without a hash: unreadable ones, and "flat" ones, which
            would resemble each other whatever they show.
    """

    paths: list[str]
    hashes: UInt8
    excluded: list[dict[str, Any]]


def hash_images(paths: Sequence[str], *, threads: int = 1) -> ImageHashes:
    """Hash whole images.

    Args:
        paths: local paths or fsspec URLs.
        threads: that read at the same time.
    """
    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(paths, pool.map(_hash_or_reason, paths), strict=True))
    hashed = sorted(path for path, value in found.items() if not isinstance(value, str))
    hashes = np.array([found[path] for path in hashed], np.uint8).reshape(-1, 2, BITS // 8)
    excluded = [{"path": p, "reason": v} for p, v in found.items() if isinstance(v, str)]
    return ImageHashes(hashed, hashes, excluded)


def join_hashes(parts: Sequence[ImageHashes]) -> ImageHashes:
    """All hashes in one, whatever the order of the parts."""
    paths = [path for part in parts for path in part.paths]
    hashes = np.concatenate([np.empty((0, 2, BITS // 8), np.uint8), *(p.hashes for p in parts)])
    order = sorted(range(len(paths)), key=paths.__getitem__)
    excluded = [entry for part in parts for entry in part.excluded]
    return ImageHashes([paths[i] for i in order], hashes[order], excluded)


def near_duplicates(train: ImageHashes, test: ImageHashes) -> list[SharedImage]:
    """For every test image that is a copy of training images, the most similar one.

    Every test image is compared with every training image; memory grows with their sum.

    Returns:
        The most similar pairs first.
    """
    if not train.paths or not test.paths:
        return []
    distances = np.full(len(test.paths), BITS, np.int64)
    nearest = np.zeros(len(test.paths), np.int64)
    for part, other in ((0, 0), (0, 1), (1, 0)):
        found, rows = _nearest(train.hashes[:, part], test.hashes[:, other])
        closer = found < distances
        distances[closer], nearest[closer] = found[closer], rows[closer]
    copies = np.flatnonzero(distances <= MAX_DISTANCE)
    return [
        SharedImage(train.paths[nearest[row]], test.paths[row], int(distances[row]))
        for row in copies[np.argsort(distances[copies], kind="stable")]
    ]


def _nearest(train: UInt8, test: UInt8) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    index = faiss.IndexBinaryFlat(BITS)
    index.add(np.ascontiguousarray(train))
    distances, rows = index.search(np.ascontiguousarray(test), 1)
    return distances[:, 0].astype(np.int64), rows[:, 0].astype(np.int64)


def _hash_or_reason(path: str) -> UInt8 | str:
    try:
        image = load_image(path, image_size=READ_SIZE).convert("L")
    except ImageError as error:
        return error.reason
    whole, inner = _steps(image, 0.0), _steps(image, INNER)
    if min((whole >= CLEAR_STEP).sum(), (whole <= -CLEAR_STEP).sum()) < MIN_CLEAR:
        return FLAT
    return np.packbits(np.stack([whole, inner]).reshape(2, BITS) > 0, axis=1)


def _steps(image: Image.Image, margin: float) -> npt.NDArray[np.int16]:
    """(16, 16) differences between neighbouring pixels of a thumbnail."""
    width, height = image.size
    part = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    thumbnail = np.asarray(image.resize((COLUMNS, ROWS), Image.Resampling.BOX, box=part), np.int16)
    return thumbnail[:, 1:] - thumbnail[:, :-1]
