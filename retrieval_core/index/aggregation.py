"""Local descriptors of an image become one code per visual word (ASMK, ICCV 2013)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrieval_core.index.allocation import new_array
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.kernels import BITS, sum_directions, sum_signs
from retrieval_core.index.threads import cores, side_by_side

Codes = npt.NDArray[Any]

# Descriptors that are aggregated at a time; fewer than the least are not worth another thread.
LARGEST_BLOCK, LEAST_BLOCK = 32_768, 2_048


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


@dataclass(frozen=True, eq=False)
class Residuals:
    """Descriptors of images by the visual words that they count for; not yet summed.

    One entry per image and visual word, by image, then by word.

    Attributes:
        images: (m,) int64, position of the image.
        words: (m,) int64.
    """

    images: Int64
    words: Int64
    _centroids: Float32
    _descriptors: Float32
    _groups: "list[_Groups]"

    @staticmethod
    def of(
        centroids: Float32, descriptors: Float32, image_index: Int64, assigned: Int64
    ) -> "Residuals":
        """A descriptor's residual is taken to each of its words, and counts for that word.

        Args:
            centroids: (size, d) float32.
            descriptors: (n, d) float32.
            image_index: (n,) int64.
            assigned: (n, k) int64, the words of each.
        """
        by_image = np.argsort(image_index, kind="stable")

        def grouped(rows: Int64) -> _Groups:
            return _group(rows, image_index[rows], assigned[rows], len(centroids))

        groups = side_by_side(grouped, _whole_images(by_image, image_index))
        images = np.concatenate([group.images for group in groups])
        words = np.concatenate([group.words for group in groups])
        return Residuals(images, words, centroids, descriptors, groups)

    def codes(self, places: Int64, *, binary: bool, short: bool = False) -> Codes:
        """Sum the residuals of each entry, then keep their signs or their direction.

        ASMK and, of signs, ASMK* of ICCV 2013.

        Args:
            places: (m,) int64, row of each entry among the codes; all from 0 to m - 1.
            binary: signs, else unit vectors.
            short: unit vectors as float16.

        Returns:
            (m, ceil(d / 64)) uint64, or (m, d) float32 or float16.
        """
        codes = _no_codes(len(places), self._descriptors.shape[1], binary=binary, short=short)
        bits, encode = as_bits(codes), sum_signs if binary else sum_directions
        ends = np.cumsum([len(group.words) for group in self._groups]).tolist()

        def encoded(part: tuple[_Groups, int]) -> None:
            (_, words, rows, starts), end = part
            own = places[end - len(words) : end]
            encode(self._descriptors, self._centroids, rows, words, starts, own, bits)

        side_by_side(encoded, zip(self._groups, ends, strict=True))
        return codes

    def aggregates(self, *, binary: bool) -> Aggregates:
        """The entries with their codes (arguments as `codes`)."""
        codes = self.codes(np.arange(len(self.words)), binary=binary)
        return Aggregates(self.images, self.words, codes)


class _Groups(NamedTuple):
    """Descriptors by image and word: image (g,), word (g,), rows (m,) and their starts (g + 1,)."""

    images: Int64
    words: Int64
    rows: Int64
    starts: Int64


def _group(rows: Int64, image_index: Int64, assigned: Int64, size: int) -> _Groups:
    images, words = image_index.repeat(assigned.shape[1]), assigned.ravel()
    order = np.argsort(images * size + words, kind="stable")
    images, words = images[order], words[order]
    firsts = np.flatnonzero(_changes(images) | _changes(words))
    starts = np.append(firsts, len(order))
    return _Groups(images[firsts], words[firsts], rows[order // assigned.shape[1]], starts)


def _no_codes(count: int, dim: int, *, binary: bool, short: bool) -> Codes:
    """Room for the codes of so many words."""
    if binary:
        return new_array((count, -(-dim // BITS)), np.uint64)
    return new_array((count, dim), np.float16 if short else np.float32)


def as_bits(codes: Codes) -> Codes:
    """The codes as unsigned integers; the compiler does not know float16."""
    return codes.view(np.uint16) if codes.dtype == np.float16 else codes


def _changes(values: Int64) -> npt.NDArray[np.bool_]:
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _whole_images(by_image: Int64, image_index: Int64) -> list[Int64]:
    """Rows of some images each: as many as cores share evenly, within the sizes of a block."""
    block = min(LARGEST_BLOCK, max(LEAST_BLOCK, -(-len(by_image) // cores())))
    ends = np.flatnonzero(_changes(image_index[by_image]))
    places = np.searchsorted(ends, np.arange(block, len(by_image), block))
    return np.split(by_image, np.unique(ends[places[places < len(ends)]]))
