"""Posting lists of some images, never changed once built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import ArtifactError, IndexInputError
from retrieval_core.index.aggregation import Codes, Residuals, as_bits
from retrieval_core.index.allocation import new_array
from retrieval_core.index.inputs import NO_IMAGE, Int64
from retrieval_core.index.kernels import count_words, list_images, place_postings, sort_postings
from retrieval_core.index.threads import cores, side_by_side

Mask = npt.NDArray[np.bool_]

# merged at a time by a thread, at most; about 80 MB with codes of 128 bits
POSTINGS_AT_ONCE = 1 << 22
# fewer are not worth another thread
LEAST_POSTINGS = 1 << 14


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
        """The same posting lists of images whose ids are higher by `offset`.

        Raises:
            IndexInputError: an id would be -1, or no 64-bit number.
        """
        if offset == 0 or not len(self):
            return self
        limits, ids = np.iinfo(np.int64), self.image_ids
        for end in (int(ids[0]), int(ids[-1])):
            if not limits.min <= end + offset <= limits.max:
                raise IndexInputError(f"image_ids: {end} + {offset} is no 64-bit number")
        if self.find(np.array([NO_IMAGE - offset]))[0] >= 0:
            raise IndexInputError(f"image_ids: {NO_IMAGE - offset} + {offset} is {NO_IMAGE}")
        saved = self.saved and replace(self.saved, offset=self.saved.offset + offset)
        return replace(self, image_ids=self.image_ids + offset, saved=saved)

    def find(self, image_ids: Int64) -> Int64:
        """(m,) int64 positions of these ids, -1 where absent."""
        positions = np.searchsorted(self.image_ids, image_ids)
        inside = positions < len(self.image_ids)
        found = inside.copy()
        found[inside] = self.image_ids[positions[inside]] == image_ids[inside]
        return np.where(found, positions, -1)


def damaged(segment: Segment) -> ArtifactError:
    """That a posting is of no image of the segment; a search meets those of its words only."""
    saved = segment.saved
    place = f"{saved.uri}/{saved.files['images']}" if saved else "the index in memory"
    return ArtifactError(
        f"{place} is damaged: a posting is of no image, the positions of which are 0 to "
        f"{len(segment) - 1}"
    )


def require_inside(segment: Segment, part: slice = slice(None)) -> None:
    """Refuse postings of images that are not there, where compiled loops would write anywhere.

    Args:
        segment: whose postings are read.
        part: of the postings.

    Raises:
        ArtifactError: names the file.
    """
    # as numbers without a sign those below 0 are the highest
    images = segment.images[part].view(np.uint32)
    if len(images) and images.max() >= len(segment):
        raise damaged(segment)


def build_segment(
    image_ids: Int64, residuals: Residuals, codebook_size: int, *, binary: bool
) -> Segment:
    """Aggregate images into posting lists.

    Args:
        image_ids: (n,) int64, unique.
        residuals: of the images; `images` are positions in `image_ids`, ascending.
        codebook_size: number of visual words.
        binary: keep signs, else directions.
    """
    by_id = np.argsort(image_ids)
    bounds = np.searchsorted(residuals.images, np.arange(len(image_ids) + 1))
    offsets = np.append(0, np.cumsum(np.bincount(residuals.words, minlength=codebook_size)))
    images = np.empty(len(residuals.words), np.int32)
    places = np.empty(len(residuals.words), np.int64)
    list_images(images, places, offsets[:-1].copy(), by_id, bounds, residuals.words)
    return Segment(
        image_ids=image_ids[by_id],
        words=np.diff(bounds)[by_id].astype(np.int32),
        offsets=offsets,
        images=images,
        # summed where they stay: a database of directions is large
        codes=residuals.codes(places, binary=binary, short=True),
    )


def merge_segments(
    segments: Sequence[Segment], alive: Sequence[Mask], folder: Path | None = None
) -> Segment:
    """One segment of all images that are alive.

    Args:
        segments: at least one, of one codebook.
        alive: per segment (n,) bool; an id is alive in at most one segment.
        folder: on the disk where the posting lists are put together; None: in memory.

    Raises:
        ArtifactError: a posting is of no image; names its file.
    """
    pairs = list(zip(segments, alive, strict=True))
    ids = np.concatenate([segment.image_ids[living] for segment, living in pairs])
    words = np.concatenate([segment.words[living] for segment, living in pairs])
    order = np.argsort(ids)
    position = np.empty(len(ids), np.int32)
    position[order] = np.arange(len(ids), dtype=np.int32)
    positions, first = [], 0
    for _, living in pairs:
        last = first + int(living.sum())
        positions.append(np.full(len(living), -1, np.int32))
        positions[-1][living] = position[first:last]
        first = last
    offsets = np.append(0, np.cumsum(images_per_word(segments, alive)))
    width, dtype = segments[0].codes.shape[1], segments[0].codes.dtype
    images = new_array((offsets[-1],), np.int32, folder)
    codes = new_array((offsets[-1], width), dtype, folder)
    bits, in_order = as_bits(codes), bool((np.diff(order) > 0).all())

    def merge(some: slice) -> None:
        bounds = slice(some.start, some.stop + 1)
        ends = offsets[some].copy()
        for segment, places in zip(segments, positions, strict=True):
            own_offsets, own_images, own_bits = segment.lists
            lists = own_offsets[bounds], own_images, own_bits
            require_inside(segment, slice(lists[0][0], lists[0][-1]))
            place_postings(images, bits, ends, lists, places)
        if not in_order:
            sort_postings(offsets[bounds], images, bits)

    # some words after the other, so that files are read and written from front to end
    step = min(POSTINGS_AT_ONCE, max(LEAST_POSTINGS, -(-int(offsets[-1]) // cores())))
    starts = np.searchsorted(offsets, np.arange(0, offsets[-1] + 1, step))
    bounds = np.unique(np.append(starts, len(offsets) - 1))
    side_by_side(merge, [slice(a, b) for a, b in pairwise(bounds.tolist())] or [slice(0, 0)])
    return Segment(ids[order], words[order], offsets, images, codes)


def images_per_word(segments: Sequence[Segment], alive: Sequence[Mask]) -> Int64:
    """(size,) int64, images of each word's posting list (arguments as `merge_segments`)."""
    lengths = np.zeros(len(segments[0].offsets) - 1, np.int64)
    for segment, living in zip(segments, alive, strict=True):
        if living.all():
            lengths += np.diff(segment.offsets)
        else:
            require_inside(segment)
            count_words(lengths, segment.offsets, segment.images, living)
    return lengths
