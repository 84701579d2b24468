"""The answer to a set of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.arrays import load_fields, save_fields
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.index.inputs import NO_IMAGE


@dataclass(frozen=True, eq=False)
class Ranking:
    """Database images of each query, best first.

    Attributes:
        query_ids: (Q,) int64.
        ids: (Q, k) int64 image ids; -1 fills rows that are shorter.
        scores: (Q, k) float32, falling; 0 where the id is -1.
    """

    query_ids: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    @property
    def shortest(self) -> int:
        """Images in the shortest row; k, where there are none in any.

        Rows without an image do not count: they are of queries that could not be read.
        """
        lengths = np.count_nonzero(self.ids != NO_IMAGE, axis=1)
        return int(lengths[lengths > 0].min(initial=self.ids.shape[1]))

    def save(self, directory: ArtifactDirectory, name: str) -> None:
        """Write `name/query_ids.npy`, `name/ids.npy` and `name/scores.npy`."""
        save_fields(self, directory, f"{name}/")

    @staticmethod
    def is_saved(directory: ArtifactDirectory, name: str) -> bool:
        """Whether a ranking was written completely."""
        return directory.exists(f"{name}/scores.npy")

    @staticmethod
    def load(uri: str | Path, name: str) -> "Ranking":
        """Map a saved ranking into memory, read-only.

        Raises:
            ArtifactError: a file is missing or unreadable.
        """
        return load_fields(Ranking, uri, f"{name}/")


def join_rankings(parts: Sequence[Ranking]) -> Ranking:
    """Rankings of the same database, one after the other.

    Args:
        parts: at least one, of equal length k.
    """
    return Ranking(
        np.concatenate([part.query_ids for part in parts]),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def empty_ranking(query_ids: npt.ArrayLike, length: int) -> Ranking:
    """A ranking to fill in: only -1 and 0.

    Args:
        query_ids: (Q,) int64.
        length: k.
    """
    queries = np.asarray(query_ids, np.int64)
    shape = (len(queries), length)
    return Ranking(queries, np.full(shape, NO_IMAGE, np.int64), np.zeros(shape, np.float32))
