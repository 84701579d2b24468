"""Indexes of faiss as arrays of bytes, which are saved and memory-mapped like other arrays."""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_core.errors import ArtifactError

Bytes = npt.NDArray[np.uint8]


class FaissBytes:
    """An index of faiss, possibly on memory-mapped bytes until it is changed.

    Attributes:
        index: to search.
    """

    def __init__(self, index: Any, mapped: Bytes | None = None) -> None:
        self.index = index
        self._mapped = mapped  # the index points into it

    @staticmethod
    def read(content: Bytes, name: str) -> "FaissBytes":
        """An index on these bytes, which are not copied.

        Raises:
            ArtifactError: they are no index; says `name`.
        """
        try:
            pointer = faiss.swig_ptr(content)
            reader = faiss.ZeroCopyIOReader(pointer, content.size)  # type: ignore[attr-defined]
            return FaissBytes(faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC), content)
        except RuntimeError as error:
            raise ArtifactError(f"{name} holds no index of faiss: {error}") from None

    def changeable(self) -> Any:
        """The index, copied from mapped bytes first: faiss ends the process that changes those."""
        if self._mapped is not None:
            self.index, self._mapped = faiss.deserialize_index(self._mapped), None
        return self.index

    def content(self) -> Bytes:
        """All of the index."""
        found: Bytes = faiss.serialize_index(self.index) if self._mapped is None else self._mapped
        return found
