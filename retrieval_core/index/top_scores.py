"""The best of the scores of many queries, gathered a block of images at a time.

A score and its image are one number, a key: the score's bits above the image's position, so that
the lower key is the higher score, or the lower position of two equal scores. A compiled loop keeps
the keys of all scores above the worst of a query's best ones; before their place can be full, all
but the best are dropped.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from retrieval_core.index.allocation import new_array
from retrieval_core.index.inputs import Float32, Int64

Array = npt.NDArray[Any]

# numbers that the processor compares at a time
LANES = 32
SIGN, MAGNITUDE = np.uint32(1 << 31), np.uint32((1 << 31) - 1)
POSITION_BITS = np.uint64(32)
NOTHING = np.iinfo(np.uint64).max
# beside twice the ranking, so that the keys of a short one are not sorted out all the time
SPARE_KEYS = 1024


class TopScores:
    """The best images so far of some queries.

    Args:
        queries: number of queries.
        images: that there will be in all; at most 2^32.
        top_k: length of a ranking, 1 <= top_k <= images.
        floor: (queries,) float32: only higher scores are kept; None: all scores may be.
    """

    def __init__(self, queries: int, images: int, top_k: int, floor: Float32 | None = None) -> None:
        self._top_k = top_k
        # beyond a query's count there is nothing, which comes last in every order
        self._keys = new_array((queries, capacity(images, top_k)), np.uint64)
        self._keys.fill(NOTHING)
        self._counts = np.zeros(queries, np.int64)
        # nothing is at or below what is not a number: without a floor the first images are all kept
        self._worst = np.full(queries, np.nan, np.float32) if floor is None else floor

    def gather(self, scores: Float32, first: int) -> None:
        """Look at the scores of further images.

        Args:
            scores: (Q, n) float32, contiguous, of all queries.
            first: position of the first image, above those of the calls before.
        """
        bits, width = scores.view(np.uint32), scores.shape[1]
        start = 0
        while start < width:
            if self._counts.max() > 2 * self._top_k + SPARE_KEYS // 16:
                # early, although there is place: what is kept decides what is let in
                self._keep_best()
            stop = min(start + self._keys.shape[1] - int(self._counts.max()), width)
            _gather(scores, bits, start, stop, first, self._keys, self._counts, self._worst)
            start = stop

    def best(self) -> tuple[Int64, Float32, npt.NDArray[np.bool_]]:
        """Positions (Q, top_k) int64 and scores (Q, top_k), best first, of all that was seen.

        Third, (Q,) whether there were `top_k` of them above the floor; the end of other rows means
        nothing.
        """
        self._keep_best()
        keys = self._keys[:, : self._top_k]
        keys.sort(axis=1)
        positions = (keys & np.uint64(2**32 - 1)).astype(np.int64)
        return positions, _scores(keys), self._counts == self._top_k

    def _keep_best(self) -> None:
        """Drop all but the `top_k` lowest keys of each query."""
        # of fewer, the keys must stay where they are: one after the other, from the first place on;
        # of as many, the worst must come to the end
        for row in np.flatnonzero(self._counts >= self._top_k):
            keys = self._keys[row, : self._counts[row]]
            keys.partition(self._top_k - 1)
            keys[self._top_k :] = NOTHING
        np.minimum(self._counts, self._top_k, out=self._counts)
        # of fewer keys the worst is not a number, and the floor remains
        self._worst = np.fmax(self._worst, _scores(self._keys[:, self._top_k - 1]))


def capacity(images: int, top_k: int) -> int:
    """Keys that a query has place for, 8 bytes each."""
    return min(images, 2 * top_k + SPARE_KEYS)


def _scores(keys: npt.NDArray[np.uint64]) -> Float32:
    bits = (keys >> POSITION_BITS).astype(np.uint32)
    return np.where(bits & SIGN, bits, bits ^ MAGNITUDE).view(np.float32)


@numba.njit(cache=True, nogil=True)
def _gather(
    scores: Array,
    bits: Array,
    start: int,
    stop: int,
    first: int,
    keys: Array,
    counts: Array,
    worst: Array,
) -> None:
    """Append the keys of scores[:, start:stop] that are not at or below the worst.

    `bits` are those of the scores; `first` is the position of column 0.
    """
    whole = (stop - start) // LANES * LANES
    for row in range(len(scores)):
        # as rows from 0 on, whose indices need no test for being below it
        own, own_bits, own_keys = scores[row, start:stop], bits[row, start:stop], keys[row]
        lowest, count = worst[row], counts[row]
        for begin in range(0, whole, LANES):
            above = 0
            for j in range(begin, begin + LANES):
                above += not own[j] <= lowest
            if above > 0:
                for j in range(begin, begin + LANES):
                    if not own[j] <= lowest:
                        own_keys[count] = _key(own[j], own_bits[j], first + start + j)
                        count += 1
        for j in range(whole, len(own)):
            if not own[j] <= lowest:
                own_keys[count] = _key(own[j], own_bits[j], first + start + j)
                count += 1
        counts[row] = count


@numba.njit(cache=True, nogil=True)
def _key(score: float, bits: int, position: int) -> Any:
    same = np.uint32(0) if score == 0 else bits  # for -0, too
    high = same if same & SIGN else same ^ MAGNITUDE
    return (np.uint64(high) << POSITION_BITS) | np.uint64(position)
