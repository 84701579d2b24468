"""k-means of many descriptors into many visual words."""

from collections.abc import Callable
from typing import Any

import faiss
import numba
import numpy as np
import numpy.typing as npt

from retrieval_core.index.inputs import Float32, Int64

Array = npt.NDArray[Any]
Assign = Callable[[Float32], Int64]

# how far the two halves of a divided word lie from it, relative to its size
DIVISION = np.float32(1 / 1024)


def cluster(
    vectors: Float32,
    size: int,
    assigner: Callable[[Float32], Assign],
    left_out: Int64,
    *,
    seed: int,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Float32:
    """Lloyd's iterations from randomly drawn descriptors.

    A word that loses all its descriptors takes half of one that has many.

    Args:
        vectors: (n, d) float32, n >= size.
        size: number of visual words.
        assigner: makes, of (size, d) centroids, what assigns each of (n, d) vectors to a word (n,).
        left_out: rows of `vectors` that are not clustered; at least `size` others.
        seed: of the draw.
        iterations: >= 1.
        progress: called with (iterations done, iterations).

    Returns:
        (size, d) float32.
    """
    clustered = np.delete(np.arange(len(vectors)), left_out)
    centroids: Float32 = vectors[np.random.default_rng(seed).choice(clustered, size, replace=False)]
    for done in range(1, iterations + 1):
        words = assigner(centroids)(vectors)
        sums = np.zeros(centroids.shape, np.float64)
        counts = np.bincount(words[clustered], minlength=size)
        _add_by_word(vectors, clustered, words, sums)
        sums /= np.maximum(counts, 1)[:, None]
        unused = counts == 0
        sums[unused] = centroids[unused]
        centroids = sums.astype(np.float32)
        _divide(centroids, counts)
        progress(done, iterations)
    return centroids


def cluster_exactly(vectors: Float32, size: int, *, seed: int, iterations: int) -> Float32:
    """The same by faiss, which compares every descriptor with every word (arguments as above)."""
    clustering = faiss.Kmeans(
        vectors.shape[1],
        size,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=-(-len(vectors) // size),
    )
    clustering.train(vectors)
    return np.asarray(clustering.centroids)


def _divide(centroids: Float32, counts: Int64) -> None:
    empty = np.flatnonzero(counts == 0)
    full = np.argsort(-counts, kind="stable")[: len(empty)]
    step = np.where(np.arange(centroids.shape[1]) % 2, DIVISION, -DIVISION)
    centroids[empty] = centroids[full] * (1 + step)
    centroids[full] *= 1 - step


@numba.njit(cache=True, nogil=True)
def _add_by_word(vectors: Array, rows: Array, words: Array, sums: Array) -> None:
    for row in rows:
        for j in range(vectors.shape[1]):
            sums[words[row], j] += vectors[row, j]
