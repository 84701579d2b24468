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
def add_norms(norms: Array, offsets: Array, images: Array, idf: Array) -> None:
    """Add the weight of every posting's word to the norm of its image.

    Args:
        norms: (n,) float64, changed in place.
        offsets: (size + 1,) where each word's posting list begins.
        images: (p,) position in `norms` of each posting.
        idf: (size,) float64.
    """
    for word in range(len(idf)):
        for p in range(offsets[word], offsets[word + 1]):
            norms[images[p]] += idf[word]


@numba.njit(cache=True, nogil=True)
def count_words(lengths: Array, offsets: Array, images: Array, alive: Array) -> None:
    """Add the number of images that have a word, those that are alive, to each word's count.

    Args:
        lengths: (size,) int64, changed in place.
        offsets: (size + 1,) where each word's posting list begins.
        images: (p,) position in `alive` of each posting.
        alive: (n,) bool.
    """
    for word in range(len(lengths)):
        for p in range(offsets[word], offsets[word + 1]):
            lengths[word] += alive[images[p]]


@numba.njit(cache=True, nogil=True)
def place_postings(
    images: Array, codes: Array, ends: Array, segment: Triple, positions: Array
) -> None:
    """Append the postings of a segment to the posting lists that it is merged into.

    Args:
        images: (P,) of the merged lists, changed in place.
        codes: (P, w) of the merged lists, changed in place.
        ends: (size,) where the next posting of each word goes, changed in place.
        segment: offsets, images and codes as in `add_binary_scores`.
        positions: (n,) merged position of each image of the segment; -1 is left out.
    """
    offsets, own_images, own_codes = segment
    for word in range(len(ends)):
        for p in range(offsets[word], offsets[word + 1]):
            position = positions[own_images[p]]
            if position >= 0:
                images[ends[word]] = position
                codes[ends[word]] = own_codes[p]
                ends[word] += 1


@numba.njit(cache=True, nogil=True)
def sort_postings(offsets: Array, images: Array, codes: Array) -> None:
    """Sort each word's posting list by image, in place (arguments as `place_postings`)."""
    for word in range(len(offsets) - 1):
        part = slice(offsets[word], offsets[word + 1])
        order = np.argsort(images[part])
        images[part] = images[part][order]
        codes[part] = codes[part][order]


@numba.njit(cache=True, nogil=True)
def _count_ones(bits: Any) -> Any:
    # the compiler turns this pattern into the processor's population count
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    bits = (bits & pairs) + ((bits >> np.uint64(2)) & pairs)
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
