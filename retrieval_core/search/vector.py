"""Search by global descriptors."""

from collections.abc import Sequence

import numpy as np

from retrieval_core.config import VectorConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import VectorIndex
from retrieval_core.search.expansion import look_up
from retrieval_core.search.processed import ProcessedIndex
from retrieval_core.search.ranking import Ranking, empty_ranking


def rank_global(
    index: VectorIndex | ProcessedIndex,
    store: FeatureStore,
    query_ids: Sequence[int],
    config: VectorConfig,
    top_k: int | None,
) -> Ranking:
    """Rank the indexed images for each query image.

    Args:
        index: vector index to search.
        store: descriptors of the query images, of one model with `index`.
        query_ids: image ids, unique.
        config: of the search; what an index is built with is the index's own.
        top_k: length of a ranking; None ranks every image.

    Returns:
        One row per query, in this order; only -1 where the store does not have the query.
    """
    length = len(index) if top_k is None else min(top_k, len(index))
    ranking = empty_ranking(query_ids, length)
    row_of = {query: row for row, query in enumerate(query_ids)}
    found, vectors = store.global_descriptors(query_ids)
    rows = np.array([row_of[int(query)] for query in found], np.int64)
    if isinstance(index, ProcessedIndex):
        ranked = index.search(vectors, top_k, found, config)
    else:
        ranked = look_up(index, vectors, top_k, config)
    ranking.ids[rows], ranking.scores[rows] = ranked
    return ranking
