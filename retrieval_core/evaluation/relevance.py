"""Which ranked images are right, and at which rank once junk is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import RankingError

Int64 = npt.NDArray[np.int64]
GroundTruth = Sequence[Mapping[str, npt.ArrayLike]]


@dataclass(frozen=True, eq=False)
class Relevance:
    """The right answers that rankings hold, one entry each, query after query, best first.

    Attributes:
        positives: (Q,) number of right answers of each query, retrieved or not.
        query: (M,) row of the query.
        rank: (M,) position in the ranking, from 0, with junk and padding left out.
        number: (M,) how many right answers stand before it.
    """

    positives: Int64
    query: Int64
    rank: Int64
    number: Int64


def judge(ranks: npt.ArrayLike, ground_truth: GroundTruth) -> Relevance:
    """Find the right answers in rankings.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: per query the ids that are right ("ok") and those that do not count
            ("junk", may be absent).

    Raises:
        RankingError: other shapes or numbers of queries.
    """
    ids = np.asarray(ranks)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or len(ids) != len(ground_truth):
        raise RankingError(
            f"ranks: expected whole numbers of shape ({len(ground_truth)}, N), "
            f"found {ids.dtype} {ids.shape}"
        )
    right = [_ids(truth["ok"]) for truth in ground_truth]
    junk = [_ids(truth.get("junk", ())) for truth in ground_truth]
    found = [_clean_ranks(*query) for query in zip(ids, right, junk, strict=True)]
    counts = np.array([len(rank) for rank in found], np.int64)
    return Relevance(
        positives=np.array([len(r) for r in right], np.int64),
        query=np.repeat(np.arange(len(ids)), counts),
        rank=np.concatenate([np.empty(0, np.int64), *found]),
        number=np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts),
    )


def _clean_ranks(ids: npt.NDArray[Any], right: Int64, junk: Int64) -> Int64:
    ids = ids.astype(np.int64, copy=False)  # one query's: of all, it would be a second ranking
    positions = np.flatnonzero(np.isin(ids, right))
    ignored = np.flatnonzero((ids == -1) | np.isin(ids, junk))
    return positions - np.searchsorted(ignored, positions)


def _ids(values: npt.ArrayLike) -> Int64:
    return np.asarray(values, dtype=np.int64).reshape(-1)
