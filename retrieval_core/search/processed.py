"""A vector index whose rankings are expanded and re-ranked."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrieval_core.artifacts import load_manifest
from retrieval_core.config import NeighboursConfig, RerankingConfig, VectorConfig
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.index import VectorIndex
from retrieval_core.index.inputs import (
    NO_IMAGE,
    Float32,
    Int64,
    check_top_k,
    check_vectors,
)
from retrieval_core.index.vector import DEFAULTS
from retrieval_core.search.diffusion import Diffusion
from retrieval_core.search.expansion import expand, look_up
from retrieval_core.search.neighbours import Neighbours
from retrieval_core.search.reciprocal import ReciprocalEncoding

# bounds what is ranked beyond the length that was asked for
QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class QueryProcessing:
    """What is done on the side of the queries; small enough to be sent to any process.

    Attributes:
        query_expansion: None: no.
        reranking: None: no.
        neighbours: directory of the artifact that re-ranking needs.
    """

    query_expansion: NeighboursConfig | None = None
    reranking: RerankingConfig | None = None
    neighbours: str = ""

    def open(self, index: VectorIndex, *indexes: str) -> "ProcessedIndex":
        """The index with these steps.

        Args:
            index: opened.
            indexes: directories of the artifacts that it is the union of.

        Raises:
            ArtifactError: the neighbours are not there.
            ArtifactMismatchError: they are those of other images.
        """
        if self.reranking is None:
            return ProcessedIndex(index, self.query_expansion)
        neighbours = open_neighbours(self.neighbours, *indexes)
        return ProcessedIndex(index, self.query_expansion, self.reranking, neighbours)


class Reranker(Protocol):
    """Scores one query's candidates anew."""

    def score(self, query: Float32, rows: Int64, similarities: Float32) -> Float32:
        """(c,) float32 scores of the candidates in these rows of the index, best first before."""


class ProcessedIndex:
    """Searches a vector index and improves on what it finds.

    Args:
        index: searched.
        query_expansion: search again with the queries and what they found; None: no.
        reranking: order the head of the ranking anew; None: no.
        neighbours: of the indexed images, for re-ranking.

    Raises:
        ArtifactMismatchError: the neighbours are those of other images, or too few.
    """

    def __init__(
        self,
        index: VectorIndex,
        query_expansion: NeighboursConfig | None = None,
        reranking: RerankingConfig | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._index = index
        self._query_expansion = query_expansion
        self._candidates = reranking.candidates if reranking else 0
        self._reranker = _reranker(index, reranking, neighbours) if reranking else None

    def __len__(self) -> int:
        return len(self._index)

    def search(
        self,
        vectors: Float32,
        top_k: int | None = None,
        own_ids: Int64 | None = None,
        config: VectorConfig = DEFAULTS,
    ) -> tuple[Int64, Float32]:
        """As `VectorIndex.search`.

        Args:
            vectors: (Q, D) float32, unit norm.
            top_k: length of a ranking; None ranks every image.
            own_ids: (Q,) images that the vectors are of, which expand no query.
            config: of the search.

        Returns:
            Ids (Q, k) int64 and scores (Q, k) float32, best first. Scores of re-ranked candidates
            are the method's own; those behind them are their inner products, lowered to follow.

        Raises:
            IndexInputError: unusable vectors, or top_k below 1.
        """
        queries = check_vectors(vectors, self._index.dim, "vectors")
        k = check_top_k(top_k, len(self))
        own = np.full(len(queries), NO_IMAGE) if own_ids is None else np.asarray(own_ids)
        ids, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = slice(start, start + QUERIES_AT_ONCE)
            ids[block], scores[block] = self._search(queries[block], k, own[block], config)
        return ids, scores

    def _search(
        self, queries: Float32, k: int, own_ids: Int64, config: VectorConfig
    ) -> tuple[Int64, Float32]:
        if not len(self):
            return self._index.search(queries)
        if self._query_expansion:
            queries = expand(self._index, queries, own_ids, self._query_expansion, config)
        ids, scores = look_up(self._index, queries, max(k, self._candidates), config)
        if self._reranker:
            for query, found, similarities in zip(queries, ids, scores, strict=True):
                self._rerank(self._reranker, query, found, similarities)
        return ids[:, :k], scores[:, :k]

    def _rerank(self, reranker: Reranker, query: Float32, ids: Int64, scores: Float32) -> None:
        """Order the head of one ranking anew, in place."""
        ranked = int(np.count_nonzero(ids != NO_IMAGE))
        count = min(self._candidates, ranked)
        if not count:
            return
        head, tail = slice(count), slice(count, ranked)
        rows = np.searchsorted(self._index.image_ids, ids[head])
        found = reranker.score(query, rows, scores[head])
        order = np.argsort(-found, kind="stable")
        ids[head], scores[head] = ids[head][order], found[order]
        if len(scores[tail]):
            scores[tail] -= max(0, scores[count] - scores[count - 1])
            # the difference is rounded
            np.minimum(scores[tail], scores[count - 1], out=scores[tail])


def open_neighbours(uri: str, *indexes: str) -> Neighbours:
    """The neighbours of the images of an index, or of the union of several.

    Args:
        uri: directory of a "neighbours" artifact.
        indexes: directories of the artifacts that are searched.

    Raises:
        ArtifactError: they are not there.
        ArtifactMismatchError: they are those of another index; names both keys.
    """
    manifest = load_manifest(uri)
    if manifest.kind != "neighbours":
        raise ArtifactMismatchError(f"{uri} is of kind {manifest.kind}, not neighbours")
    known = [manifest.input(name).key for name in sorted(manifest.inputs, reverse=True)]
    keys = [load_manifest(index).key for index in indexes]
    if sorted(known) != sorted(keys):
        raise ArtifactMismatchError(
            f"neighbours {manifest.key} were found in {', '.join(known)}, not in {', '.join(keys)}"
        )
    return Neighbours.load(uri)


def _reranker(
    index: VectorIndex, config: RerankingConfig, neighbours: Neighbours | None
) -> Reranker:
    if neighbours is None or not np.array_equal(neighbours.image_ids, index.image_ids):
        found = "none" if neighbours is None else f"those of {len(neighbours):,} images"
        raise ArtifactMismatchError(
            f"re-ranking needs the neighbours of the {len(index):,} indexed images, found {found}"
        )
    if config.kind == "diffusion":
        return Diffusion(neighbours, config.diffusion)
    return ReciprocalEncoding(index, neighbours, config.k_reciprocal)
