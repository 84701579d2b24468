"""Several indexes searched as one."""

from collections.abc import Sequence

import numpy as np

from retrieval_core.errors import IndexInputError
from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.storage import Array
from retrieval_core.index.vector_rows import Effort, Found, Rows, in_order


class UnionRows:
    """Images of several indexes, at least one of them approximate; only searched, never changed.

    Args:
        parts: of one dimension.
        shifts: added to the ids of each, so that they ascend from one part to the next.
    """

    kind = "union"

    def __init__(self, parts: Sequence[Rows], shifts: Sequence[int]) -> None:
        self._parts = [(part, shift) for part, shift in zip(parts, shifts, strict=True)]
        self.dim = parts[0].dim
        self.image_ids = np.concatenate([part.image_ids + shift for part, shift in self._parts])

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def vectors(self) -> Float32:
        """Of all parts, where they keep them."""
        return np.concatenate([part.vectors for part, _ in self._parts])

    def add(self, image_ids: Int64, vectors: Float32) -> None:
        """Refused."""
        raise _unchangeable()

    def remove(self, image_ids: Int64) -> None:
        """Refused."""
        raise _unchangeable()

    def arrays(self) -> dict[str, Array]:
        """Refused."""
        raise _unchangeable()

    def reconstruct(self, image_ids: Int64) -> Float32:
        """From each part what it has."""
        found = np.empty((len(image_ids), self.dim), np.float32)
        for part, shift in self._parts:
            inside = np.isin(image_ids, part.image_ids + shift)
            found[inside] = part.reconstruct(image_ids[inside] - shift)
        return found

    def search(self, queries: Float32, top_k: int, effort: Effort) -> Found:
        """The best of what each part finds."""
        parts = [
            self._shifted(part, shift, queries, min(top_k, len(part)), effort)
            for part, shift in self._parts
            if len(part)
        ]
        ids, scores = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        return in_order(ids, scores, top_k)

    @staticmethod
    def _shifted(part: Rows, shift: int, queries: Float32, top_k: int, effort: Effort) -> Found:
        ids, scores = part.search(queries, top_k, effort)
        return np.where(ids == NO_IMAGE, NO_IMAGE, ids + shift), scores


def _unchangeable() -> IndexInputError:
    return IndexInputError(
        "a union with an index of an approximate kind is for searching: change or save its parts"
    )
