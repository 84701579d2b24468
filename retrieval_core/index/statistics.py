"""Numbers that depend on the whole database, derived from its posting lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.index.inputs import Int64
from retrieval_core.index.kernels import add_norms
from retrieval_core.index.segment import Mask, Segment, images_per_word

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
        counts = images_per_word(segments, alive)
        np.log(len(slots) / np.maximum(counts, 1), out=idf, where=counts > 0)
        idf **= 2
    norms = [_norms(segment, idf) for segment in segments]
    return Statistics(idf, np.concatenate(norms), slots, ids[slots])


def _norms(segment: Segment, idf: Float64) -> Float64:
    norms = np.zeros(len(segment.image_ids))
    add_norms(norms, segment.offsets, segment.images, idf)
    return norms
