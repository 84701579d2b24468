"""How much scores depend on which queries were drawn (Efron, 1979)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import RankingError

Float64 = npt.NDArray[np.float64]

# draws held in memory at once
BLOCK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Change of a mean between two rankings of the same queries.

    Attributes:
        mean: after minus before.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: npt.ArrayLike, *, resamplings: int = 1_000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over queries.

    Args:
        values: (Q,) score of each query; NaN is left out.
        resamplings: draws of Q queries with replacement, >= 1.
        confidence: share of the draws inside the interval, in (0, 1).
        seed: of the draws.

    Returns:
        Lower and upper end; NaN where no value is left.
    """
    array = np.asarray(values, np.float64)
    kept = array[~np.isnan(array)]
    if not len(kept):
        return float("nan"), float("nan")
    means = np.concatenate(
        [kept[draw].mean(axis=1) for draw in _draws(len(kept), resamplings, seed)]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_difference(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    resamplings: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Percentile interval of the mean change of the same queries.

    Pairing takes away that some queries are harder than others.

    Args:
        before: (Q,) score of each query; a query that is NaN in one is left out of both.
        after: (Q,) scores of the same queries.
        resamplings: draws of Q queries with replacement, >= 1.
        confidence: share of the draws inside the interval, in (0, 1).
        seed: of the draws.

    Raises:
        RankingError: the numbers of queries differ.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape:
        raise RankingError(f"paired scores of {first.shape} and {second.shape} queries")
    changes = second - first
    low, high = bootstrap_interval(
        changes, resamplings=resamplings, confidence=confidence, seed=seed
    )
    kept = changes[~np.isnan(changes)]
    return Difference(float(kept.mean()) if len(kept) else float("nan"), low, high)


def _draws(count: int, resamplings: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // count)
    for start in range(0, resamplings, rows):
        yield generator.integers(count, size=(min(rows, resamplings - start), count))
