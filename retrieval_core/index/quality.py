"""What an approximate vector index finds of what an exact one would."""

import numpy as np

from retrieval_core.config import VectorConfig
from retrieval_core.index.exact_rows import ExactRows
from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.vector import VectorIndex

SAMPLE, NEIGHBOURS = 200, 10


def recall_against_exact(
    index: VectorIndex, vectors: Float32, config: VectorConfig
) -> dict[str, float]:
    """Share of an image's ten nearest others that the index finds among its ten.

    Args:
        index: to judge.
        vectors: (N, D) float32 of its images, by ascending id; a sample of them are the queries.
        config: of the search.

    Returns:
        "recall_against_exact@10" in [0, 1]; nothing for an exact index or a single image.
    """
    if index.kind == "exact" or len(index) < 2:
        return {}
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(index), min(SAMPLE, len(index)), replace=False))
    queries, wanted = vectors[rows], min(NEIGHBOURS, len(index) - 1)
    exact = VectorIndex(ExactRows(index.image_ids, vectors)).search(queries, wanted + 1)[0]
    found = index.search(
        queries, wanted + 1, search_effort=config.search_effort, probes=config.probes
    )[0]
    hits = [
        len(np.intersect1d(_others(right, own, wanted), _others(given, own, wanted)))
        for right, given, own in zip(exact, found, index.image_ids[rows], strict=True)
    ]
    return {f"recall_against_exact@{wanted}": float(np.mean(hits)) / wanted}


def _others(ids: Int64, own: int, count: int) -> Int64:
    others: Int64 = ids[(ids != own) & (ids != NO_IMAGE)]
    return others[:count]
