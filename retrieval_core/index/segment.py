"""Posting lists of some images, never changed once built."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retrieval_core.index.aggregation import Aggregates, Codes
from retrieval_core.index.inputs import Int64
from retrieval_core.index.kernels import count_words, place_postings, sort_postings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Segment:
    """A part of an inverted file; arrays may be memory-mapped.

    Attributes:
        image_ids: (n,) int64, ascending; images without descriptors are among them.
        offsets: (size + 1,) int64, where each visual word's posting list begins.
        images: (p,) int32, position in `image_ids` of each posting, ascending within a word.
        codes: (p, w) uint64 or (p, d) float32.
    """

    image_ids: Int64
    offsets: Int64
    images: npt.NDArray[np.int32]
    codes: Codes

    @property
    def weight(self) -> int:
        """What merging it costs."""
        return len(self.image_ids) + len(self.images)

    @property
    def lists(self) -> tuple[Int64, npt.NDArray[np.int32], Codes]:
        """What the compiled loops take."""
        return self.offsets, self.images, self.codes

    def shifted(self, offset: int) -> "Segment":
        """The same posting lists of images whose ids are higher by `offset`."""
        return replace(self, image_ids=self.image_ids + offset)

    def find(self, image_ids: Int64) -> Int64:
        """(m,) int64 positions of these ids, -1 where absent."""
        positions = np.searchsorted(self.image_ids, image_ids)
        inside = positions < len(self.image_ids)
        found = inside.copy()
        found[inside] = self.image_ids[positions[inside]] == image_ids[inside]
        return np.where(found, positions, -1)


def build_segment(image_ids: Int64, aggregates: Aggregates, codebook_size: int) -> Segment:
    """Sort aggregated images into posting lists.

    Args:
        image_ids: (n,) int64, unique.
        aggregates: their codes; `images` are positions in `image_ids`.
        codebook_size: number of visual words.
    """
    by_id = np.argsort(image_ids)
    position = np.empty(len(image_ids), np.int32)
    position[by_id] = np.arange(len(image_ids), dtype=np.int32)
    images = position[aggregates.images]
    order = np.lexsort((images, aggregates.words))
    lengths = np.bincount(aggregates.words, minlength=codebook_size)
    return Segment(
        image_ids=image_ids[by_id],
        offsets=np.append(0, np.cumsum(lengths)),
        images=images[order],
        codes=aggregates.codes[order],
    )


def merge_segments(segments: Sequence[Segment], alive: Sequence[Mask]) -> Segment:
    """One segment of all images that are alive; needs no memory beside that of the result.

    Args:
        segments: at least one, of one codebook.
        alive: per segment (n,) bool; an id is alive in at most one segment.
    """
    ids = np.concatenate([s.image_ids[living] for s, living in zip(segments, alive, strict=True)])
    order = np.argsort(ids)
    position = np.empty(len(ids), np.int32)
    position[order] = np.arange(len(ids), dtype=np.int32)
    offsets = np.append(0, np.cumsum(images_per_word(segments, alive)))
    images = np.empty(offsets[-1], np.int32)
    codes = np.empty((offsets[-1], segments[0].codes.shape[1]), segments[0].codes.dtype)
    ends, first = offsets[:-1].copy(), 0
    for segment, living in zip(segments, alive, strict=True):
        last = first + int(living.sum())
        positions = np.full(len(living), -1, np.int32)
        positions[living] = position[first:last]
        place_postings(images, codes, ends, segment.lists, positions)
        first = last
    if (np.diff(order) < 0).any():
        sort_postings(offsets, images, codes)
    return Segment(ids[order], offsets, images, codes)


def images_per_word(segments: Sequence[Segment], alive: Sequence[Mask]) -> Int64:
    """(size,) int64, images of each word's posting list (arguments as `merge_segments`)."""
    lengths = np.zeros(len(segments[0].offsets) - 1, np.int64)
    for segment, living in zip(segments, alive, strict=True):
        if living.all():
            lengths += np.diff(segment.offsets)
        else:
            count_words(lengths, segment.offsets, segment.images, living)
    return lengths
