"""Exact search among global descriptors."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import IndexInputError
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
QUERY_BLOCK = 256


class VectorIndex:
    """Images by one unit vector each, compared by inner product; made by `create` or `open`.

    Attributes:
        image_ids: (N,) int64, ascending.
        vectors: (N, D) float32, one per id.
    """

    def __init__(self, image_ids: Int64, vectors: Float32) -> None:
        self.image_ids = image_ids
        self.vectors = vectors

    @staticmethod
    def create(dim: int) -> "VectorIndex":
        """An index without images, of D = `dim` dimensions.

        Raises:
            IndexInputError: dim is below 1.
        """
        if dim < 1:
            raise IndexInputError(f"dim: expected 1 or more, found {dim}")
        return VectorIndex(np.empty(0, np.int64), np.empty((0, dim), np.float32))

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
        new = check_vectors(vectors, self.vectors.shape[1], "vectors")
        if len(ids) != len(new):
            raise IndexInputError(f"image_ids: {len(ids)} ids for {len(new)} vectors")
        refuse(ids[np.isin(ids, self.image_ids)], "already in the index")
        merged = np.concatenate([self.image_ids, ids])
        order = np.argsort(merged)
        self.vectors = np.concatenate([self.vectors, new])[order]
        self.image_ids = merged[order]

    def remove(self, image_ids: npt.ArrayLike) -> None:
        """Remove images; nothing is removed where an error is raised.

        Raises:
            IndexInputError: an id twice or not in the index.
        """
        ids = check_image_ids(image_ids)
        refuse(ids[~np.isin(ids, self.image_ids)], "not in the index")
        kept = ~np.isin(self.image_ids, ids)
        self.image_ids, self.vectors = self.image_ids[kept], self.vectors[kept]

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
        queries = check_vectors(vectors, self.vectors.shape[1], "vectors")
        k = check_top_k(top_k, len(self))
        best = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), QUERY_BLOCK):
            products = queries[start : start + QUERY_BLOCK] @ self.vectors.T
            for row, found in enumerate(products, start):
                best[row] = best_first(found, k)
                scores[row] = found[best[row]]
        return self.image_ids[best], scores

    def save(self, uri: str | Path) -> None:
        """Write the ids and vectors as `.npy` and, last, `index.json`; replaces in one step."""
        description = {"kind": KIND, "dim": self.vectors.shape[1], "images": len(self)}
        save_arrays(uri, description, {"ids": self.image_ids, "vectors": self.vectors})

    @staticmethod
    def open(uri: str | Path) -> "VectorIndex":
        """Map a saved index into memory; changing it leaves the files as they are.

        Raises:
            ArtifactError: there is no index, or a file is missing or unreadable.
        """
        _, arrays = open_arrays(uri, KIND)
        return VectorIndex(arrays["ids"], arrays["vectors"])
