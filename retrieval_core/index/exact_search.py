"""Exact search among vectors: matrix products block by block, and the best of each kept.

No more than a block of scores is in memory: `QUERY_BLOCK` x `IMAGE_BLOCK`, and what `TopScores`
keeps of it. A score is the inner product as the matrix product of the processor rounds it.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.threads import cores, side_by_side
from retrieval_core.index.top_scores import TopScores, capacity

QUERY_BLOCK, IMAGE_BLOCK = 1024, 4096
# a product has a multiple of so many rows: none is so small that another routine makes it
ROW_STEP = 32
# of the keys of a block of queries
KEY_BYTES = 2**27


def search_exactly(
    queries: Float32, blocks: Sequence[Float32], top_k: int
) -> Iterator[tuple[slice, Int64, Float32]]:
    """The images of the highest inner products with each query, some queries after the other.

    Args:
        queries: (Q, D) float32.
        blocks: (n, D) float32 each; positions count through them.
        top_k: 1 <= top_k <= number of images.

    Yields:
        Rows of the queries, positions (q, top_k) int64 and products (q, top_k) float32, best
        first, the lower position first among equal products.
    """
    images = sum(map(len, blocks))
    fitting = KEY_BYTES // (8 * capacity(images, top_k))
    step = max(1, min(QUERY_BLOCK, fitting, len(queries)))
    products = torch.empty((_rounded(step), min(IMAGE_BLOCK, images)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        positions, scores = _search_block(queries[rows], blocks, top_k, images, products)
        yield rows, positions, scores


def _search_block(
    queries: Float32, blocks: Sequence[Float32], top_k: int, images: int, products: Tensor
) -> tuple[Int64, Float32]:
    count, dim = queries.shape
    padded = torch.zeros((_rounded(count), dim))
    padded[:count] = from_dlpack(queries)
    best = TopScores(count, images, top_k)
    parts = _parts(count)
    for first, vectors in _cut(blocks):
        width = len(vectors)
        block = products.view(-1)[: len(padded) * width].view(len(padded), width)
        torch.mm(padded, from_dlpack(vectors).T, out=block)
        side_by_side(partial(best.gather, block[:count].numpy(), first), parts)
    found = side_by_side(best.best, parts)
    positions, scores = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return positions, scores


def _cut(blocks: Sequence[Float32]) -> Iterator[tuple[int, Float32]]:
    """Position of the first image and vectors of every product."""
    first = 0
    for vectors in blocks:
        for start in range(0, len(vectors), IMAGE_BLOCK):
            yield first + start, vectors[start : start + IMAGE_BLOCK]
        first += len(vectors)


def _parts(rows: int) -> list[slice]:
    """Of about equal size, one per core, as far as there are rows."""
    count = min(cores(), rows)
    bounds = [rows * part // count for part in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _rounded(rows: int) -> int:
    return -(-rows // ROW_STEP) * ROW_STEP
