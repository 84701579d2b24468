"""Hard negatives by the current global descriptor."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.tuples import TrainingTuple, draw_pairs, draw_pool
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.reading import ImageReader

BLOCK = 256


def mine_tuples(
    model: RetrievalModel,
    catalogue: Catalogue,
    config: TrainingConfig,
    reader: ImageReader,
    rng: np.random.Generator,
) -> list[TrainingTuple]:
    """The tuples of one epoch.

    Args:
        model: its global descriptor tells which negatives are hard.
        catalogue: images and pairs to draw from.
        config: how many queries, negatives and images of the pool.
        reader: decodes images; tuples whose query is unreadable are left out.
        rng: source of all choices.

    Raises:
        DatasetError: there are too few labels or images.
        TooManyExclusionsError: as the reader does.
    """
    pairs = draw_pairs(catalogue, config.queries, rng)
    pool = draw_pool(catalogue, config.mining.pool, rng)
    queries = {query.image_id: query for query, _ in pairs}
    # An image that is both in the pool and a query goes through the network once.
    wanted = list({**{row.image_id: row for row in pool}, **queries}.values())
    readable, vectors = global_descriptors(model, wanted, reader)
    number = {row.image_id: i for i, row in enumerate(readable)}
    pairs = [pair for pair in pairs if pair[0].image_id in number]
    pool = [row for row in pool if row.image_id in number]
    names = {row.label: 0 for row in wanted}
    labels = dict(zip(names, range(len(names)), strict=True))
    mined = hardest_negatives(
        vectors[[number[query.image_id] for query, _ in pairs]],
        np.array([labels[query.label] for query, _ in pairs], dtype=np.int64),
        vectors[[number[row.image_id] for row in pool]],
        np.array([labels[row.label] for row in pool], dtype=np.int64),
        config.mining.negatives,
    )
    return [
        TrainingTuple(query, positive, tuple(pool[i] for i in negatives))
        for (query, positive), negatives in zip(pairs, mined, strict=True)
    ]


def hardest_negatives(
    queries: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    pool: NDArray[np.float32],
    pool_labels: NDArray[np.int64],
    count: int,
) -> Iterator[NDArray[np.int64]]:
    """The most similar images of other labels, at most one per label.

    Where the pool shows fewer other labels than `count`, the next most similar images of those
    labels fill up; no image comes twice.

    Args:
        queries: (Q, D) unit norm.
        query_labels: (Q,).
        pool: (P, D) unit norm, P >= 1.
        pool_labels: (P,).
        count: negatives per query, >= 1.

    Yields:
        Per query, up to `count` positions in the pool: most similar first, those that fill up
        last.
    """
    order = np.argsort(pool_labels, kind="stable")
    labels, starts = np.unique(pool_labels[order], return_index=True)
    segments = np.split(order, starts[1:])
    grouped = np.ascontiguousarray(pool[order].T)
    for first in range(0, len(queries), BLOCK):
        similarity = queries[first : first + BLOCK] @ grouped
        best = np.maximum.reduceat(similarity, starts, axis=1)
        best[query_labels[first : first + BLOCK, None] == labels] = -np.inf
        for scores, by_label, own in zip(
            similarity, best, query_labels[first : first + BLOCK], strict=True
        ):
            by_image = np.empty_like(scores)
            by_image[order] = scores
            chosen = np.array(
                [segments[g][by_image[segments[g]].argmax()] for g in _largest(by_label, count)],
                dtype=np.int64,
            )
            by_image[pool_labels == own] = -np.inf
            by_image[chosen] = -np.inf
            yield np.concatenate([chosen, _largest(by_image, count - len(chosen))])


def _largest(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Positions of the largest finite scores, best first, without sorting all of them."""
    count = min(count, int(np.isfinite(scores).sum()))
    if count == 0:
        return np.empty(0, dtype=np.int64)
    top = np.argpartition(-scores, count - 1)[:count]
    return top[np.argsort(-scores[top], kind="stable")]
