"""Posting lists of some images, never changed once built."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.index.aggregation import Aggregates, Codes
from retrieval_core.index.inputs import Int64

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

    def words(self) -> Int64:
        """(p,) int64, visual word of each posting."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

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
    """One segment of all images that are alive.

    Args:
        segments: at least one, of one codebook.
        alive: per segment (n,) bool; an id is alive in at most one segment.
    """
    ids, parts, first = [], [], 0
    for segment, living in zip(segments, alive, strict=True):
        kept = living[segment.images]
        position = first + np.cumsum(living) - 1
        images = position[segment.images[kept]]
        parts.append(Aggregates(images, segment.words()[kept], segment.codes[kept]))
        ids.append(segment.image_ids[living])
        first += len(ids[-1])
    merged = Aggregates(
        images=np.concatenate([part.images for part in parts]),
        words=np.concatenate([part.words for part in parts]),
        codes=np.concatenate([part.codes for part in parts]),
    )
    return build_segment(np.concatenate(ids), merged, len(segments[0].offsets) - 1)
