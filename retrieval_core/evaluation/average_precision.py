"""Mean average precision and precision@k of landmark benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.evaluation.relevance import GroundTruth, Relevance, judge

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """Scores of rankings, in [0, 1].

    Attributes:
        map: mean of `average_precisions` over queries with right answers; NaN without any.
        average_precisions: (Q,) float64, NaN for a query without right answers.
        precision_at: (K,) float64, mean of `precisions` over the same queries.
        precisions: (Q, K) float64, precision at each of kappas, NaN as above.
        excluded: (E,) int64 rows of the queries without right answers.
    """

    map: float
    average_precisions: Float64
    precision_at: Float64
    precisions: Float64
    excluded: npt.NDArray[np.int64]


def mean_average_precision(
    ranks: npt.ArrayLike, ground_truth: GroundTruth, kappas: Sequence[int] = (1, 5, 10)
) -> AveragePrecision:
    """Score rankings as the Oxford and Paris benchmarks do (CVPR 2007; arXiv 1803.11285).

    Average precision is the area under the precision-recall curve by trapezoids. A right answer
    that is not in the ranking counts as ranked behind everything.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: per query {"ok": ids, "junk": ids}; junk is left out of the ranking.
        kappas: ranks k >= 1 of precision@k, whose divisor is min(k, rank of the last right
            answer).

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return precision_scores(judge(ranks, ground_truth), kappas)


def precision_scores(relevance: Relevance, kappas: Sequence[int]) -> AveragePrecision:
    """`mean_average_precision` of rankings that were judged."""
    scored = relevance.positives > 0
    precisions = _precisions(relevance, np.asarray(kappas, np.int64).reshape(-1))
    average = np.where(scored, _trapezoids(relevance), np.nan)
    precisions[~scored] = np.nan
    return AveragePrecision(
        map=float(average[scored].mean()) if scored.any() else float("nan"),
        average_precisions=average,
        precision_at=precisions[scored].mean(axis=0)
        if scored.any()
        else np.full(precisions.shape[1], np.nan),
        precisions=precisions,
        excluded=np.flatnonzero(~scored),
    )


def _trapezoids(relevance: Relevance) -> Float64:
    number, rank = relevance.number, relevance.rank
    before = np.where(rank == 0, 1.0, number / np.maximum(rank, 1))
    heights = (before + (number + 1) / (rank + 1)) / 2
    areas = np.bincount(relevance.query, heights, len(relevance.positives))
    return areas / np.maximum(relevance.positives, 1)


def _precisions(relevance: Relevance, kappas: npt.NDArray[np.int64]) -> Float64:
    query, rank = relevance.query, relevance.rank
    count = len(relevance.positives)
    last = np.zeros(count, np.int64)
    np.maximum.at(last, query, rank + 1)
    missing = np.bincount(query, minlength=count) < relevance.positives
    precisions = np.empty((count, len(kappas)))
    for column, kappa in enumerate(kappas):
        divisor = np.where(missing, kappa, np.minimum(last, kappa))
        hits = np.bincount(query[rank < divisor[query]], minlength=count)
        precisions[:, column] = hits / np.maximum(divisor, 1)
    return precisions
