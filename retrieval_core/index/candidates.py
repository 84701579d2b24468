"""The visual words that are nearest to a descriptor, up to rounding: all of them are compared."""

import faiss
import numpy as np
import torch

from retrieval_core.errors import IndexInputError
from retrieval_core.index.inputs import Float32, Int64

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


def require_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        IndexInputError: it is neither the CPU nor a GPU that torch sees.
    """
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise IndexInputError(f"device: {device!r}, but torch sees no such GPU")


class _Cpu:
    def __init__(self, centroids: Float32) -> None:
        self._centroids = centroids

    def __call__(self, vectors: Float32, count: int) -> Int64:
        words: Int64 = faiss.knn(vectors, self._centroids, count)[1]
        return words


class _Gpu:
    def __init__(self, centroids: Float32, device: str) -> None:
        require_device(device)
        self._centroids = torch.from_numpy(centroids).to(device)
        self._halves = self._centroids.square().sum(dim=1) / 2

    def __call__(self, vectors: Float32, count: int) -> Int64:
        block = torch.from_numpy(vectors).to(self._centroids.device)
        scores = torch.addmm(self._halves, block, self._centroids.T, beta=-1)
        return scores.topk(count, dim=1, sorted=False).indices.cpu().numpy()
