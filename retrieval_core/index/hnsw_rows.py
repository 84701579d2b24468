"""A graph of near neighbours (Malkov, Yashunin: arXiv 1603.09320), as faiss builds it.

faiss removes nothing from a graph: removed images stay as stepping stones that no ranking shows,
until they are more than half; then the graph is built anew.
"""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_core.config import VectorConfig
from retrieval_core.index.exact_rows import ExactRows
from retrieval_core.index.faiss_bytes import FaissBytes
from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.storage import Array
from retrieval_core.index.vector_rows import Effort, Found, in_order

# removed images, at most
DEAD_SHARE = 0.5


class HnswRows:
    """Vectors in the order in which they came, and the graph over them.

    Args:
        graph: of faiss, a node for every vector.
        node_ids: (n,) int64, image of each node.
        alive: (n,) bool, False where the image was removed.
        config: `links` and `build_effort` of a graph that is built anew.
    """

    kind = "hnsw"

    def __init__(
        self,
        graph: FaissBytes,
        node_ids: Int64,
        alive: npt.NDArray[np.bool_],
        config: VectorConfig,
    ) -> None:
        self._graph, self._node_ids, self._alive, self._config = graph, node_ids, alive, config

    @staticmethod
    def create(dim: int, config: VectorConfig) -> "HnswRows":
        """A graph without nodes."""
        graph = faiss.IndexHNSWFlat(dim, config.links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = config.build_effort
        return HnswRows(FaissBytes(graph), np.empty(0, np.int64), np.empty(0, bool), config)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._alive))

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""
        return int(self._graph.index.d)

    @property
    def image_ids(self) -> Int64:
        """(N,) int64, ascending."""
        return np.sort(self._node_ids[self._alive])

    @property
    def vectors(self) -> Float32:
        """(N, D) float32, one per id, a copy."""
        order = np.argsort(np.where(self._alive, self._node_ids, np.iinfo(np.int64).max))
        # a removed image may have the highest id there is
        return self._nodes()[order[self._alive[order]]]

    def add(self, image_ids: Int64, vectors: Float32) -> None:
        """Link images into the graph."""
        self._graph.changeable().add(vectors)
        self._node_ids = np.concatenate([self._node_ids, image_ids])
        self._alive = np.concatenate([self._alive, np.ones(len(image_ids), bool)])

    def remove(self, image_ids: Int64) -> None:
        """Show images no more; build the graph anew where more than half of it is not shown."""
        self._alive = self._alive & ~np.isin(self._node_ids, image_ids)
        if np.count_nonzero(~self._alive) > DEAD_SHARE * len(self._alive):
            ids, vectors = self._node_ids[self._alive], self._nodes()[self._alive]
            anew = HnswRows.create(self.dim, self._config)
            anew.add(ids, vectors)
            self._graph, self._node_ids, self._alive = anew._graph, ids, np.ones(len(ids), bool)

    def search(self, queries: Float32, top_k: int, effort: Effort) -> Found:
        """Ids and inner products of the best that were met; of all, at an effort of all images."""
        if max(top_k, effort.search_effort) >= len(self):
            return self._in_order().search(queries, top_k, effort)
        settings = faiss.SearchParametersHNSW()  # type: ignore[attr-defined]
        settings.efSearch = effort.search_effort
        if not self._alive.all():
            alive = np.packbits(self._alive, bitorder="little")
            shown = faiss.IDSelectorBitmap(len(alive), faiss.swig_ptr(alive))
            settings.sel = shown
        scores, nodes = self._graph.index.search(queries, top_k, params=settings)
        return in_order(np.where(nodes < 0, NO_IMAGE, self._node_ids[nodes]), scores, top_k)

    def reconstruct(self, image_ids: Int64) -> Float32:
        """Vectors of nodes."""
        alive = np.flatnonzero(self._alive)
        ids = self._node_ids[alive]
        order = np.argsort(ids)
        return self._nodes()[alive[order[np.searchsorted(ids, image_ids, sorter=order)]]]

    def arrays(self) -> dict[str, Array]:
        """The graph with its vectors, and what its nodes are."""
        content = self._graph.content()
        return {"ids": self._node_ids, "alive": self._alive, "graph": content}

    def _in_order(self) -> ExactRows:
        """The images to be compared one by one; only those out of order are copied."""
        ascending = self._alive.all() and (np.diff(self._node_ids) > 0).all()
        return ExactRows(self.image_ids, self._nodes() if ascending else self.vectors)

    def _nodes(self) -> Float32:
        """(n, D) vectors of all nodes, as they lie in the graph."""
        graph = self._graph.index
        flat: Any = faiss.downcast_index(graph.storage)
        size = graph.ntotal * graph.d
        stored: Float32 = faiss.rev_swig_ptr(flat.get_xb(), size) if size else np.empty(0, "f4")
        return stored.reshape(graph.ntotal, graph.d)
