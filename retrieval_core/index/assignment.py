"""The inner loops of finding the nearest visual words, compiled."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from retrieval_core.index.instructions import widen_short

Array = npt.NDArray[Any]

# numbers that the processor compares at a time
LANES = 16


@numba.njit(cache=True, nogil=True)
def rows_above(affinities: Array, lowest: Array, rows: Array) -> int:
    """Choose the descriptors to which a cell is so near.

    Args:
        affinities: (n,) float32 of the descriptors to the cell.
        lowest: (n,) float32, what is chosen lies above.
        rows: (n + 1,) int64, the chosen ones are written to its beginning.

    Returns:
        How many were chosen.
    """
    count = 0
    for row in range(len(affinities)):
        # written always and counted sometimes: no branch that the processor must guess
        rows[count] = row
        count += affinities[row] > lowest[row]
    return count


@numba.njit(cache=True, nogil=True)
def keep_best(
    products: Array,
    rows: Array,
    affinities: Array,
    biases: Array,
    first: int,
    words: Array,
    scores: Array,
) -> None:
    """Put the words of a cell among the best so far of some descriptors.

    Args:
        products: (m, w) float32, or the bits of bfloat16 as uint16, of these descriptors and the
            cell's words, w a multiple of 16; there may be more rows than descriptors.
        rows: (m,) int64, which descriptors.
        affinities: (n,) float32 of all descriptors to the cell.
        biases: (w,) float32; a word's score is affinity + product - bias.
        first: number of the cell's first word.
        words: (n, k) int32, best first, changed in place.
        scores: (n, k) float32 of these words, changed in place.
    """
    last, width = words.shape[1] - 1, products.shape[1]
    reduced = np.empty(width, np.float32)
    for i in range(len(rows)):
        row = rows[i]
        lowest = scores[row, last] - affinities[row]
        # counted in 32 bits, as wide as what is compared: so many at a time
        better = np.int32(0)
        for j in range(width):
            reduced[j] = widen_short(products[i, j]) - biases[j]
            better += np.int32(reduced[j] > lowest)
        if better == 0:
            continue
        for begin in range(0, width, LANES):
            better = np.int32(0)
            for j in range(begin, begin + LANES):
                better += np.int32(reduced[j] > lowest)
            if better == 0:
                continue
            for j in range(begin, begin + LANES):
                if reduced[j] > lowest:
                    _insert(words[row], scores[row], first + j, reduced[j] + affinities[row])
                    lowest = scores[row, last] - affinities[row]


@numba.njit(cache=True, nogil=True)
def _insert(words: Array, scores: Array, word: int, score: float) -> None:
    """Put a word in its place, and drop the last one."""
    place = len(words) - 1
    while place > 0 and scores[place - 1] < score:
        scores[place], words[place] = scores[place - 1], words[place - 1]
        place -= 1
    scores[place], words[place] = score, word


@numba.njit(cache=True, nogil=True)
def nearest_of(vectors: Array, centroids: Array, candidates: Array, nearest: Array) -> None:
    """The nearest of some candidates, by distances without cancellation.

    Args:
        vectors: (n, d) float32.
        centroids: (size, d) float32.
        candidates: (n, c) words, ascending.
        nearest: (n, k) int64 with k <= c: gets the nearest first, of equally near ones the lower.
    """
    distances = np.empty(candidates.shape[1], np.float64)
    for row in range(len(vectors)):
        for i in range(candidates.shape[1]):
            centroid = centroids[candidates[row, i]]
            distance = 0.0
            for j in range(vectors.shape[1]):
                difference = np.float64(vectors[row, j]) - np.float64(centroid[j])
                distance += difference * difference
            distances[i] = distance
        for place in range(nearest.shape[1]):
            best = np.argmin(distances)
            nearest[row, place] = candidates[row, best]
            distances[best] = np.inf
