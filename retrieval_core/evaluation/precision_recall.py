"""Precision at every recall: where along a ranking the right answers are."""

import numpy as np
import numpy.typing as npt

from retrieval_core.data.catalogue import Catalogue
from retrieval_core.evaluation.relevance import GroundTruth, judge
from retrieval_core.evaluation.report import ranks_by_truth, truth_by_setup
from retrieval_core.search.ranking import Ranking

Float64 = npt.NDArray[np.float64]

RECALL_LEVELS = 101


def precision_recall(
    ranking: Ranking, catalogue: Catalogue, levels: int = RECALL_LEVELS
) -> dict[str, Float64]:
    """Precision at each recall, as a mean over the queries that have right answers.

    Args:
        ranking: database images of the catalogue's queries.
        catalogue: ground truth.
        levels: L, as `interpolated_precision`.

    Returns:
        Per setup ("easy", "medium", "hard"; "all" under the old protocol) (L,) in [0, 1]; a setup
        in which no query has right answers is left out.

    Raises:
        RankingError: a ranked query is not in the catalogue.
    """
    ranks = ranks_by_truth(ranking, catalogue)
    curves = {
        setup: interpolated_precision(ranks, truth, levels)
        for setup, truth in truth_by_setup(catalogue).items()
    }
    return {s: np.nanmean(c, axis=0) for s, c in curves.items() if not np.isnan(c).all()}


def interpolated_precision(
    ranks: npt.ArrayLike, ground_truth: GroundTruth, levels: int = RECALL_LEVELS
) -> Float64:
    """The highest precision that a ranking reaches at each recall or beyond.

    That interpolation makes a query's precision fall with recall, so that a mean over queries
    with different numbers of right answers has a meaning (Manning et al.: Introduction to
    Information Retrieval, section 8.4). A recall that a ranking does not reach has precision 0.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: per query {"ok": ids, "junk": ids}; junk is left out of the ranking.
        levels: L, number of recalls from 0 to 1 at equal distances, >= 2.

    Returns:
        (Q, L) in [0, 1]; NaN for a query without right answers.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    relevance = judge(ranks, ground_truth)
    precisions = (relevance.number + 1) / (relevance.rank + 1)
    curves = np.full((len(relevance.positives), levels), np.nan)
    starts = np.searchsorted(relevance.query, np.arange(1, len(curves)))
    for query, found in enumerate(np.split(precisions, starts)):
        if positives := int(relevance.positives[query]):
            curves[query] = _at_levels(found, positives, levels)
    return curves


def _at_levels(precisions: Float64, positives: int, levels: int) -> Float64:
    """(L,) from the precisions at each of the right answers that were found, best first."""
    best = np.maximum.accumulate(precisions[::-1])[::-1]
    # whole numbers: recall l / (L - 1) needs ceil(l * positives / (L - 1)) right answers
    needed = -(-np.arange(levels) * positives // (levels - 1))
    reached = np.append(best, np.zeros(positives - len(best)))
    curve: Float64 = reached[np.maximum(needed, 1) - 1]
    return curve
