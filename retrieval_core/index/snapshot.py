"""What an inverted file holds at one moment; a change makes another snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.index.inputs import Int64
from retrieval_core.index.kernels import add_norms
from retrieval_core.index.segment import (
    Mask,
    Segment,
    images_per_word,
    merge_segments,
    require_inside,
)

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weights:
    """Numbers that depend on all images.

    Attributes:
        idf: (size,) float64, ln(N / n_word)^2 with idf; 1 without, and for a word of no image.
        norms: per segment (n,) float64, sum of the idf of an image's words; 0 without any.
    """

    idf: Float64
    norms: tuple[Float64, ...]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Segments, which of their images are still there, and what follows from both.

    Attributes:
        segments: at least one, of one codebook.
        alive: per segment (n,) bool, False where an image was removed.
        use_idf: whether words are weighed.
        saved_weights: as they were written; None: derived when they are asked for.
    """

    segments: tuple[Segment, ...]
    alive: tuple[Mask, ...]
    use_idf: bool
    saved_weights: Weights | None = None

    def __len__(self) -> int:
        return int(sum(np.count_nonzero(living) for living in self.alive))

    @cached_property
    def image_ids(self) -> Int64:
        """(N,) int64 ids of the images that are there, ascending."""
        pairs = zip(self.segments, self.alive, strict=True)
        return np.sort(np.concatenate([segment.image_ids[living] for segment, living in pairs]))

    @cached_property
    def images_per_word(self) -> Int64:
        """(size,) int64 number of images that hold each visual word."""
        return images_per_word(self.segments, self.alive)

    @cached_property
    def weights(self) -> Weights:
        """Of words and images."""
        if self.saved_weights is not None:
            return self.saved_weights
        idf = np.ones(len(self.segments[0].offsets) - 1)
        if not self.use_idf:
            return Weights(idf, tuple(s.words.astype(np.float64) for s in self.segments))
        counts = self.images_per_word
        np.log(len(self) / np.maximum(counts, 1), out=idf, where=counts > 0)
        idf **= 2
        return Weights(idf, tuple(_norms(segment, idf) for segment in self.segments))

    def holds(self, ids: Int64) -> Mask:
        """(m,) bool, which of these ids are there."""
        held = np.zeros(len(ids), bool)
        for segment, living in zip(self.segments, self.alive, strict=True):
            positions = segment.find(ids)
            found = positions >= 0
            held[found] |= living[positions[found]]
        return held

    def with_segments(self, more: Sequence[Segment], alive: Sequence[Mask]) -> "Snapshot":
        """With further images; a segment without any is left out where there are others."""
        pairs = list(zip((*self.segments, *more), (*self.alive, *alive), strict=True))
        kept = [pair for pair in pairs if len(pair[0])] or pairs[:1]
        segments, living = zip(*kept, strict=True)
        return Snapshot(segments, living, self.use_idf)

    def without(self, ids: Int64) -> "Snapshot":
        """Without the images of these ids, all of which are there."""
        left = []
        for segment, living in zip(self.segments, self.alive, strict=True):
            positions = segment.find(ids)
            still = living.copy()
            still[positions[positions >= 0]] = False
            left.append(still)
        return Snapshot(self.segments, tuple(left), self.use_idf)

    def merged(self, last: int, folder: Path | None = None) -> "Snapshot":
        """With the last so many segments in one, free of removed images.

        Args:
            last: how many.
            folder: as of `merge_segments`.
        """
        segment = merge_segments(self.segments[-last:], self.alive[-last:], folder)
        segments, alive = self.segments[:-last], self.alive[:-last]
        return Snapshot((*segments, segment), (*alive, np.ones(len(segment), bool)), self.use_idf)

    def part(self, numbers: Sequence[int]) -> "Snapshot":
        """Some of the segments, weighed as in the whole: an image scores the same bits.

        Args:
            numbers: positions in `segments`, at least one.
        """
        weights = Weights(self.weights.idf, tuple(self.weights.norms[n] for n in numbers))
        segments = tuple(self.segments[n] for n in numbers)
        return Snapshot(segments, tuple(self.alive[n] for n in numbers), self.use_idf, weights)


def _norms(segment: Segment, idf: Float64) -> Float64:
    require_inside(segment)
    norms = np.zeros(len(segment))
    add_norms(norms, segment.offsets, segment.images, idf)
    return norms
