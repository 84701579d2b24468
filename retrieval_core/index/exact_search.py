"""Exact search among vectors: matrix products block by block, and the best of each kept.

Where there are many queries, a core has some of its own, at most `QUERY_BLOCK` at a time. It holds
their scores with at most `IMAGE_BLOCK` images and what `TopScores` keeps. A score is the inner
product as the matrix product of the processor rounds it.

`ScoreFloor` guesses what a query's best scores are above, so that little is kept that is dropped
later. The few queries whose guess was too high are searched again without one: rankings do not
depend on it.
"""

from collections import deque
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.dlpack import from_dlpack

from retrieval_core.index.allocation import new_array
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.score_floor import ScoreFloor
from retrieval_core.index.threads import cores, own_cores
from retrieval_core.index.top_scores import TopScores, capacity

QUERY_BLOCK, IMAGE_BLOCK = 512, 4096
# a product has a multiple of so many rows: none is so small that another routine makes it, whose
# rounding would be another one
ROW_STEP = 32
# queries that are worth a core of their own; if it is not so many for each, all cores multiply
# together
LEAST_BLOCK = 2 * ROW_STEP
# of the keys of the queries that are searched at a time
KEY_BYTES = 2**27


def search_exactly(
    queries: Float32, blocks: Sequence[Float32], top_k: int
) -> Generator[tuple[slice, Int64, Float32]]:
    """The images of the highest inner products with each query, some queries after the other.

    Args:
        queries: (Q, D) float32.
        blocks: (n, D) float32 each; positions count through them.
        top_k: 1 <= top_k <= number of images.

    Yields:
        Rows of the queries, positions (q, top_k) int64 and products (q, top_k) float32, best
        first, the lower position first among equal products.
    """
    at_work, step = _shares(len(queries), capacity(sum(map(len, blocks)), top_k))
    floor, pieces = ScoreFloor.of(blocks, top_k), _cut(blocks)

    def search(start: int) -> tuple[slice, Int64, Float32]:
        rows = slice(start, min(start + step, len(queries)))
        return rows, *_search_block(queries[rows], pieces, top_k, floor)

    starts = range(0, len(queries), step)
    if at_work == 1:
        yield from map(search, starts)
        return
    with own_cores(at_work) as pool:
        # a core that is done has one more to do, but few rankings wait here
        waiting = deque(pool.submit(search, start) for start in starts[: at_work + 1])
        for start in starts[at_work + 1 :]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(search, start))
        while waiting:
            yield waiting.popleft().result()


def _shares(queries: int, keys: int) -> tuple[int, int]:
    """Cores with queries of their own, and queries of each at a time, with so many keys each."""
    together = max(1, KEY_BYTES // (8 * keys))
    at_work = cores() if min(queries, together) >= cores() * LEAST_BLOCK else 1
    each, room = -(-queries // at_work), together // at_work
    step = min(QUERY_BLOCK, room, _rounded(each))
    return at_work, step // ROW_STEP * ROW_STEP or max(1, step)


def _search_block(
    queries: Float32, pieces: Sequence["_Piece"], top_k: int, floor: ScoreFloor | None
) -> tuple[Int64, Float32]:
    products = _Products(queries)
    guessed = None if floor is None else floor.below(products.with_(floor.vectors))
    images = sum(len(piece.vectors) - piece.seen for piece in pieces)
    best = TopScores(len(queries), images, top_k, guessed)
    for vectors, seen, first in pieces:
        best.gather(np.ascontiguousarray(products.with_(vectors)[:, seen:]), first)
    positions, scores, enough = best.best()
    del best, products  # their memory, for the second search
    if not enough.all():
        again = _search_block(queries[~enough], pieces, top_k, None)
        positions[~enough], scores[~enough] = again
    return positions, scores


class _Products:
    """Inner products of some queries, (Q, D) float32, written to the same memory every time."""

    def __init__(self, queries: Float32) -> None:
        self._count = len(queries)
        padded = new_array((_rounded(self._count), queries.shape[1]), np.float32)
        padded[: self._count], padded[self._count :] = queries, 0
        self._queries = torch.from_numpy(padded)
        # of a thread's ordinary memory much would stay with the thread
        self._room = torch.from_numpy(new_array((len(padded) * IMAGE_BLOCK,), np.float32))

    def with_(self, vectors: Float32) -> Float32:
        """(Q, n) float32, with n vectors, at most `IMAGE_BLOCK`; overwrites the last call's."""
        shape = (len(self._queries), len(vectors))
        block = self._room[: shape[0] * shape[1]].view(shape)
        torch.mm(self._queries, from_dlpack(vectors).T, out=block)
        products: npt.NDArray[np.float32] = block[: self._count].numpy()
        return products


class _Piece(NamedTuple):
    """What is multiplied at a time.

    Attributes:
        vectors: (n, D) float32.
        seen: how many of them, from the first on, are in the piece before, too.
        first: position of the image behind these.
    """

    vectors: Float32
    seen: int
    first: int


def _cut(blocks: Sequence[Float32]) -> list[_Piece]:
    """All images, at most `IMAGE_BLOCK` at a time.

    All pieces are of one size, and the last reaches back for it: products of another shape may be
    rounded in another way, and equal vectors would not have equal scores.
    """
    pieces, images = [], sum(map(len, blocks))
    count = -(-images // IMAGE_BLOCK)
    size = min(IMAGE_BLOCK, _rounded(-(-images // count)))
    for start in range(0, images, size):
        first = max(0, min(start, images - size))
        vectors = _rows(blocks, first, min(first + size, images))
        pieces.append(_Piece(vectors, start - first, start))
    return pieces


def _rows(blocks: Sequence[Float32], first: int, stop: int) -> Float32:
    """Vectors from one position to another; copied where they are of several blocks."""
    found, before = [], 0
    for block in blocks:
        part = block[max(0, first - before) : max(0, stop - before)]
        if len(part):
            found.append(part)
        before += len(block)
    return found[0] if len(found) == 1 else np.concatenate(found)


def _rounded(rows: int) -> int:
    return -(-rows // ROW_STEP) * ROW_STEP
