"""Whether clusters of descriptors are classes: normalised mutual information."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import normalized_mutual_info_score

from retrieval_core.errors import RankingError
from retrieval_core.index import Codebook

ITERATIONS = 20


def cluster_information(
    vectors: npt.NDArray[np.float32], labels: Sequence[Hashable], *, seed: int = 0
) -> float:
    """Normalised mutual information of k-means clusters and labels (arXiv 1511.06452).

    There are as many clusters as labels; the information is divided by the arithmetic mean of both
    entropies.

    Args:
        vectors: (N, D) float32, unit norm.
        labels: (N,) class of each.
        seed: of the clusters.

    Returns:
        In [0, 1]; 1 where clusters and labels are the same.

    Raises:
        RankingError: there are no vectors, or not as many labels.
    """
    if not len(vectors) or len(vectors) != len(labels):
        raise RankingError(f"{len(vectors)} descriptors and {len(labels)} labels to cluster")
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    centres = Codebook.train(vectors, len(number), seed=seed, iterations=ITERATIONS, exact=True)
    clusters = centres.assign(vectors)[:, 0]
    return float(normalized_mutual_info_score([number[label] for label in labels], clusters))
