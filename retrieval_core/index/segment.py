"""Posting lists of some images, never changed once built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retrieval_core.index.aggregation import Aggregates, Codes
from retrieval_core.index.inputs import Int64
from retrieval_core.index.kernels import count_words, list_postings, place_postings, sort_postings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Saved:
    """Where a segment was written: file names, by array, in a directory.

    Attributes:
        uri: the directory.
        files: by array.
        offset: the segment's image ids are higher by it than those in the file.
    """

    uri: str
    files: Mapping[str, str]
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of an inverted file; arrays may be memory-mapped.

    Attributes:
        image_ids: (n,) int64, ascending; images without descriptors are among them.
        words: (n,) int32, how many visual words each image has.
        offsets: (size + 1,) int64, where each visual word's posting list begins.
        images: (p,) int32, position in `image_ids` of each posting, ascending within a word.
        codes: (p, w) uint64 signs, or (p, d) float16 directions.
        saved: the files that it was read from or written to.
    """

    image_ids: Int64
    words: npt.NDArray[np.int32]
    offsets: Int64
    images: npt.NDArray[np.int32]
    codes: Codes
    saved: Saved | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def weight(self) -> int:
        """What merging it costs."""
        return len(self.image_ids) + len(self.images)

    @property
    def lists(self) -> tuple[Int64, npt.NDArray[np.int32], Codes]:
        """Offsets, images and codes as the compiled loops take them: float16 as its bits."""
        return self.offsets, self.images, as_bits(self.codes)

    def shifted(self, offset: int) -> "Segment":
        """The same posting lists of images whose ids are higher by `offset`."""
        if offset == 0:
            return self
        saved = self.saved and replace(self.saved, offset=self.saved.offset + offset)
        return replace(self, image_ids=self.image_ids + offset, saved=saved)

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
        aggregates: their codes; `images` are positions in `image_ids`, ascending.
        codebook_size: number of visual words.
    """
    by_id = np.argsort(image_ids)
    ends = np.searchsorted(aggregates.images, np.arange(len(image_ids) + 1))
    offsets = np.append(0, np.cumsum(np.bincount(aggregates.words, minlength=codebook_size)))
    images = np.empty(len(aggregates.words), np.int32)
    codes = np.empty_like(aggregates.codes)
    list_postings(
        images,
        as_bits(codes),
        offsets[:-1].copy(),
        by_id,
        ends,
        aggregates.words,
        as_bits(aggregates.codes),
    )
    return Segment(
        image_ids=image_ids[by_id],
        words=np.diff(ends)[by_id].astype(np.int32),
        offsets=offsets,
        images=images,
        codes=codes,
    )


def merge_segments(segments: Sequence[Segment], alive: Sequence[Mask]) -> Segment:
    """One segment of all images that are alive; needs no memory beside that of the result.

    Args:
        segments: at least one, of one codebook.
        alive: per segment (n,) bool; an id is alive in at most one segment.
    """
    pairs = list(zip(segments, alive, strict=True))
    ids = np.concatenate([segment.image_ids[living] for segment, living in pairs])
    words = np.concatenate([segment.words[living] for segment, living in pairs])
    order = np.argsort(ids)
    position = np.empty(len(ids), np.int32)
    position[order] = np.arange(len(ids), dtype=np.int32)
    offsets = np.append(0, np.cumsum(images_per_word(segments, alive)))
    images = np.empty(offsets[-1], np.int32)
    codes = np.empty((offsets[-1], segments[0].codes.shape[1]), segments[0].codes.dtype)
    bits = as_bits(codes)
    ends, first = offsets[:-1].copy(), 0
    for segment, living in pairs:
        last = first + int(living.sum())
        positions = np.full(len(living), -1, np.int32)
        positions[living] = position[first:last]
        place_postings(images, bits, ends, segment.lists, positions)
        first = last
    if (np.diff(order) < 0).any():
        sort_postings(offsets, images, bits)
    return Segment(ids[order], words[order], offsets, images, codes)


def images_per_word(segments: Sequence[Segment], alive: Sequence[Mask]) -> Int64:
    """(size,) int64, images of each word's posting list (arguments as `merge_segments`)."""
    lengths = np.zeros(len(segments[0].offsets) - 1, np.int64)
    for segment, living in zip(segments, alive, strict=True):
        if living.all():
            lengths += np.diff(segment.offsets)
        else:
            count_words(lengths, segment.offsets, segment.images, living)
    return lengths


def as_bits(codes: Codes) -> Codes:
    """The codes as unsigned integers; the compiler does not know float16."""
    return codes.view(np.uint16) if codes.dtype == np.float16 else codes
