"""Local descriptors of an image become one code per visual word (ASMK, ICCV 2013)."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.kernels import sum_directions, sum_signs
from retrieval_core.index.threads import side_by_side

Codes = npt.NDArray[Any]

FIELDS = ("images", "words", "codes")
# descriptors that are aggregated at a time
BLOCK = 32_768


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
        # numpy converts one number at a time
        return replace(self, codes=torch.from_numpy(self.codes).half().numpy())


def aggregate(
    codebook: Codebook,
    descriptors: Float32,
    image_index: Int64,
    *,
    multiple_assignment: int,
    binary: bool,
) -> Aggregates:
    """Assign descriptors to visual words, then `aggregate_assigned`.

    Args:
        codebook: visual words.
        descriptors: (n, d) float32.
        image_index: (n,) int64.
        multiple_assignment: words per descriptor; a smaller codebook's size where it is less.
        binary: signs, else unit vectors.
    """
    words = codebook.assign(descriptors, min(multiple_assignment, codebook.size))
    return aggregate_assigned(codebook.centroids, descriptors, image_index, words, binary=binary)


def aggregate_assigned(
    centroids: Float32, descriptors: Float32, image_index: Int64, assigned: Int64, *, binary: bool
) -> Aggregates:
    """Sum residuals per image and visual word, then keep their signs or their direction.

    A descriptor's residual is taken to each of its words and counts for that word (ASMK and, of
    signs, ASMK* of ICCV 2013).

    Args:
        centroids: (size, d) float32.
        descriptors: (n, d) float32.
        image_index: (n,) int64.
        assigned: (n, k) int64, the words of each.
        binary: signs, else unit vectors.
    """
    by_image = np.argsort(image_index, kind="stable")
    encode = sum_signs if binary else sum_directions

    def part(rows: Int64) -> Aggregates:
        images, words = image_index[rows].repeat(assigned.shape[1]), assigned[rows].ravel()
        order = np.argsort(images * len(centroids) + words, kind="stable")
        images, words = images[order], words[order]
        firsts = np.flatnonzero(_changes(images) | _changes(words))
        starts, own = np.append(firsts, len(order)), rows[order // assigned.shape[1]]
        codes = encode(descriptors, centroids, own, words[firsts], starts)
        return Aggregates(images[firsts], words[firsts], codes)

    parts = side_by_side(part, _whole_images(by_image, image_index))
    return Aggregates(*(np.concatenate([getattr(p, name) for p in parts]) for name in FIELDS))


def _changes(values: Int64) -> npt.NDArray[np.bool_]:
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _whole_images(by_image: Int64, image_index: Int64) -> list[Int64]:
    """Rows of some images each, at least `BLOCK` but for the last."""
    ends = np.flatnonzero(_changes(image_index[by_image]))
    places = np.searchsorted(ends, np.arange(BLOCK, len(by_image), BLOCK))
    return np.split(by_image, np.unique(ends[places[places < len(ends)]]))
