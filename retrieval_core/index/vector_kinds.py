"""The kinds of vector index: which one to take, and how each begins and is read again."""

from collections.abc import Callable, Mapping

import numpy as np

from retrieval_core.config import VectorConfig
from retrieval_core.errors import ArtifactError
from retrieval_core.index.exact_rows import ExactRows
from retrieval_core.index.faiss_bytes import FaissBytes
from retrieval_core.index.hnsw_rows import HnswRows
from retrieval_core.index.quantised_rows import QuantisedRows
from retrieval_core.index.storage import Array
from retrieval_core.index.vector_rows import Rows

# kinds that may miss images
APPROXIMATE = ("hnsw", "ivf_pq")
GIGABYTE = 10**9
# beside a vector or code: its id, and of a graph the links, of which level 0 has two of each
ID_BYTES, LINK_BYTES = 8, 8


def resolve(config: VectorConfig, images: int, dim: int) -> VectorConfig:
    """Settings with a kind in the place of "auto".

    Exact up to `exact_images` images whose vectors fit into `memory`; of more, or larger, the first
    that fits of: hnsw (4 D + 8 links + 8 bytes an image), scalar (D + 8), ivf_pq.

    Args:
        config: of the index.
        images: how many it will have.
        dim: D, dimensions of a vector.
    """
    if config.kind != "auto":
        return config
    bytes_of = {
        "hnsw": 4 * dim + LINK_BYTES * config.links + ID_BYTES,
        "scalar": dim + ID_BYTES,
        "ivf_pq": 0,
    }
    if images <= config.exact_images:
        bytes_of = {"exact": 4 * dim + ID_BYTES, **bytes_of}
    room = config.memory * GIGABYTE
    kind = next(kind for kind, size in bytes_of.items() if images * size <= room)
    return config.model_copy(update={"kind": kind})


def empty_rows(dim: int, config: VectorConfig) -> Rows:
    """No images yet, of the kind that was chosen; "auto" is exact where nothing is known."""
    if config.kind == "hnsw":
        return HnswRows.create(dim, config)
    if config.kind in ("ivf_pq", "scalar"):
        return QuantisedRows.create(dim, config)
    return ExactRows(np.empty(0, np.int64), np.empty((0, dim), np.float32))


def read_rows(config: VectorConfig, arrays: Mapping[str, Array], uri: str) -> Rows:
    """Images of a saved index.

    Args:
        config: that it was built with.
        arrays: that it saved.
        uri: of the index, for messages.

    Raises:
        ArtifactError: the arrays are not those of such an index.
    """
    try:
        return _READ[config.kind](config, arrays, uri)
    except KeyError as error:
        raise ArtifactError(f"{uri}: an index of kind {config.kind!r} lacks {error}") from None


def _exact(_: VectorConfig, arrays: Mapping[str, Array], uri: str) -> Rows:
    ids, vectors = arrays["ids"], arrays["vectors"]
    _require(vectors.dtype == np.float32 and vectors.ndim == 2, uri, "vectors", vectors)
    _require_ids(ids, len(vectors), uri)
    return ExactRows(ids, vectors)


def _hnsw(config: VectorConfig, arrays: Mapping[str, Array], uri: str) -> Rows:
    ids, alive = arrays["ids"], arrays["alive"]
    graph = FaissBytes.read(arrays["graph"], uri)
    nodes = (graph.index.ntotal,)
    _require(ids.dtype == np.int64 and ids.shape == nodes, uri, "ids", ids)
    _require(alive.dtype == np.bool_ and alive.shape == nodes, uri, "alive", alive)
    return HnswRows(graph, ids, alive, config)


def _quantised(config: VectorConfig, arrays: Mapping[str, Array], uri: str) -> Rows:
    codes, ids = FaissBytes.read(arrays["codes"], uri), arrays["ids"]
    _require_ids(ids, codes.index.ntotal, uri)
    return QuantisedRows(codes, ids, config)


def _require_ids(ids: Array, images: int, uri: str) -> None:
    _require(ids.dtype == np.int64 and ids.shape == (images,), uri, "ids", ids)
    if (ids[1:] <= ids[:-1]).any():
        raise ArtifactError(f"{uri}: its ids do not ascend")


def _require(fits: bool, uri: str, name: str, array: Array) -> None:
    if not fits:
        raise ArtifactError(f"{uri}: its {name}, {array.dtype} {array.shape}, are of another index")


_READ: dict[str, Callable[[VectorConfig, Mapping[str, Array], str], Rows]] = {
    "exact": _exact,
    "hnsw": _hnsw,
    "ivf_pq": _quantised,
    "scalar": _quantised,
}
