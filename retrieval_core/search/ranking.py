"""The answer to a set of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError

FIELDS = ("query_ids", "ids", "scores")


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

    def save(self, directory: ArtifactDirectory, name: str) -> None:
        """Write `name/query_ids.npy`, `name/ids.npy` and `name/scores.npy`."""
        for field in FIELDS:
            with directory.writing(f"{name}/{field}.npy") as path:
                np.save(path, getattr(self, field), allow_pickle=False)

    @staticmethod
    def is_saved(directory: ArtifactDirectory, name: str) -> bool:
        """Whether a ranking was written completely."""
        return directory.exists(f"{name}/{FIELDS[-1]}.npy")

    @staticmethod
    def load(uri: str | Path, name: str) -> "Ranking":
        """Map a saved ranking into memory, read-only.

        Raises:
            ArtifactError: a file is missing or unreadable.
        """
        directory = ArtifactDirectory(uri)
        try:
            arrays = [
                np.load(directory.local(f"{name}/{f}.npy"), mmap_mode="r", allow_pickle=False)
                for f in FIELDS
            ]
        except (ValueError, EOFError) as error:
            raise ArtifactError(f"{uri}/{name} cannot be read: {error}") from None
        return Ranking(*(np.asarray(array) for array in arrays))


def join_rankings(parts: Sequence[Ranking]) -> Ranking:
    """Rankings of the same database, one after the other.

    Args:
        parts: at least one, of equal length k.
    """
    return Ranking(*(np.concatenate([getattr(part, field) for part in parts]) for field in FIELDS))


def empty_ranking(query_ids: npt.ArrayLike, length: int) -> Ranking:
    """A ranking to fill in: only -1 and 0.

    Args:
        query_ids: (Q,) int64.
        length: k.
    """
    queries = np.asarray(query_ids, np.int64)
    shape = (len(queries), length)
    return Ranking(queries, np.full(shape, -1, np.int64), np.zeros(shape, np.float32))
