"""Nearest neighbours among descriptors, block by block: never all similarities at once."""

from collections.abc import Iterator

import torch
from torch import Tensor

QUERIES = 256
DATABASE = 16_384


def nearest_of_other_classes(
    vectors: Tensor, labels: Tensor, count: int, *, block: tuple[int, int] = (QUERIES, DATABASE)
) -> Tensor:
    """The most similar images of other classes, for every image of a set.

    Args:
        vectors: (N, D) float, unit norm; the search runs where they are.
        labels: (N,) int64.
        count: neighbours per image, >= 1.
        block: queries and images compared at a time.

    Returns:
        (N, min(count, N)) int64 positions, most similar first, -1 where there are fewer.
    """
    count = min(count, len(vectors))
    found = [
        _nearest(vectors, labels, rows, count, block[1]) for rows in _blocks(len(vectors), block[0])
    ]
    return torch.cat(found) if found else torch.empty(0, 0, dtype=torch.int64)


def hardest_negatives(
    queries: Tensor,
    query_labels: Tensor,
    pool: Tensor,
    pool_labels: Tensor,
    count: int,
    *,
    block: int = QUERIES,
) -> Iterator[Tensor]:
    """The most similar images of other classes, one of each class first.

    Where the pool shows fewer other classes than `count`, the next most similar images of those
    classes fill up; no image comes twice.

    Args:
        queries: (Q, D) float, unit norm; the search runs where they are.
        query_labels: (Q,) int64.
        pool: (P, D) float, unit norm, P >= 1.
        pool_labels: (P,) int64.
        count: images per query, >= 1.
        block: queries compared at a time.

    Yields:
        Per query, up to `count` positions in the pool: most similar first, those that fill up
        last.
    """
    names, classes = torch.unique(pool_labels, return_inverse=True)
    for rows in _blocks(len(queries), block):
        similarity = queries[rows] @ pool.T
        similarity[query_labels[rows, None] == pool_labels] = -torch.inf
        of_class = classes.expand_as(similarity)
        best = similarity.new_full((len(similarity), len(names)), -torch.inf)
        best.scatter_reduce_(1, of_class, similarity, "amax")
        is_best = similarity == best.gather(1, of_class)
        leaders = _first_of_each(is_best, of_class, len(names))
        scores, chosen = best.topk(min(count, len(names)))
        chosen = leaders.gather(1, chosen)
        further, filling = similarity.scatter(1, chosen, -torch.inf).topk(min(count, len(pool)))
        for score, position, more, filler in zip(scores, chosen, further, filling, strict=True):
            first = position[score.isfinite()]
            rest = filler[more.isfinite()][: count - len(first)]
            yield torch.cat([first, rest]).cpu()


def _first_of_each(marked: Tensor, classes: Tensor, count: int) -> Tensor:
    """(Q, count) smallest marked position of each class, all of which have one."""
    width = marked.shape[1]
    positions = torch.arange(width, device=marked.device).expand_as(classes)
    beyond = positions.new_full((len(marked), count), width)
    return beyond.scatter_reduce_(1, classes, positions.where(marked, width), "amin")


def _nearest(vectors: Tensor, labels: Tensor, rows: slice, count: int, width: int) -> Tensor:
    """(q, count) nearest of some rows; the best so far compete with those of the next block."""
    size = rows.stop - rows.start
    scores = vectors.new_full((size, count), -torch.inf)
    positions = torch.full((size, count), -1, device=vectors.device)
    for columns in _blocks(len(vectors), width):
        similarity = vectors[rows] @ vectors[columns].T
        similarity[labels[rows, None] == labels[columns]] = -torch.inf
        kept, index = similarity.topk(min(count, similarity.shape[1]))
        index = (index + columns.start).where(kept.isfinite(), -1)
        scores, order = torch.cat([scores, kept], 1).topk(count)
        positions = torch.cat([positions, index], 1).gather(1, order)
    return positions


def _blocks(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))
