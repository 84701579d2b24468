"""Descriptors added up with their nearest neighbours: query expansion, database augmentation."""

import numpy as np

from retrieval_core.config import NeighboursConfig, VectorConfig
from retrieval_core.index import VectorIndex
from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.vector import DEFAULTS

# bounds the (rows, neighbours, D) array: 42 MB for 10 neighbours of 1,024 dimensions
ROWS_AT_ONCE = 1_024


def look_up(
    index: VectorIndex, vectors: Float32, top_k: int | None, config: VectorConfig
) -> tuple[Int64, Float32]:
    """Search an index as hard as the configuration says (otherwise as `VectorIndex.search`)."""
    effort, probes = config.search_effort, config.probes
    return index.search(vectors, top_k, search_effort=effort, probes=probes)


def nearest(
    index: VectorIndex,
    vectors: Float32,
    own_ids: Int64,
    count: int,
    vector: VectorConfig = DEFAULTS,
) -> tuple[Int64, Float32]:
    """Nearest indexed images of each vector, without the image that the vector is of.

    Args:
        index: searched.
        vectors: (n, D) float32, unit norm.
        own_ids: (n,) images that the vectors are of, in the index or not.
        count: k, neighbours of each, >= 1.
        vector: of the search.

    Returns:
        Ids (n, k) int64, best first, -1 where fewer were found, and similarities
        (n, k) float32, 0 there.

    Raises:
        IndexInputError: unusable vectors.
    """
    found, scores = look_up(index, vectors, count + 1, vector)
    found = np.where(found == np.asarray(own_ids)[:, None], NO_IMAGE, found)
    order = np.argsort(found == NO_IMAGE, axis=1, kind="stable")[:, :count]
    width = order.shape[1]
    ids = np.full((len(found), count), NO_IMAGE, np.int64)
    similarities = np.zeros((len(found), count), np.float32)
    ids[:, :width] = np.take_along_axis(found, order, axis=1)
    similarities[:, :width] = np.take_along_axis(scores, order, axis=1)
    similarities[ids == NO_IMAGE] = 0
    return ids, similarities


def neighbour_weights(similarities: Float32, config: NeighboursConfig) -> Float32:
    """What each neighbour counts beside the descriptor's own 1.

    Args:
        similarities: (n, k) inner products, best first.
        config: "average" (AQE, Chum et al., ICCV 2007), "rank" (Gordo et al., IJCV 2017) or
            "alpha" (alphaQE, arXiv 1711.02512, section 4.2).

    Returns:
        (n, k) float32, in [0, 1].
    """
    if config.kind == "alpha":
        return np.clip(similarities, 0, 1) ** np.float32(config.alpha)
    k = similarities.shape[1]
    weights = np.ones(k) if config.kind == "average" else np.arange(k, 0, -1) / (k + 1)
    return np.broadcast_to(weights.astype(np.float32), similarities.shape)


def add_neighbours(vectors: Float32, neighbours: Float32, weights: Float32) -> Float32:
    """Normalised weighted sums; a descriptor that its neighbours cancel out stays as it is.

    Args:
        vectors: (n, D) float32, unit norm.
        neighbours: (n, k, D) float32.
        weights: (n, k) float32, 0 where there is no neighbour.

    Returns:
        (n, D) float32, unit norm.
    """
    sums = vectors + np.einsum("nk,nkd->nd", weights, neighbours)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    cancelled = norms < np.finfo(np.float32).eps
    return np.where(cancelled, vectors, sums / np.where(cancelled, 1, norms)).astype(np.float32)


def expand(
    index: VectorIndex,
    vectors: Float32,
    own_ids: Int64,
    config: NeighboursConfig,
    vector: VectorConfig = DEFAULTS,
) -> Float32:
    """Every descriptor with its nearest neighbours in an index added.

    Of queries it is query expansion, of the indexed images themselves, database
    augmentation.

    Args:
        index: of the neighbours.
        vectors: (n, D) float32, unit norm.
        own_ids: (n,) images that they are of; no image is its own neighbour.
        config: how many, and what they count.
        vector: of the search.

    Returns:
        (n, D) float32, unit norm.

    Raises:
        IndexInputError: unusable vectors.
    """
    expanded = np.empty_like(vectors)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        ids, similarities = nearest(index, vectors[rows], own_ids[rows], config.neighbours, vector)
        known = ids != NO_IMAGE
        weights = np.where(known, neighbour_weights(similarities, config), np.float32(0))
        neighbours = np.zeros((*ids.shape, index.dim), np.float32)
        neighbours[known] = index.reconstruct(ids[known])
        expanded[rows] = add_neighbours(vectors[rows], neighbours, weights)
    return expanded
