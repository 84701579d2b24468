"""Could chance alone have made one ranking method look better than another? (Fisher, 1935)."""

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import RankingError

Float64 = npt.NDArray[np.float64]

# signs held in memory at once
BLOCK = 4_000_000
# sums of equal changes in another order differ by rounding
TOLERANCE = 1e-12


def sign_flip_test(
    before: npt.ArrayLike, after: npt.ArrayLike, *, resamplings: int = 10_000, seed: int = 0
) -> float:
    """Two-sided paired permutation test of the mean change over queries.

    If both methods were equally good, each query's two scores might as well be swapped, which
    flips the sign of its change d. The p-value is the share of the sign assignments whose mean
    change is at least as far from 0 as the observed one: P(|sum s_q d_q| >= |sum d_q|). With n
    queries that changed and 2^n <= `resamplings` every assignment is counted, and the value is
    exact; otherwise that many are drawn, and it is (1 + hits) / (1 + resamplings), which is never
    0 and never too small (Phipson and Smyth, 2010).

    Args:
        before: (Q,) score of each query; a query that is NaN in one is left out of both.
        after: (Q,) scores of the same queries.
        resamplings: most sign assignments, >= 1.
        seed: of the draws.

    Returns:
        In (0, 1]; 1 where no score changed, NaN without queries.

    Raises:
        RankingError: the numbers of queries differ.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape:
        raise RankingError(f"paired scores of {first.shape} and {second.shape} queries")
    changes = (second - first).reshape(-1)
    changes = changes[~np.isnan(changes)]
    if not len(changes):
        return float("nan")
    # whichever sign an unchanged query gets, it adds nothing
    changes = changes[changes != 0]
    if len(changes) <= 62 and 2 ** len(changes) <= resamplings:
        return _exact(changes)
    return _drawn(changes, resamplings, seed)


def _exact(changes: Float64) -> float:
    numbers = np.arange(2 ** len(changes))
    flipped = (numbers[:, None] >> np.arange(len(changes))) & 1
    return float(_at_least(changes, flipped).mean())


def _drawn(changes: Float64, resamplings: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    rows, hits = max(1, BLOCK // len(changes)), 0
    for start in range(0, resamplings, rows):
        shape = (min(rows, resamplings - start), len(changes))
        hits += int(_at_least(changes, generator.integers(2, size=shape)).sum())
    return (1 + hits) / (1 + resamplings)


def _at_least(changes: Float64, flipped: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each sign assignment ((n, Q) of 0 and 1) gives as large a change as observed."""
    sums = changes.sum() - 2 * (flipped @ changes)
    found: npt.NDArray[np.bool_] = (
        np.abs(sums) >= abs(changes.sum()) - TOLERANCE * np.abs(changes).sum()
    )
    return found
