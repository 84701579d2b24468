"""The nearest neighbours of all database images: what re-ranking walks along."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from retrieval_core.arrays import load_fields, save_fields
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import VectorConfig
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.index import VectorIndex
from retrieval_core.index.vector import DEFAULTS
from retrieval_core.search.expansion import ROWS_AT_ONCE, nearest


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest neighbours of every image among all others.

    Attributes:
        image_ids: (N,) int64, ascending.
        rows: (N, k) int64 positions in `image_ids`, best first; -1 where there are too few images.
        similarities: (N, k) float32 inner products; 0 where there is no neighbour.
    """

    image_ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image_ids)

    def first(self, count: int) -> "Neighbours":
        """The best so many of every image.

        Raises:
            ArtifactMismatchError: there are fewer for each.
        """
        if count > self.rows.shape[1]:
            raise ArtifactMismatchError(
                f"{count} neighbours of each image are needed, found {self.rows.shape[1]}"
            )
        return Neighbours(self.image_ids, self.rows[:, :count], self.similarities[:, :count])

    def graph(self, weights: npt.NDArray[np.float32] | None = None) -> sparse.csr_array:
        """(N, N) sparse matrix with a row of `weights` (N, k), default 1, per image."""
        known = self.rows >= 0
        starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        values = np.ones(known.sum(), np.float32) if weights is None else weights[known]
        shape = (len(self), len(self))
        return sparse.csr_array((values, self.rows[known], starts), shape=shape)

    def save(self, directory: ArtifactDirectory) -> None:
        """Write an `.npy` file per attribute."""
        save_fields(self, directory)

    @staticmethod
    def load(uri: str | Path) -> "Neighbours":
        """Map saved ones into memory, read-only.

        Raises:
            ArtifactError: a file is missing or unreadable.
        """
        return load_fields(Neighbours, uri)


def find_neighbours(
    index: VectorIndex,
    count: int,
    vector: VectorConfig = DEFAULTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Neighbours:
    """Search an index with its own images, a block at a time.

    Args:
        index: of the images.
        count: k, neighbours of each image, >= 1.
        vector: of the search.
        progress: called with (images done, images in all).
    """
    shape = (len(index), count)
    rows, similarities = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
    for start in range(0, len(index), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        own = index.image_ids[block]
        ids, similarities[block] = nearest(index, index.reconstruct(own), own, count, vector)
        rows[block] = np.where(ids < 0, -1, np.searchsorted(index.image_ids, ids))
        progress(min(start + ROWS_AT_ONCE, len(index)), len(index))
    return Neighbours(index.image_ids, rows, similarities)
