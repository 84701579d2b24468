"""The inner loops of ASMK, compiled."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Triple = tuple[Array, Array, Array]


@numba.njit(cache=True, nogil=True)
def sum_residuals(
    descriptors: Array, centroids: Array, rows: Array, words: Array, starts: Array
) -> Array:
    """Sum, per group of descriptors, their differences to the group's centroid.

    Args:
        descriptors: (n, d) float32.
        centroids: (size, d) float32.
        rows: (m,) rows of `descriptors`, group after group.
        words: (g,) visual word of each group.
        starts: (g + 1,) where each group begins in `rows`, and m.

    Returns:
        (g, d) float32.
    """
    sums = np.zeros((len(words), descriptors.shape[1]), np.float32)
    for group in range(len(words)):
        centroid = centroids[words[group]]
        for i in range(starts[group], starts[group + 1]):
            descriptor = descriptors[rows[i]]
            for j in range(descriptors.shape[1]):
                sums[group, j] += descriptor[j] - centroid[j]
    return sums


@numba.njit(cache=True, nogil=True)
def add_binary_scores(scores: Array, query: Triple, segment: Triple, similarities: Array) -> None:
    """Add the similarity of every common word to the scores of the images that have it.

    Args:
        scores: (n,) float64, changed in place.
        query: visual words (q,), their signs (q, w) uint64 and their weights (q,) float64.
        segment: (size + 1,) where each word's posting list begins; position in `scores` (p,) and
            signs (p, w) uint64 of each posting.
        similarities: (d + 1,) float64, contribution of a word by Hamming distance.
    """
    words, query_codes, weights = query
    offsets, images, codes = segment
    for q in range(len(words)):
        for p in range(offsets[words[q]], offsets[words[q] + 1]):
            distance = np.uint64(0)
            for i in range(codes.shape[1]):
                distance += _count_ones(codes[p, i] ^ query_codes[q, i])
            scores[images[p]] += weights[q] * similarities[distance]


@numba.njit(cache=True, nogil=True)
def add_float_scores(
    scores: Array, query: Triple, segment: Triple, alpha: float, threshold: float
) -> None:
    """As `add_binary_scores` for (q, d) and (p, d) float32 codes, compared by inner product."""
    words, query_codes, weights = query
    offsets, images, codes = segment
    for q in range(len(words)):
        for p in range(offsets[words[q]], offsets[words[q] + 1]):
            similarity = 0.0
            for i in range(codes.shape[1]):
                similarity += codes[p, i] * query_codes[q, i]
            if similarity >= threshold:
                selected = np.sign(similarity) * abs(similarity) ** alpha
                scores[images[p]] += weights[q] * selected


@numba.njit(cache=True, nogil=True)
def _count_ones(bits: Any) -> Any:
    # the compiler turns this pattern into the processor's population count
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    bits = (bits & pairs) + ((bits >> np.uint64(2)) & pairs)
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
