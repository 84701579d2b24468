"""Local descriptors of an image become one code per visual word (ASMK, ICCV 2013)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.kernels import sum_residuals

Codes = npt.NDArray[Any]

BLOCK = 65_536


@dataclass(frozen=True)
class Aggregates:
    """One entry per image and visual word, by image, then by word.

    Attributes:
        images: (m,) int64, position of the image.
        words: (m,) int64.
        codes: (m, ceil(d / 64)) uint64 sign bits, or (m, d) float32 of unit norm.
    """

    images: Int64
    words: Int64
    codes: Codes

    def stored(self) -> "Aggregates":
        """As a database keeps them: directions as float16."""
        if self.codes.dtype == np.uint64:
            return self
        return replace(self, codes=self.codes.astype(np.float16))


def aggregate(
    codebook: Codebook,
    descriptors: Float32,
    image_index: Int64,
    *,
    multiple_assignment: int,
    binary: bool,
) -> Aggregates:
    """Sum residuals per image and visual word, then keep their signs or their direction.

    A descriptor's residual is taken to each of its `multiple_assignment` nearest centroids and
    counts for that word (ASMK and, of signs, ASMK* of ICCV 2013).

    Args:
        codebook: visual words.
        descriptors: (n, d) float32.
        image_index: (n,) int64.
        multiple_assignment: words per descriptor; a smaller codebook's size where it is less.
        binary: signs, else unit vectors.
    """
    assigned = codebook.assign(descriptors, min(multiple_assignment, codebook.size))
    words, images = assigned.ravel(), np.repeat(image_index, assigned.shape[1])
    order = np.lexsort((words, images))
    words, images = words[order], images[order]
    firsts = np.flatnonzero(_changes(images) | _changes(words))
    starts = np.append(firsts, len(order))
    rows = order // assigned.shape[1]
    words = words[firsts]
    encode = pack_signs if binary else _normalise
    codes = [
        encode(sum_residuals(descriptors, codebook.centroids, rows, words[a:b], starts[a : b + 1]))
        for a, b in _blocks(len(words))
    ]
    return Aggregates(images[firsts], words, np.concatenate(codes))


def pack_signs(vectors: Float32) -> npt.NDArray[np.uint64]:
    """Which components are above zero, 64 to a number.

    Args:
        vectors: (m, d) float32.

    Returns:
        (m, ceil(d / 64)) uint64.
    """
    count, dim = vectors.shape
    packed = np.zeros((count, -(-dim // 64) * 8), np.uint8)
    packed[:, : -(-dim // 8)] = np.packbits(vectors > 0, axis=1)
    return packed.view(np.uint64)


def _normalise(vectors: Float32) -> Float32:
    # the small constant is part of the published method's numbers and keeps a zero vector zero
    norms: Float32 = np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-6)
    return vectors / norms


def _changes(values: Int64) -> npt.NDArray[np.bool_]:
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, max(count, 1), BLOCK):
        yield start, min(start + BLOCK, count)
