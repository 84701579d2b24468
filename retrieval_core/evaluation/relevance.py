"""Which ranked images are right, and at which rank once junk is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import RankingError

GroundTruth = Sequence[Mapping[str, npt.ArrayLike]]


@dataclass(frozen=True, eq=False)
class Relevance:
    """Rankings as right and wrong.

    Attributes:
        positive: (Q, N) bool, whether the image is a right answer.
        rank: (Q, N) int64, its position, from 0, with junk and padding left out; of junk, the
            position that it would have had.
        positives: (Q,) int64, right answers of each query, retrieved or not.
    """

    positive: npt.NDArray[np.bool_]
    rank: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]


def judge(ranks: npt.ArrayLike, ground_truth: GroundTruth) -> Relevance:
    """Compare rankings with the ground truth.

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
    positive, ignored = np.zeros(ids.shape, bool), ids == -1
    positives = np.zeros(len(ids), np.int64)
    for query, truth in enumerate(ground_truth):
        right, junk = _ids(truth["ok"]), _ids(truth.get("junk", ()))
        positive[query] = np.isin(ids[query], right)
        ignored[query] |= np.isin(ids[query], junk)
        positives[query] = len(right)
    before = np.cumsum(ignored, axis=1) - ignored
    return Relevance(positive, np.arange(ids.shape[1]) - before, positives)


def _ids(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64).reshape(-1)
