"""The visual words that are nearest to a descriptor: all are compared, and the best once more."""

import faiss
import numpy as np
import torch

from retrieval_core.index.assignment import nearest_of
from retrieval_core.index.device import torch_device
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.threads import side_by_side

BLOCK = 4096


def compare_all(vectors: Float32, centroids: Float32, count: int, device: str = "cpu") -> Int64:
    """The nearest centroids (Euclidean), by fast distances that round near ties.

    Args:
        vectors: (n, d) float32.
        centroids: (size, d) float32.
        count: how many, at most size.
        device: "cpu", or a GPU by torch's name.

    Returns:
        (n, count) int64, in no order.

    Raises:
        IndexInputError: there is no such GPU.
    """
    words = np.empty((len(vectors), count), np.int64)
    search = _Cpu(centroids) if device == "cpu" else _Gpu(centroids, device)
    for start in range(0, len(vectors), BLOCK):
        words[start : start + BLOCK] = search(vectors[start : start + BLOCK], count)
    return words


def compare_again(vectors: Float32, centroids: Float32, candidates: Int64, k: int) -> Int64:
    """The nearest of some candidates, by distances without cancellation.

    Args:
        vectors: (n, d) float32.
        centroids: (size, d) float32.
        candidates: (n, c) words.
        k: how many of them, at most c.

    Returns:
        (n, k) int64, nearest first, the lower word first among equally near ones.
    """
    words = np.empty((len(vectors), k), np.int64)

    def compare(start: int) -> None:
        part = slice(start, start + BLOCK)
        nearest_of(vectors[part], centroids, np.sort(candidates[part], axis=1), words[part])

    side_by_side(compare, range(0, max(1, len(vectors)), BLOCK))
    return words


class _Cpu:
    def __init__(self, centroids: Float32) -> None:
        self._centroids = centroids

    def __call__(self, vectors: Float32, count: int) -> Int64:
        words: Int64 = faiss.knn(vectors, self._centroids, count)[1]
        return words


class _Gpu:
    def __init__(self, centroids: Float32, device: str) -> None:
        self._centroids = torch.from_numpy(centroids).to(torch_device(device))
        self._halves = self._centroids.square().sum(dim=1) / 2

    def __call__(self, vectors: Float32, count: int) -> Int64:
        block = torch.from_numpy(vectors).to(self._centroids.device)
        scores = torch.addmm(self._halves, block, self._centroids.T, beta=-1)
        return scores.topk(count, dim=1, sorted=False).indices.cpu().numpy()
