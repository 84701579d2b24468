"""What a vector index keeps of its images: every kind of index, from outside, is one of these."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.storage import Array

Found = tuple[Int64, Float32]


@dataclass(frozen=True)
class Effort:
    """How hard an approximate kind searches, and where an exact one does.

    Attributes:
        search_effort: candidates of a graph search, >= 1.
        probes: cells that are visited, >= 1.
        device: "cpu", "cuda", or "auto": a GPU where there is one.
    """

    search_effort: int
    probes: int
    device: str


class Rows(Protocol):
    """Images by id and vector; ids and vectors that come in were checked."""

    @property
    def kind(self) -> str:
        """As in `VectorConfig.kind`."""

    def __len__(self) -> int:
        """N, images."""

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""

    @property
    def image_ids(self) -> Int64:
        """(N,) int64, ascending."""

    @property
    def vectors(self) -> Float32:
        """(N, D) float32, one per id, or `IndexInputError` where only codes are kept."""

    def add(self, image_ids: Int64, vectors: Float32) -> None:
        """Add images with new ids."""

    def remove(self, image_ids: Int64) -> None:
        """Remove images that are there."""

    def search(self, queries: Float32, top_k: int, effort: Effort) -> Found:
        """Ids (Q, top_k) and scores; -1 and 0 where fewer were found. 1 <= top_k <= N."""

    def reconstruct(self, image_ids: Int64) -> Float32:
        """(m, D) vectors, or what their codes stand for, of images that are there."""

    def arrays(self) -> dict[str, Array]:
        """What is saved, by name."""


def in_order(ids: Int64, scores: Float32, top_k: int) -> Found:
    """The best of some candidates, the lower id first among equal scores.

    Args:
        ids: (Q, n) int64; -1 is none.
        scores: (Q, n) float32.
        top_k: at most n.

    Returns:
        Ids (Q, top_k), -1 where there are no more, and scores, 0 there.
    """
    missing = ids == NO_IMAGE
    order = np.lexsort((ids, -scores, missing), axis=-1)[:, :top_k]
    best = np.take_along_axis(ids, order, axis=1)
    found = np.take_along_axis(scores, order, axis=1)
    return best, np.where(best == NO_IMAGE, np.float32(0), found)
