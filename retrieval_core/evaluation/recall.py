"""Scores of metric learning and recognition: Recall@k, R-precision, MAP@R and mAP@k."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.evaluation.relevance import GroundTruth, Relevance, judge

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recall:
    """Recall@k, in [0, 1].

    Attributes:
        recall_at: (K,) float64, mean over queries with right answers; NaN without any.
        hits: (Q, K) float64, 1 where a right answer is among the first k, else 0; NaN for a
            query without right answers.
    """

    recall_at: Float64
    hits: Float64


@dataclass(frozen=True, eq=False)
class RPrecision:
    """R-precision, in [0, 1].

    Attributes:
        mean: over queries with right answers; NaN without any.
        precisions: (Q,) float64, NaN for a query without right answers.
    """

    mean: float
    precisions: Float64


@dataclass(frozen=True, eq=False)
class CutAveragePrecision:
    """MAP@R or mAP@k, in [0, 1].

    Attributes:
        map: mean over queries with right answers; NaN without any.
        average_precisions: (Q,) float64, NaN for a query without right answers.
    """

    map: float
    average_precisions: Float64


def recall_at_k(
    ranks: npt.ArrayLike, ground_truth: GroundTruth, kappas: Sequence[int] = (1, 2, 4, 8)
) -> Recall:
    """Share of queries with a right answer among the first k (arXiv 1511.06452).

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: per query {"ok": ids, "junk": ids}; junk is left out of the ranking.
            `label_ground_truth` makes it from labels.
        kappas: ranks k >= 1.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return recall_scores(judge(ranks, ground_truth), kappas)


def recall_scores(relevance: Relevance, kappas: Sequence[int]) -> Recall:
    """`recall_at_k` of rankings that were judged."""
    first = np.full(len(relevance.positives), np.iinfo(np.int64).max)
    np.minimum.at(first, relevance.query, relevance.rank)
    hits = (first[:, None] < np.asarray(kappas, np.int64).reshape(-1)).astype(np.float64)
    scored = relevance.positives > 0
    hits[~scored] = np.nan
    mean = hits[scored].mean(axis=0) if scored.any() else np.full(hits.shape[1], np.nan)
    return Recall(mean, hits)


def r_precision(ranks: npt.ArrayLike, ground_truth: GroundTruth) -> RPrecision:
    """Share of right answers among the first R (arXiv 2003.08505).

    R is a query's number of right answers.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: as `recall_at_k`.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return r_precision_scores(judge(ranks, ground_truth))


def r_precision_scores(relevance: Relevance) -> RPrecision:
    """`r_precision` of rankings that were judged."""
    positives = relevance.positives
    within = relevance.query[relevance.rank < positives[relevance.query]]
    hits = np.bincount(within, minlength=len(positives))
    scored = positives > 0
    precisions = np.where(scored, hits / np.maximum(positives, 1), np.nan)
    mean = float(precisions[scored].mean()) if scored.any() else float("nan")
    return RPrecision(mean, precisions)


def mean_average_precision_at_k(
    ranks: npt.ArrayLike, ground_truth: GroundTruth, k: int
) -> CutAveragePrecision:
    """Mean of precision@i over the right answers among the first k (arXiv 2004.01804, section 5).

    It is divided by the number of right answers, or by k where there are more.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: as `recall_at_k`.
        k: last rank that counts, >= 1.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return cut_precision_scores(judge(ranks, ground_truth), k)


def mean_average_precision_at_r(
    ranks: npt.ArrayLike, ground_truth: GroundTruth
) -> CutAveragePrecision:
    """Mean of precision@i over the right answers among the first R (arXiv 2003.08505).

    R is a query's number of right answers.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: as `recall_at_k`.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return cut_precision_scores(judge(ranks, ground_truth), None)


def label_ground_truth(
    query_ids: Sequence[int],
    query_labels: Sequence[Hashable],
    database_ids: Sequence[int],
    database_labels: Sequence[Hashable],
) -> list[dict[str, npt.NDArray[np.int64]]]:
    """Ground truth where every other image of a query's label is right, and itself is junk.

    Args:
        query_ids: (Q,) image ids.
        query_labels: (Q,) their labels.
        database_ids: (N,) image ids.
        database_labels: (N,) their labels.
    """
    members: dict[Hashable, list[int]] = {}
    for image, label in zip(database_ids, database_labels, strict=True):
        members.setdefault(label, []).append(image)
    truth = []
    for query, label in zip(query_ids, query_labels, strict=True):
        same = np.array(members.get(label, []), np.int64)
        truth.append({"ok": same[same != query], "junk": np.array([query], np.int64)})
    return truth


def cut_precision_scores(relevance: Relevance, last: int | None) -> CutAveragePrecision:
    """mAP@k of rankings that were judged, k being the last rank, or MAP@R where that is None."""
    ends = relevance.positives if last is None else np.full_like(relevance.positives, last)
    counted = relevance.rank < ends[relevance.query]
    precisions = np.where(counted, (relevance.number + 1) / (relevance.rank + 1), 0.0)
    sums = np.bincount(relevance.query, precisions, len(relevance.positives))
    scored = relevance.positives > 0
    possible = np.minimum(relevance.positives, ends)
    average = np.where(scored, sums / np.maximum(possible, 1), np.nan)
    mean = float(average[scored].mean()) if scored.any() else float("nan")
    return CutAveragePrecision(mean, average)
