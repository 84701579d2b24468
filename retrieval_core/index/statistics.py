"""Numbers that depend on the whole database, derived from its posting lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.index.inputs import Int64
from retrieval_core.index.segment import Mask, Segment

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Weights and norms of ASMK; slots count through the images of all segments.

    Attributes:
        idf: (size,) float64, ln(N / n_word)^2; 1 for a word that no image has, and 1 for all
            without idf.
        norms: (slots,) float64, sum of the idf of an image's words; 0 without any.
        slots: (N,) int64, slots of the images that are alive, by ascending image id.
        image_ids: (N,) int64, ascending.
    """

    idf: Float64
    norms: Float64
    slots: Int64
    image_ids: Int64


def derive_statistics(
    segments: Sequence[Segment], alive: Sequence[Mask], *, use_idf: bool
) -> Statistics:
    """Count words and images that are alive (arguments as `merge_segments`)."""
    ids = np.concatenate([segment.image_ids for segment in segments])
    living = np.flatnonzero(np.concatenate(alive))
    slots = living[np.argsort(ids[living])]
    idf = np.ones(len(segments[0].offsets) - 1)
    if use_idf:
        counts = sum(_images_per_word(s, a) for s, a in zip(segments, alive, strict=True))
        np.log(len(slots) / np.maximum(counts, 1), out=idf, where=counts > 0)
        idf **= 2
    norms = [
        np.bincount(segment.images, idf[segment.words()], len(segment.image_ids))
        for segment in segments
    ]
    return Statistics(idf, np.concatenate(norms), slots, ids[slots])


def _images_per_word(segment: Segment, alive: Mask) -> Int64:
    if alive.all():
        return np.diff(segment.offsets)
    words = segment.words()[alive[segment.images]]
    return np.bincount(words, minlength=len(segment.offsets) - 1)
