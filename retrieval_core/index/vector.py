"""Images by one vector each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from retrieval_core.config import VectorConfig
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index.device import torch_device
from retrieval_core.index.exact_rows import ExactRows
from retrieval_core.index.inputs import (
    Float32,
    Int64,
    check_count,
    check_image_ids,
    check_top_k,
    check_vectors,
    refuse,
    whole_numbers,
)
from retrieval_core.index.quantised_rows import QuantisedRows, sample
from retrieval_core.index.storage import Versions, open_arrays, save_arrays
from retrieval_core.index.union_rows import UnionRows
from retrieval_core.index.vector_kinds import empty_rows, read_rows, resolve
from retrieval_core.index.vector_rows import Effort, Rows

KIND = "vector"
# added at a time while an index is built
IMAGES_AT_ONCE = 65_536
DEFAULTS = VectorConfig()


class VectorIndex:
    """Images by one unit vector each, compared by inner product: cosine similarity.

    It is made by `create`, `build` or `open`.

    Attributes:
        rows: the images, as their kind keeps them.
        model: what made the vectors: key of the network, "a1", or of it and of what whitened them,
            "a1 whitened by b2"; "" where nobody said.
        config: settings that it is built with; `kind` is never "auto".
    """

    def __init__(self, rows: Rows, config: VectorConfig = DEFAULTS, *, model: str = "") -> None:
        self.rows, self.config, self.model = rows, config, model
        # where it was opened from or saved to
        self._versions: Versions = {}

    @property
    def kind(self) -> str:
        """As in `VectorConfig`, or "union"."""
        return self.rows.kind

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""
        return self.rows.dim

    @property
    def image_ids(self) -> Int64:
        """(N,) int64, ascending."""
        return self.rows.image_ids

    @property
    def vectors(self) -> Float32:
        """(N, D) float32, one per id.

        Raises:
            IndexInputError: the index keeps only codes of them (ivf_pq, scalar).
        """
        return self.rows.vectors

    @staticmethod
    def create(dim: int, config: VectorConfig = DEFAULTS, *, model: str = "") -> "VectorIndex":
        """An index without images, of D = `dim` dimensions; "auto" is exact here.

        Raises:
            IndexInputError: dim is no whole number, or below 1.
        """
        check_count(dim, "dim")
        chosen = resolve(config, 0, dim)
        return VectorIndex(empty_rows(dim, chosen), chosen, model=model)

    @staticmethod
    def build(
        image_ids: npt.ArrayLike,
        vectors: Float32,
        config: VectorConfig = DEFAULTS,
        *,
        model: str = "",
    ) -> "VectorIndex":
        """An index of these images, of the kind that is best for so many where it is "auto".

        Args:
            image_ids: (N,) whole numbers, each once; -1 is not an id.
            vectors: (N, D) float32, unit norm; memory-mapped ones of ascending ids are not copied
                into an exact index, others are read a block at a time.
            config: of the index.
            model: what made the vectors, as in the attribute.

        Raises:
            IndexInputError: as `add`.
        """
        ids = check_image_ids(image_ids)
        checked = check_vectors(vectors, None, "vectors")
        _check_lengths(ids, checked)
        chosen = resolve(config, len(ids), checked.shape[1])
        index = VectorIndex.create(checked.shape[1], chosen, model=model)
        if isinstance(index.rows, ExactRows):
            ascending = slice(None) if (np.diff(ids) > 0).all() else np.argsort(ids)
            index.rows = ExactRows(ids[ascending], checked[ascending])
            return index
        if isinstance(index.rows, QuantisedRows):
            index.rows.learn(sample(checked, chosen), len(ids))
        for start in range(0, len(ids), IMAGES_AT_ONCE):
            part = slice(start, start + IMAGES_AT_ONCE)
            index.rows.add(ids[part], checked[part])
        return index

    @staticmethod
    def union(indexes: Sequence["VectorIndex"], offsets: Sequence[int] = ()) -> "VectorIndex":
        """One index of the images of several; vectors are shared, not copied.

        Args:
            indexes: at least one, of vectors of one network; where one is approximate, the union
                can be searched only.
            offsets: added to the image ids of each, so that they ascend from one index to the
                next; default: 0.

        Raises:
            ArtifactMismatchError: vectors of another dimension, network or whitening; names both.
            IndexInputError: no index, or ids that do not ascend.
        """
        if not indexes:
            raise IndexInputError("indexes: expected at least one")
        first = indexes[0]
        for other in indexes:
            first.require(other.dim, other.model)
        shifts = offsets or [0] * len(indexes)
        ids = np.concatenate([i.image_ids + s for i, s in zip(indexes, shifts, strict=True)])
        refuse(ids[1:][ids[1:] <= ids[:-1]], "not above those of the index before")
        if len(indexes) == 1 and not any(shifts):
            return first
        rows = [index.rows for index in indexes]
        exact = [part for part in rows if isinstance(part, ExactRows)]
        if len(exact) < len(rows):
            return VectorIndex(UnionRows(rows, shifts), first.config, model=first.model)
        blocks = [block for part in exact for block in part.blocks]
        return VectorIndex(ExactRows(ids, *blocks), first.config, model=first.model)

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, dim: int | None = None, model: str | None = None) -> None:
        """Refuse vectors that are not of this index.

        Args:
            dim: their dimensions; None is not looked at.
            model: what made them, as in the attribute; None or "" is not looked at, nor is any
                where the index does not know its own.

        Raises:
            ArtifactMismatchError: another dimension, network or whitening; names both.
        """
        if dim is not None and dim != self.dim:
            raise ArtifactMismatchError(
                f"an index of vectors of {self.dim} dimensions does not go with {dim} dimensions"
            )
        if model and self.model and model != self.model:
            raise ArtifactMismatchError(
                f"an index of vectors of model {self.model} does not go with model {model}"
            )

    def add(self, image_ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add images; nothing is added where an error is raised.

        Args:
            image_ids: (m,) whole numbers, new to the index; -1 is not an id.
            vectors: (m, D) float32, unit norm.

        Raises:
            IndexInputError: an id twice or already there, unusable vectors, or too few of them for
                an index that learns its codes from the first (ivf_pq, scalar).
        """
        ids = check_image_ids(image_ids)
        new = check_vectors(vectors, self.dim, "vectors")
        _check_lengths(ids, new)
        refuse(ids[np.isin(ids, self.image_ids)], "already in the index")
        if len(ids):
            self.rows.add(ids, new)

    def remove(self, image_ids: npt.ArrayLike) -> None:
        """Remove images; nothing is removed where an error is raised.

        Raises:
            IndexInputError: an id twice or not in the index.
        """
        ids = check_image_ids(image_ids)
        refuse(ids[~np.isin(ids, self.image_ids)], "not in the index")
        if len(ids):
            self.rows.remove(ids)

    def search(
        self,
        vectors: npt.ArrayLike,
        top_k: int | None = None,
        *,
        search_effort: int = DEFAULTS.search_effort,
        probes: int = DEFAULTS.probes,
        device: str = "auto",
    ) -> tuple[Int64, Float32]:
        """Rank the database for each query vector.

        Args:
            vectors: (Q, D) float32, unit norm.
            top_k: length of a ranking; None ranks every image.
            search_effort: of hnsw, candidates, >= 1.
            probes: of ivf_pq, cells that are visited, >= 1.
            device: "cpu", "cuda", or "auto": a GPU where there is one and the vectors fit. On one,
                exact vectors are searched by torch, and ivf_pq by faiss up to 2,048 images a query;
                all else on the CPU.

        Returns:
            Ids (Q, k) int64 and inner products (Q, k) float32, best first, the lower id first
            among equal scores; k is top_k or the number of images, whichever is less. Approximate
            kinds may miss images, and have -1 and 0 where they find fewer than k; ivf_pq and
            scalar give the products with what their codes stand for.

        Raises:
            IndexInputError: unusable vectors or settings, or no such device.
        """
        queries = check_vectors(vectors, self.dim, "vectors")
        k = check_top_k(top_k, len(self))
        if device != "auto":
            torch_device(device)
        effort = Effort(
            check_count(search_effort, "search_effort"), check_count(probes, "probes"), device
        )
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        return self.rows.search(queries, k, effort)

    def reconstruct(self, image_ids: npt.ArrayLike) -> Float32:
        """The vectors of indexed images, in any order and any number of times each.

        Args:
            image_ids: (m,) int64.

        Returns:
            (m, D) float32; of ivf_pq and scalar, what the codes stand for.

        Raises:
            IndexInputError: no whole numbers, or an id that is not in the index.
        """
        ids, known = whole_numbers(image_ids, "image_ids"), self.image_ids
        # far less work than a comparison of all with all, where few are asked for
        first, behind = (np.searchsorted(known, ids, side) for side in ("left", "right"))
        refuse(ids[first == behind], "not in the index")
        return self.rows.reconstruct(ids)

    def save(self, uri: str | Path) -> None:
        """Write the arrays as `.npy` and, last, `index.json`; replaces in one step.

        Readers go on with what they have opened. An index that was not opened from there is
        replaced.

        Raises:
            ConcurrentWriteError: another process writes there, or has since this was opened.
            IndexInputError: it is a union with an approximate index.
        """
        arrays = self.rows.arrays()
        description = {
            "kind": KIND,
            "dim": self.dim,
            "images": len(self),
            "model": self.model,
            "vector": self.config.build_settings(),
        }
        self._versions |= save_arrays(uri, description, arrays, self._versions)

    @staticmethod
    def open(uri: str | Path, *, dim: int | None = None, model: str | None = None) -> "VectorIndex":
        """Map a saved index into memory; changing it leaves the files as they are.

        Args:
            uri: directory, as a path or fsspec URL.
            dim: of the vectors to search with.
            model: what makes these.

        Raises:
            ArtifactError: there is no index, or a file is missing, unreadable or of another index.
            ArtifactMismatchError: `dim` or `model` is another than the index's; names both.
        """
        description, arrays, versions = open_arrays(uri, KIND)
        try:
            config = VectorConfig.model_validate(description.get("vector", {}))
        except ValidationError as error:
            raise ArtifactError(f"{uri}: index.json has unknown settings: {error}") from None
        rows = read_rows(config, arrays, str(uri))
        said = {name: description.get(name) for name in ("dim", "images")}
        if said != (found := {"dim": rows.dim, "images": len(rows)}):
            raise ArtifactError(f"{uri}: the files hold {found}, index.json says {said}")
        index = VectorIndex(rows, config, model=description.get("model", ""))
        index._versions = versions
        index.require(dim, model)
        return index


def _check_lengths(ids: Int64, vectors: Float32) -> None:
    if len(ids) != len(vectors):
        raise IndexInputError(f"image_ids: {len(ids)} ids for {len(vectors)} vectors")
