"""Vectors as they are: every query is compared with all of them."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from retrieval_core.index.allocation import new_array
from retrieval_core.index.device import torch_device
from retrieval_core.index.device_search import search_on_device
from retrieval_core.index.exact_search import search_exactly
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.storage import Array
from retrieval_core.index.vector_rows import Effort, Found

# of the memory that is free on a GPU, the share that vectors may take
GPU_SHARE = 0.7


class ExactRows:
    """Vectors in blocks, by ascending id.

    Attributes:
        image_ids: (N,) int64, ascending.
        blocks: (n, D) float32 each, one row per id; memory-mapped ones are not copied together.
    """

    kind = "exact"

    def __init__(self, image_ids: Int64, *blocks: Float32) -> None:
        self.image_ids = image_ids
        self.blocks = blocks
        self._on_device: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""
        return int(self.blocks[0].shape[1])

    @property
    def vectors(self) -> Float32:
        """(N, D) float32, one per id."""
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)

    def add(self, image_ids: Int64, vectors: Float32) -> None:
        """Put images in their places: behind the others, where their ids are above these."""
        ids = np.concatenate([self.image_ids, image_ids])
        order = np.argsort(ids)
        if (np.diff(order) == 1).all():
            self._replace(ids, *_behind(self.blocks, vectors))
            return
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        together, start = new_array((len(ids), self.dim), np.float32), 0
        for block in (*self.blocks, vectors):
            together[places[start : start + len(block)]] = block
            start += len(block)
        self._replace(ids[order], together)

    def remove(self, image_ids: Int64) -> None:
        """Take images out."""
        kept = ~np.isin(self.image_ids, image_ids)
        self._replace(self.image_ids[kept], self.vectors[kept])

    def search(self, queries: Float32, top_k: int, effort: Effort) -> Found:
        """The highest inner products, exactly; the lower id first among equal ones."""
        ids = np.empty((len(queries), top_k), np.int64)
        scores = np.empty((len(queries), top_k), np.float32)
        device = self._device(effort.device)
        if device.type == "cpu":
            found = search_exactly(queries, self.blocks, top_k)
        else:
            found = search_on_device(queries, self._copy_on(device), top_k)
        with closing(found):
            for rows, positions, products in found:
                ids[rows], scores[rows] = self.image_ids[positions], products
        return ids, scores

    def reconstruct(self, image_ids: Int64) -> Float32:
        """Rows of the blocks, of which only these are read."""
        rows = np.searchsorted(self.image_ids, image_ids)
        found = np.empty((len(rows), self.dim), np.float32)
        start = 0
        for block in self.blocks:
            inside = (rows >= start) & (rows < start + len(block))
            found[inside] = block[rows[inside] - start]
            start += len(block)
        return found

    def arrays(self) -> dict[str, Array]:
        """Ids and vectors."""
        return {"ids": self.image_ids, "vectors": self.vectors}

    def _replace(self, image_ids: Int64, *blocks: Float32) -> None:
        self.image_ids, self.blocks, self._on_device = image_ids, blocks, None

    def _device(self, name: str) -> torch.device:
        if name != "auto":
            return torch_device(name)
        if not torch.cuda.is_available():
            return torch.device("cpu")
        needed = 4 * len(self.image_ids) * self.dim
        fits = self._on_device is not None or needed < GPU_SHARE * torch.cuda.mem_get_info()[0]
        return torch.device("cuda" if fits else "cpu")

    def _copy_on(self, device: torch.device) -> Tensor:
        """Vectors on a GPU, where they stay until the images change."""
        copy = self._on_device
        if copy is None or copy.device.type != device.type:
            copy = torch.cat([from_dlpack(block).to(device) for block in self.blocks])
            self._on_device = copy
        return copy


def _behind(blocks: Sequence[Float32], vectors: Float32) -> Sequence[Float32]:
    """Blocks with some more vectors; each is at least as long as the next, so that they are few."""
    kept, last = list(blocks), [vectors]
    while kept and len(kept[-1]) <= sum(map(len, last)):
        last.insert(0, kept.pop())
    # a copy, which does not change when the caller's array does
    return [*kept, np.concatenate(last)]
