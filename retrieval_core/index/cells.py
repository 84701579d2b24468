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

WORDS_PER_CELL = 128
CLUSTERING_ROUNDS = 5
BLOCK = 32_768
# The library compiles a kernel for each shape of a product that it meets: let there be few.
LARGEST_PRODUCT, SMALLEST_PRODUCT = 1024, 128
# standard deviations above the average of the cells that are searched first
NEARBY = 2.0


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
        self.words = np.argsort(self._cell, kind="stable")
        own = self._cell[self.words]
        self.bounds = np.searchsorted(own, np.arange(len(self.means) + 1))
        self.biases = _squares(centred[self.words]) / 2 - self.halves[own]
        relative = torch.from_numpy(centred[self.words] - self.means[own])
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

        def search(start: int) -> None:
            part = slice(start, start + BLOCK)
            found[part] = _BlockSearch(self, vectors[part], count, reach).words()

        starts = range(0, len(vectors), BLOCK)
        threads = torch.get_num_threads()
        # every thread has a core of its own; what it sets is the process's number for new threads
        with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(search, starts))
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
    """Some descriptors on their way through the cells."""

    def __init__(self, cells: Cells, vectors: Float32, count: int, reach: float) -> None:
        self._cells = cells
        centred = vectors - cells.origin
        tensor = torch.from_numpy(centred)
        halves, means = torch.from_numpy(cells.halves), torch.from_numpy(cells.means)
        affinities = torch.addmm(halves[:, None], means, tensor.T, beta=-1)
        self._affinities = affinities.numpy()
        mean, deviation = cells.moments(centred)
        # the nearest cells first: few words of others are better than what they hold
        above = np.array([NEARBY, reach], np.float32)[:, None]
        self._levels = [np.full_like(mean, np.inf), *(mean + np.maximum(above, reach) * deviation)]
        self._found = np.full((len(vectors), count), -1, np.int32)
        self._scores = np.full((len(vectors), count), -np.inf, np.float32)
        dtype, widest = cells.relative.dtype, int(np.diff(cells.bounds).max())
        self._tensor = tensor.to(dtype)
        self._picked = torch.empty((LARGEST_PRODUCT, vectors.shape[1]), dtype=dtype)
        self._products = torch.empty(LARGEST_PRODUCT * widest, dtype=dtype)

    def words(self) -> Int64:
        """(n, count) int64 words, best first; -1 where there are fewer."""
        rows = np.empty(self._affinities.shape[1] + 1, np.int64)
        for highest, lowest in pairwise(self._levels):
            for cell, affinities in enumerate(self._affinities):
                self._visit(cell, rows[: rows_between(affinities, lowest, highest, rows)])
        return np.where(self._found < 0, -1, self._cells.words[self._found])

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
    """Rows of the next product: a power of two within the bounds."""
    size = LARGEST_PRODUCT
    while size > SMALLEST_PRODUCT and size // 2 >= rows:
        size //= 2
    return size


def _squares(vectors: Float32) -> Float32:
    squares: Float32 = np.einsum("nd,nd->n", vectors, vectors)
    return squares
