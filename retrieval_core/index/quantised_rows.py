"""Codes in the place of vectors: product-quantised in cells (ivf_pq), or a byte per dimension.

What is compared is what the codes stand for, so that scores are near the inner products, too.
"""

from typing import Any

import faiss
import numpy as np

from retrieval_core.config import VectorConfig
from retrieval_core.errors import IndexInputError
from retrieval_core.index.faiss_bytes import FaissBytes
from retrieval_core.index.faiss_gpu import LONGEST_RANKING, on_cpu, on_gpu
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.storage import Array
from retrieval_core.index.vector_rows import Effort, Found, in_order

# how an index of faiss finds the code of an image
BY_ID = faiss.DirectMap.Hashtable  # type: ignore[attr-defined]
NOT_AT_ALL = faiss.DirectMap.NoMap  # type: ignore[attr-defined]
# one for each value of a byte
TRAINING_IMAGES = 256
# at least, of a partition of the default size
IMAGES_PER_CELL = 39
# images to learn from: so many, or more where there are many cells
LEARNED_FROM, LEARNED_PER_CELL = 65_536, 64


class QuantisedRows:
    """Codes by image id, in an index of faiss that removes what is removed.

    Args:
        codes: index of faiss.
        image_ids: (N,) int64, ascending.
        config: `kind`, and `cells` and `code_bytes` of codes that are still to be learned.
    """

    def __init__(self, codes: FaissBytes, image_ids: Int64, config: VectorConfig) -> None:
        self._codes, self.image_ids, self._config = codes, image_ids, config
        self.kind: str = config.kind
        self._on_gpu: Any = None

    @staticmethod
    def create(dim: int, config: VectorConfig) -> "QuantisedRows":
        """Codes of no images, learned from the first that are added."""
        return QuantisedRows(FaissBytes(_untrained(dim, config, 0)), np.empty(0, np.int64), config)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def dim(self) -> int:
        """D, dimensions of a vector."""
        return int(self._codes.index.d)

    @property
    def vectors(self) -> Float32:
        """None are kept.

        Raises:
            IndexInputError: always.
        """
        raise IndexInputError(f"an index of kind {self.kind!r} keeps codes in place of vectors")

    def learn(self, vectors: Float32, images: int) -> None:
        """Learn the codes.

        Args:
            vectors: (n, D) float32, drawn from those to be added.
            images: how many these will be.

        Raises:
            IndexInputError: too few vectors.
        """
        if len(vectors) < TRAINING_IMAGES:
            raise IndexInputError(
                f"an index of kind {self.kind!r} learns its codes from the first images added: "
                f"at least {TRAINING_IMAGES}, found {len(vectors)}"
            )
        index = on_gpu(_untrained(self.dim, self._config, images))
        index.train(vectors)
        self._codes = FaissBytes(on_cpu(index))

    def add(self, image_ids: Int64, vectors: Float32) -> None:
        """Encode images; the first ones also decide the codes."""
        if not self._codes.index.is_trained:
            self.learn(sample(vectors, self._config), len(vectors))
        self._codes.changeable().add_with_ids(vectors, image_ids)
        self.image_ids = np.sort(np.concatenate([self.image_ids, image_ids]))
        self._on_gpu = None

    def remove(self, image_ids: Int64) -> None:
        """Delete codes."""
        self._codes.changeable().remove_ids(image_ids)
        self.image_ids = self.image_ids[~np.isin(self.image_ids, image_ids)]
        self._on_gpu = None

    def search(self, queries: Float32, top_k: int, effort: Effort) -> Found:
        """Ids and inner products with what the codes stand for."""
        settings = None
        if self.kind == "ivf_pq":
            settings = faiss.SearchParametersIVF()
            settings.nprobe = min(effort.probes, self._codes.index.nlist)
        scores, ids = self._searched(top_k, effort.device).search(queries, top_k, params=settings)
        return in_order(ids, scores, top_k)

    def reconstruct(self, image_ids: Int64) -> Float32:
        """What the codes stand for."""
        index = self._codes.index
        if self.kind == "ivf_pq":
            if index.direct_map.type != BY_ID:
                index.set_direct_map_type(BY_ID)
            return np.asarray(index.reconstruct_batch(image_ids))
        coded = faiss.vector_to_array(index.id_map)
        order = np.argsort(coded)
        rows = order[np.searchsorted(coded, image_ids, sorter=order)]
        return np.asarray(index.index.reconstruct_batch(rows))

    def arrays(self) -> dict[str, Array]:
        """Ids and codes."""
        if self.kind == "ivf_pq":
            # where an image's code lies is found again when it is asked for
            self._codes.changeable().set_direct_map_type(NOT_AT_ALL)
        return {"ids": self.image_ids, "codes": self._codes.content()}

    def _searched(self, top_k: int, device: str) -> Any:
        if device == "cpu" or self.kind != "ivf_pq" or top_k > LONGEST_RANKING:
            return self._codes.index
        if self._on_gpu is None:
            self._on_gpu = on_gpu(self._codes.index, required=device == "cuda")
        return self._on_gpu


def sample(vectors: Float32, config: VectorConfig) -> Float32:
    """Vectors to learn the codes from: all, or some drawn at random."""
    count = max(LEARNED_FROM, LEARNED_PER_CELL * _cells(config, len(vectors)))
    if len(vectors) <= count:
        return vectors
    return vectors[np.sort(np.random.default_rng(0).choice(len(vectors), count, replace=False))]


def _untrained(dim: int, config: VectorConfig, images: int) -> Any:
    metric = faiss.METRIC_INNER_PRODUCT
    if config.kind == "scalar":
        bytes_of = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, metric)
        return faiss.IndexIDMap(bytes_of)
    code_bytes = max(n for n in range(1, min(dim, config.code_bytes) + 1) if dim % n == 0)
    coarse = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFPQ(coarse, dim, _cells(config, images), code_bytes, 8, metric)
    # few images make worse codes, of which faiss would warn once for every byte
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    return index


def _cells(config: VectorConfig, images: int) -> int:
    wanted = config.cells or min(round(4 * images**0.5), images // IMAGES_PER_CELL)
    return max(1, min(wanted, images))
