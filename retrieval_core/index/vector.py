"""Exact search among global descriptors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import ArtifactMismatchError, IndexInputError
from retrieval_core.index.inputs import (
    Float32,
    Int64,
    check_image_ids,
    check_top_k,
    check_vectors,
    refuse,
)
from retrieval_core.index.selection import best_first
from retrieval_core.index.storage import open_arrays, save_arrays

KIND = "vector"
# every product has this many rows: how the queries are cut changes no bit of their scores
QUERY_BLOCK = 32


class VectorIndex:
    """Images by one unit vector each, compared by inner product; made by `create` or `open`.

    Attributes:
        image_ids: (N,) int64, ascending.
        blocks: (n, D) float32 each, one row per id; memory-mapped ones are not copied together.
    """

    def __init__(self, image_ids: Int64, *blocks: Float32) -> None:
        self.image_ids = image_ids
        self.blocks = blocks

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""
        return int(self.blocks[0].shape[1])

    @property
    def vectors(self) -> Float32:
        """(N, D) float32, one per id."""
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)

    @staticmethod
    def create(dim: int) -> "VectorIndex":
        """An index without images, of D = `dim` dimensions.

        Raises:
            IndexInputError: dim is below 1.
        """
        if dim < 1:
            raise IndexInputError(f"dim: expected 1 or more, found {dim}")
        return VectorIndex(np.empty(0, np.int64), np.empty((0, dim), np.float32))

    @staticmethod
    def union(indexes: Sequence["VectorIndex"], offsets: Sequence[int] = ()) -> "VectorIndex":
        """One index of the images of several; vectors are shared, not copied.

        Args:
            indexes: at least one, of vectors of the same dimension.
            offsets: added to the image ids of each, so that they ascend from one index to the
                next; default: 0.

        Raises:
            ArtifactMismatchError: vectors of another dimension; names both.
            IndexInputError: ids that do not ascend.
        """
        if len(dims := {index.dim for index in indexes}) > 1:
            raise ArtifactMismatchError(f"vectors of {sorted(dims)} dimensions do not go together")
        shifts = offsets or [0] * len(indexes)
        ids = np.concatenate([i.image_ids + s for i, s in zip(indexes, shifts, strict=True)])
        refuse(ids[1:][np.diff(ids) <= 0], "not above those of the index before")
        return VectorIndex(ids, *(block for index in indexes for block in index.blocks))

    def __len__(self) -> int:
        return len(self.image_ids)

    def add(self, image_ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add images; nothing is added where an error is raised.

        Args:
            image_ids: (m,) whole numbers, new to the index; -1 is not an id.
            vectors: (m, D) float32, unit norm.

        Raises:
            IndexInputError: an id twice or already there, or unusable vectors.
        """
        ids = check_image_ids(image_ids)
        new = check_vectors(vectors, self.dim, "vectors")
        if len(ids) != len(new):
            raise IndexInputError(f"image_ids: {len(ids)} ids for {len(new)} vectors")
        refuse(ids[np.isin(ids, self.image_ids)], "already in the index")
        merged = np.concatenate([self.image_ids, ids])
        order = np.argsort(merged)
        self.blocks = (np.concatenate([*self.blocks, new])[order],)
        self.image_ids = merged[order]

    def remove(self, image_ids: npt.ArrayLike) -> None:
        """Remove images; nothing is removed where an error is raised.

        Raises:
            IndexInputError: an id twice or not in the index.
        """
        ids = check_image_ids(image_ids)
        refuse(ids[~np.isin(ids, self.image_ids)], "not in the index")
        kept = ~np.isin(self.image_ids, ids)
        self.image_ids, self.blocks = self.image_ids[kept], (self.vectors[kept],)

    def search(self, vectors: npt.ArrayLike, top_k: int | None = None) -> tuple[Int64, Float32]:
        """Rank the database for each query vector.

        Args:
            vectors: (Q, D) float32, unit norm.
            top_k: length of a ranking; None ranks every image.

        Returns:
            Ids (Q, k) int64 and inner products (Q, k) float32, best first, the lower id first
            among equal scores; k is top_k or the number of images, whichever is less.

        Raises:
            IndexInputError: unusable vectors, or top_k below 1.
        """
        queries = check_vectors(vectors, self.dim, "vectors")
        k = check_top_k(top_k, len(self))
        best = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), QUERY_BLOCK):
            for row, found in enumerate(
                self._products(queries[start : start + QUERY_BLOCK]), start
            ):
                best[row] = best_first(found, k)
                scores[row] = found[best[row]]
        return self.image_ids[best], scores

    def reconstruct(self, image_ids: npt.ArrayLike) -> Float32:
        """The vectors of indexed images, in any order and any number of times each.

        Args:
            image_ids: (m,) int64.

        Returns:
            (m, D) float32.

        Raises:
            IndexInputError: an id that is not in the index.
        """
        ids = np.asarray(image_ids, np.int64)
        refuse(ids[~np.isin(ids, self.image_ids)], "not in the index")
        rows = np.searchsorted(self.image_ids, ids)
        found = np.empty((len(ids), self.dim), np.float32)
        start = 0
        for block in self.blocks:
            inside = (rows >= start) & (rows < start + len(block))
            found[inside] = block[rows[inside] - start]
            start += len(block)
        return found

    def save(self, uri: str | Path) -> None:
        """Write the ids and vectors as `.npy` and, last, `index.json`; replaces in one step."""
        description = {"kind": KIND, "dim": self.dim, "images": len(self)}
        save_arrays(uri, description, {"ids": self.image_ids, "vectors": self.vectors})

    @staticmethod
    def open(uri: str | Path) -> "VectorIndex":
        """Map a saved index into memory; changing it leaves the files as they are.

        Raises:
            ArtifactError: there is no index, or a file is missing or unreadable.
        """
        _, arrays = open_arrays(uri, KIND)
        return VectorIndex(arrays["ids"], arrays["vectors"])

    def _products(self, queries: Float32) -> Float32:
        """(q, N) float32 inner products of at most `QUERY_BLOCK` queries."""
        padded = np.zeros((QUERY_BLOCK, self.dim), np.float32)
        padded[: len(queries)] = queries
        products = [padded @ block.T for block in self.blocks]
        joined = products[0] if len(products) == 1 else np.concatenate(products, axis=1)
        return joined[: len(queries)]
