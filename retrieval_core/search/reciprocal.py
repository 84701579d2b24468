"""Re-ranking by k-reciprocal encoding (Zhong et al., CVPR 2017, arXiv 1701.08398)."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from retrieval_core.config import ReciprocalConfig
from retrieval_core.index import VectorIndex
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.search.neighbours import Neighbours

# both bound what is in memory at once: pairs of images, and vectors of them
ROWS_AT_ONCE = 8_192
PAIRS_AT_ONCE = 16_384


class ReciprocalEncoding:
    """Scores candidates by what their and the query's reciprocal neighbours have in common.

    R(g, k) are the images of which g is among the k nearest and that are among the k nearest of g
    (equation 3), an image itself always among them. R*(g, k1) adds R(q, k1 / 2) of each q in
    R(g, k1) that has two thirds of it in common (equation 5). V_g is exp(-d) of these images'
    cosine distances d (equation 7), of sum 1, averaged over the k2 nearest of g (equation 11).

    The database is encoded by itself, and each query by the database: in the paper, where probes
    and gallery are one set, other queries change a ranking.

    Args:
        index: of the database images, whose vectors are read.
        neighbours: of these images, at least `config.neighbours` each.
        config: k1, k2 and lambda.

    Raises:
        ArtifactMismatchError: there are fewer neighbours.
    """

    def __init__(
        self, index: VectorIndex, neighbours: Neighbours, config: ReciprocalConfig
    ) -> None:
        self._index = index
        self._config = config
        near = neighbours.first(config.neighbours)
        half = neighbours.first(max(1, round(config.neighbours / 2)))
        self._reach = np.where(near.rows[:, -1] < 0, -np.inf, near.similarities[:, -1])
        self._half = _reciprocal(half)
        self._own = self._encoded(_reciprocal(near))
        self._averaged = _averaged(self._own, neighbours, config.expansion)
        self._sums = np.asarray(self._averaged.sum(axis=1)).ravel()

    def score(self, query: Float32, rows: Int64, similarities: Float32) -> Float32:
        """New scores of one query's candidates: (1 - lambda) Jaccard + lambda similarity.

        Args:
            query: (D,) unit norm.
            rows: (c,) positions of the candidates in the index, best first.
            similarities: (c,) inner products with the query.

        Returns:
            (c,) float32, at most 1.
        """
        weight = self._config.weight
        encoding = self._encode_query(query, rows, similarities)
        found = self._averaged[rows]
        owners = np.repeat(np.arange(len(rows)), np.diff(found.indptr))
        common = np.bincount(
            owners, np.minimum(found.data, encoding[found.indices]), minlength=len(rows)
        )
        union = self._sums[rows] + encoding.sum() - common
        jaccard = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        return np.asarray((1 - weight) * jaccard + weight * similarities, np.float32)

    def _encode_query(
        self, query: Float32, rows: Int64, similarities: Float32
    ) -> NDArray[np.float64]:
        """(N,) encoding of a query that ranked these rows first."""
        k1, k2 = self._config.neighbours, self._config.expansion
        near = rows[:k1]
        mutual = near[similarities[:k1] >= self._reach[near]]
        members = set(mutual.tolist())
        for row in mutual:
            others = _members(self._half, row)
            if 3 * len(np.intersect1d(others, mutual)) >= 2 * len(others):
                members.update(others.tolist())
        chosen = np.array(sorted(members), np.int64)
        encoding = np.zeros(len(self._index))
        if len(chosen):
            vectors = self._index.reconstruct(self._index.image_ids[chosen])
            weights = np.exp(vectors @ query - 1)
            encoding[chosen] = weights / weights.sum()
        beside = self._own[rows[: k2 - 1]]
        return np.asarray((encoding + beside.sum(axis=0)) / (1 + beside.shape[0]))

    def _encoded(self, mutual: sparse.csr_array) -> sparse.csr_array:
        """(N, N) rows V_g before they are averaged."""
        sizes = np.diff(self._half.indptr)
        parts = []
        for start in range(0, mutual.shape[0], ROWS_AT_ONCE):
            own = mutual[start : start + ROWS_AT_ONCE]
            common = sparse.coo_array((own @ self._half.T).multiply(own))
            taken = 3 * common.data >= 2 * sizes[common.col]
            added = sparse.csr_array(
                (common.data[taken], (common.row[taken], common.col[taken])), shape=own.shape
            )
            members = sparse.coo_array(own + added @ self._half)
            weights = np.exp(self._similarities(members.row + start, members.col) - 1)
            weights /= np.bincount(members.row, weights)[members.row]
            pairs = (weights, (members.row, members.col))
            parts.append(sparse.csr_array(pairs, shape=own.shape))
        return sparse.csr_array(sparse.vstack(parts))

    def _similarities(self, left: Int64, right: Int64) -> NDArray[np.float64]:
        """(m,) inner products of pairs of rows."""
        ids = self._index.image_ids
        found = np.empty(len(left))
        for start in range(0, len(left), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            pair = (self._index.reconstruct(ids[rows[part]]) for rows in (left, right))
            found[part] = np.einsum("nd,nd->n", *pair)
        return found


def _reciprocal(neighbours: Neighbours) -> sparse.csr_array:
    """(N, N) ones where images are each other's neighbours, and on the diagonal."""
    graph = neighbours.graph()
    own = sparse.eye_array(len(neighbours), dtype=np.float32, format="csr")
    return sparse.csr_array(graph.multiply(graph.T) + own)


def _averaged(
    encodings: sparse.csr_array, neighbours: Neighbours, expansion: int
) -> sparse.csr_array:
    """(N, N) mean encodings of every image and its `expansion` - 1 nearest."""
    if expansion == 1:
        return encodings
    graph = neighbours.first(expansion - 1).graph().astype(np.float64)
    averaging = graph + sparse.eye_array(len(neighbours), format="csr")
    counts = np.asarray(averaging.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / counts) @ averaging @ encodings)


def _members(graph: sparse.csr_array, row: int) -> Int64:
    return np.asarray(graph.indices[graph.indptr[row] : graph.indptr[row + 1]])
