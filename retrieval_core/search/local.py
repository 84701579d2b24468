"""Search by local descriptors."""

from collections.abc import Sequence

import numpy as np

from retrieval_core.config import AsmkConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import AsmkIndex
from retrieval_core.search.ranking import Ranking, empty_ranking


def rank_local(
    index: AsmkIndex,
    store: FeatureStore,
    query_ids: Sequence[int],
    config: AsmkConfig,
    top_k: int | None,
) -> Ranking:
    """Rank the indexed images for each query image, one shard of descriptors at a time.

    Args:
        index: inverted file to search.
        store: descriptors of the query images; those of one model and codebook with `index`.
        query_ids: image ids, unique.
        config: of the search; `binary` and `use_idf` are the index's own.
        top_k: length of a ranking; None ranks every image.

    Returns:
        One row per query, in this order; only -1 where the store does not have the query.
    """
    length = len(index) if top_k is None else min(top_k, len(index))
    ranking = empty_ranking(query_ids, length)
    row_of = {query: row for row, query in enumerate(query_ids)}
    for shard in store.local_shards(query_ids):
        rows = np.array([row_of[int(query)] for query in shard.image_ids], np.int64)
        ranking.ids[rows], ranking.scores[rows] = index.search(
            shard.descriptors,
            shard.image_index,
            top_k=top_k,
            multiple_assignment=config.multiple_assignment,
            alpha=config.alpha,
            threshold=config.threshold,
            queries=len(rows),
        )
    return ranking
