"""A search for many query images, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_core.artifacts import load_manifest
from retrieval_core.config import AsmkConfig, VectorConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.whitening import maker_of
from retrieval_core.index import AsmkIndex, VectorIndex
from retrieval_core.search.local import rank_local
from retrieval_core.search.opening import open_index
from retrieval_core.search.processed import ProcessedIndex, QueryProcessing
from retrieval_core.search.ranking import Ranking
from retrieval_core.search.vector import rank_global


@dataclass(frozen=True)
class Search:
    """What is searched, and how; small enough to be sent to any process.

    Attributes:
        indexes: directories of artifacts of one kind, searched as one.
        offsets: added to the image ids of each.
        features: directory of the queries' descriptors.
        asmk: of a search in inverted files.
        vector: of a search in vector indexes.
        top_k: length of a ranking; None ranks every image.
        processing: of queries and rankings by global descriptors; None: no.
    """

    indexes: tuple[str, ...]
    offsets: tuple[int, ...]
    features: str
    asmk: AsmkConfig
    vector: VectorConfig
    top_k: int | None
    processing: QueryProcessing | None = None

    def open(self) -> AsmkIndex | VectorIndex | ProcessedIndex:
        """The union of the indexes, which have to be of what made `features`.

        Raises:
            RetrievalError: as `open_index` and `QueryProcessing.open`.
        """
        model = maker_of(load_manifest(self.features))
        index = open_index(*self.indexes, offsets=self.offsets, model=model)
        if self.processing is None or isinstance(index, AsmkIndex):
            return index
        return self.processing.open(index, *self.indexes)

    def rank(
        self, index: AsmkIndex | VectorIndex | ProcessedIndex, query_ids: Sequence[int]
    ) -> Ranking:
        """Rank what was opened for each of these query images, in their order."""
        store = FeatureStore(self.features)
        if isinstance(index, AsmkIndex):
            return rank_local(index, store, query_ids, self.asmk, self.top_k)
        return rank_global(index, store, query_ids, self.vector, self.top_k)
