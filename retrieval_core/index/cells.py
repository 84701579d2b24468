"""Nearest visual words of many descriptors, sought in the cells of the codebook near each.

The words are clustered into cells. A descriptor's affinity to a cell, x m - |m|^2 / 2 for the mean
m of its words, says how near the cell is; only cells whose affinity lies far enough above the
average of all cells are searched, by one matrix product per cell and in the processor's short
floats where it has them. The best few are compared again exactly.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from retrieval_core.index.assignment import keep_best, rows_between
from retrieval_core.index.clustering import cluster_exactly
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.threads import cores

Products = npt.NDArray[Any]

WORDS_PER_CELL = 256
CLUSTERING_ROUNDS = 5
BLOCK = 32_768
# The library compiles a kernel for each shape of a product that it meets: let there be few.
LARGEST_PRODUCT, PRODUCT_STEP = 2048, 128
# words of a cell are filled up to a multiple of
WIDTH = 32
# standard deviations above the reach of the cells that are searched first
NEARBY = 0.2


def has_short_products() -> bool:
    """Whether the processor multiplies matrices of bfloat16 faster than those of float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


class Cells:
    """The words of a codebook, grouped by nearness.

    Args:
        centroids: (size, d) float32.
        short: multiply in bfloat16.
    """

    def __init__(self, centroids: Float32, *, short: bool) -> None:
        self.origin = centroids.mean(axis=0)
        centred = centroids - self.origin
        count = max(1, len(centroids) // WORDS_PER_CELL)
        self.means = cluster_exactly(centred, count, seed=0, iterations=CLUSTERING_ROUNDS)
        self._cell = faiss.knn(centred, self.means, 1)[1][:, 0]
        self.halves = _squares(self.means) / 2
        order = np.argsort(self._cell, kind="stable")
        own = self._cell[order]
        counts = np.bincount(own, minlength=count)
        # cells have few different widths, so that products have few shapes
        self.bounds = np.append(0, np.cumsum(-(-counts // WIDTH) * WIDTH))
        places = (
            self.bounds[own] + np.arange(len(own)) - np.repeat(np.cumsum(counts) - counts, counts)
        )
        self.words = np.full(self.bounds[-1], -1)
        self.words[places] = order
        self.biases = np.full(self.bounds[-1], np.inf, np.float32)
        self.biases[places] = _squares(centred[order]) / 2 - self.halves[own]
        relative = torch.zeros((int(self.bounds[-1]), centred.shape[1]))
        relative[torch.from_numpy(places)] = torch.from_numpy(centred[order] - self.means[own])
        self.relative = relative.to(torch.bfloat16 if short else torch.float32)

    def reach(self, vectors: Float32, nearest: Int64, agreement: float) -> float:
        """How far above the average a cell must lie for this share of words to be found.

        Args:
            vectors: (n, d) float32.
            nearest: (n,) the true nearest word of each.
            agreement: share of them to find, 0 to 1.

        Returns:
            In standard deviations of a descriptor's affinities to all cells.
        """
        centred, cell = vectors - self.origin, self._cell[nearest]
        affinities = np.einsum("nd,nd->n", centred, self.means[cell]) - self.halves[cell]
        mean, deviation = self.moments(centred)
        return float(np.quantile((affinities - mean) / deviation, 1 - agreement))

    def nearest(self, vectors: Float32, count: int, reach: float) -> Int64:
        """The words that are probably nearest.

        Args:
            vectors: (n, d) float32.
            count: words of each, >= 1.
            reach: as of `reach`.

        Returns:
            (n, count) int64, best first; -1 where the cells hold fewer.
        """
        found = np.empty((len(vectors), count), np.int64)
        at_work = min(cores(), -(-len(vectors) // BLOCK))

        def search(first: int) -> None:
            block = _BlockSearch(self, min(BLOCK, len(vectors)), count, reach)
            for start in range(first * BLOCK, len(vectors), at_work * BLOCK):
                part = slice(start, start + BLOCK)
                found[part] = block.words(vectors[part])

        threads = torch.get_num_threads()
        # every thread has a core of its own; what it sets is the process's number for new threads
        pool = ThreadPoolExecutor(max(1, at_work), initializer=torch.set_num_threads, initargs=(1,))
        try:
            with pool:
                list(pool.map(search, range(at_work)))
        finally:
            torch.set_num_threads(threads)
        return found

    def moments(self, centred: Float32) -> tuple[Float32, Float32]:
        """Mean and standard deviation of each descriptor's affinities to all cells.

        Args:
            centred: (n, d) float32, from the origin.

        Returns:
            (n,) float32 each.
        """
        mean, covariance = self._statistics
        extended = np.column_stack([centred, np.ones(len(centred), np.float32)])
        variance = np.einsum("nd,nd->n", extended @ covariance, extended)
        return extended @ mean, np.sqrt(np.maximum(variance, np.finfo(np.float32).tiny))

    @cached_property
    def _statistics(self) -> tuple[Float32, Float32]:
        # an affinity is a product of the descriptor, extended by 1, and of these
        factors = np.column_stack([self.means, -self.halves])
        return factors.mean(axis=0), np.cov(factors.T, bias=True).astype(np.float32)


class _BlockSearch:
    """Some descriptors after the other on their way through the cells, in the same memory."""

    def __init__(self, cells: Cells, rows: int, count: int, reach: float) -> None:
        self._cells, self._count = cells, count
        # the nearest cells first: few words of others are better than what they hold
        self._above = np.array([np.inf, reach + NEARBY, reach], np.float32)[:, None]
        dim, dtype = cells.means.shape[1], cells.relative.dtype
        widest = int(np.diff(cells.bounds).max())
        self._all_affinities = torch.empty(len(cells.means) * rows)
        self._picked = torch.empty((LARGEST_PRODUCT, dim), dtype=dtype)
        self._products = torch.empty(LARGEST_PRODUCT * widest, dtype=dtype)

    def words(self, vectors: Float32) -> Int64:
        """(n, count) int64 words, best first; -1 where there are fewer."""
        levels = self._enter(vectors)
        rows = np.empty(len(vectors) + 1, np.int64)
        for highest, lowest in pairwise(levels):
            for cell, affinities in enumerate(self._affinities):
                self._visit(cell, rows[: rows_between(affinities, lowest, highest, rows)])
        return np.where(self._found < 0, -1, self._cells.words[self._found])

    def _enter(self, vectors: Float32) -> Float32:
        """Affinities to the cells; how high they are where a cell is searched, (3, n) falling."""
        cells, size = self._cells, (len(vectors), self._count)
        centred = vectors - cells.origin
        tensor = torch.from_numpy(centred)
        self._tensor = tensor.to(cells.relative.dtype)
        halves, means = torch.from_numpy(cells.halves), torch.from_numpy(cells.means)
        shape = len(means), len(vectors)
        affinities = self._all_affinities[: shape[0] * shape[1]].view(shape)
        torch.addmm(halves[:, None], means, tensor.T, beta=-1, out=affinities)
        self._affinities = affinities.numpy()
        self._found, self._scores = np.full(size, -1, np.int32), np.full(size, -np.inf, np.float32)
        mean, deviation = cells.moments(centred)
        return mean + self._above * deviation

    def _visit(self, cell: int, rows: Int64) -> None:
        """Compare descriptors with the words of a cell."""
        cells, begin, end = self._cells, self._cells.bounds[cell], self._cells.bounds[cell + 1]
        relative, biases = cells.relative[begin:end].T, cells.biases[begin:end]
        start = 0
        while start < len(rows) and begin < end:
            size = _product_size(len(rows) - start)
            part = rows[start : start + size]
            products = self._multiply(part, relative, size)
            keep_best(
                products, part, self._affinities[cell], biases, begin, self._found, self._scores
            )
            start += size

    def _multiply(self, rows: Int64, relative: Tensor, size: int) -> Products:
        """(m, w), as `keep_best` takes them; the product has `size` rows, the rest is unused."""
        torch.index_select(self._tensor, 0, torch.from_numpy(rows), out=self._picked[: len(rows)])
        width = relative.shape[1]
        products = self._products[: size * width].view(size, width)
        torch.mm(self._picked[:size], relative, out=products)
        if products.dtype == torch.bfloat16:
            products = products.view(torch.uint16)
        return products[: len(rows)].numpy()


def _product_size(rows: int) -> int:
    """Rows of the next product: a multiple of the step, up to the largest."""
    return min(LARGEST_PRODUCT, -(-rows // PRODUCT_STEP) * PRODUCT_STEP)


def _squares(vectors: Float32) -> Float32:
    squares: Float32 = np.einsum("nd,nd->n", vectors, vectors)
    return squares
