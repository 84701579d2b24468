"""Nearest visual words of many descriptors, sought in the cells of the codebook near each.

The words are clustered into cells. A descriptor's affinity to a cell, x m - |m|^2 / 2 for the mean
m of its words, says how near the cell is; only cells whose affinity lies far enough above the
average of all cells are searched, and the nearest in any case, by one matrix product per cell and
in the processor's short floats where it has them. The best few are compared again exactly.
"""

from functools import cached_property

import faiss
import numpy as np
import torch
from torch import Tensor

from retrieval_core.index.cell_products import Prepare, fastest_products
from retrieval_core.index.clustering import cluster_exactly
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.threads import cores, own_cores

WORDS_PER_CELL = 128
CLUSTERING_ROUNDS = 5
# one word in so many tells where cells are
CLUSTERED = 4
BLOCK = 8_192
# words of a cell are filled up to a multiple of
WIDTH = 32


class Cells:
    """The words of a codebook, grouped by nearness.

    Args:
        centroids: (size, d) float32.
        prepare: how words are multiplied.
    """

    def __init__(self, centroids: Float32, prepare: Prepare = fastest_products) -> None:
        self.origin = centroids.mean(axis=0)
        centred = centroids - self.origin
        count = max(1, len(centroids) // WORDS_PER_CELL)
        some = centred[::CLUSTERED]
        self.means = cluster_exactly(some, count, seed=0, iterations=CLUSTERING_ROUNDS)
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
        biases = np.full(self.bounds[-1], np.inf, np.float32)
        biases[places] = _squares(centred[order]) / 2 - self.halves[own]
        relative = torch.zeros((int(self.bounds[-1]), centred.shape[1]))
        relative[torch.from_numpy(places)] = torch.from_numpy(centred[order] - self.means[own])
        self.products = prepare(relative, biases, self.bounds)

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
        mean, deviation = self.moments(torch.from_numpy(centred))
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

        with own_cores(max(1, at_work)) as pool:
            list(pool.map(search, range(at_work)))
        return found

    def moments(self, centred: Tensor) -> tuple[Float32, Float32]:
        """Mean and standard deviation of each descriptor's affinities to all cells.

        Args:
            centred: (n, d) float32, from the origin.

        Returns:
            (n,) float32 each.
        """
        # an affinity is a product of the descriptor, extended by 1, and of a cell's factors
        mean, covariance = self._statistics
        of_means, with_halves, of_halves = covariance[:-1, :-1], covariance[:-1, -1], mean[-1]
        variance = torch.linalg.vecdot(torch.addmm(2 * with_halves, centred, of_means), centred)
        deviation = (variance + covariance[-1, -1]).clamp(min=torch.finfo(torch.float32).tiny)
        return torch.addmv(of_halves, centred, mean[:-1]).numpy(), deviation.sqrt().numpy()

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        factors = torch.from_numpy(np.column_stack([self.means, -self.halves]))
        return factors.mean(dim=0), factors.T.cov(correction=0)


class _BlockSearch:
    """Some descriptors after the other on their way through the cells, in the same memory."""

    def __init__(self, cells: Cells, rows: int, count: int, reach: float) -> None:
        self._cells, self._count, self._reach = cells, count, reach
        self._all_affinities = torch.empty(len(cells.means) * rows)

    def words(self, vectors: Float32) -> Int64:
        """(n, count) int64 words, best first; -1 where there are fewer."""
        cells, size = self._cells, (len(vectors), self._count)
        found, scores = np.full(size, -1, np.int32), np.full(size, -np.inf, np.float32)
        centred = torch.from_numpy(vectors - cells.origin)
        affinities = self._affinities(centred)
        mean, deviation = cells.moments(centred)
        # the nearest cell is searched in any case
        nearest = np.nextafter(affinities.max(axis=0), -np.inf, dtype=np.float32)
        lowest = np.minimum(mean + np.float32(self._reach) * deviation, nearest)
        cells.products.search(centred, affinities, lowest, found, scores)
        return np.where(found < 0, -1, cells.words[found])

    def _affinities(self, centred: Tensor) -> Float32:
        """(cells, n) of descriptors from the origin to all cells."""
        cells = self._cells
        halves, means = torch.from_numpy(cells.halves), torch.from_numpy(cells.means)
        shape = len(means), len(centred)
        affinities = self._all_affinities[: shape[0] * shape[1]].view(shape)
        torch.addmm(halves[:, None], means, centred.T, beta=-1, out=affinities)
        return affinities.numpy()


def _squares(vectors: Float32) -> Float32:
    squares: Float32 = np.einsum("nd,nd->n", vectors, vectors)
    return squares
