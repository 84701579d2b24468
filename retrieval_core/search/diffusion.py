"""Re-ranking by diffusion on the graph of mutual neighbours (Iscen et al., CVPR 2017)."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from retrieval_core.config import DiffusionConfig
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.search.neighbours import Neighbours

TOLERANCE = 1e-6


class Diffusion:
    """Scores candidates by how much of a query's weight arrives at them.

    Similarities s become weights max(s, 0)^gamma between images that are each other's neighbours
    (equations 1 to 3). S is their matrix, scaled by the square roots of both degrees, and y the
    weights between the query and its nearest images; the scores solve (I - alpha S) f = y
    (equation 9) by conjugate gradients, on the part of the graph that the candidates span.

    Args:
        neighbours: of the database images, at least `config.neighbours` each.
        config: of the graph and the walk.

    Raises:
        ArtifactMismatchError: there are fewer neighbours.
    """

    def __init__(self, neighbours: Neighbours, config: DiffusionConfig) -> None:
        self._config = config
        self._graph = _normalised(neighbours.first(config.neighbours), config.exponent)

    def score(self, query: Float32, rows: Int64, similarities: Float32) -> Float32:
        """New scores of one query's candidates.

        Args:
            query: (D,) not used: the similarities say all.
            rows: (c,) positions of the candidates in the graph, best first.
            similarities: (c,) inner products with the query.

        Returns:
            (c,) float32, >= 0 up to the tolerance of the solution; 0 where nothing arrives.
        """
        config = self._config
        start = np.maximum(similarities, 0).astype(np.float64) ** config.exponent
        start[config.query_neighbours :] = 0
        reached = self._graph[rows][:, rows]
        system = sparse.eye_array(len(rows), format="csr") - config.alpha * reached
        found, _ = cg(system, start, rtol=TOLERANCE, maxiter=config.iterations)
        return np.asarray(found, np.float32)


def _normalised(neighbours: Neighbours, exponent: float) -> sparse.csr_array:
    """(N, N) float64 S = D^-1/2 A D^-1/2; an image without mutual neighbours has an empty row."""
    weights = np.maximum(neighbours.similarities, 0) ** np.float32(exponent)
    graph = neighbours.graph(weights).astype(np.float64)
    mutual = sparse.csr_array(graph.minimum(graph.T))
    degrees = np.asarray(mutual.sum(axis=1)).ravel()
    scales = np.divide(1, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
    scaling = sparse.diags_array(scales, format="csr")
    return sparse.csr_array(scaling @ mutual @ scaling)
