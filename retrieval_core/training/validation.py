"""How well the global descriptor retrieves the validation split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.reading import ImageReader

BLOCK = 256


def validate(model: RetrievalModel, rows: Sequence[ImageRow], reader: ImageReader) -> float | None:
    """Mean average precision of every image as a query against all others.

    Args:
        model: its single-scale global descriptor is scored.
        rows: images of any split; those of split val are used, unlabelled ones as distractors.
        reader: decodes them.

    Returns:
        In [0, 1]; None where no label has two validation images.

    Raises:
        TooManyExclusionsError: as the reader does.
    """
    readable, vectors = global_descriptors(model, [r for r in rows if r.split == "val"], reader)
    names = sorted({row.label for row in readable} - {""})
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers.get(row.label, -1) for row in readable], dtype=np.int64)
    return leave_one_out_map(vectors, labels)


def leave_one_out_map(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Mean over images of the average precision of the images with the same label.

    Average precision is the trapezoid form of the retrieval benchmarks.

    Args:
        vectors: (N, D) unit norm.
        labels: (N,), -1 for images that are never right.

    Returns:
        In [0, 1]; None where no label comes twice.
    """
    counts = np.bincount(labels[labels >= 0], minlength=1)
    queries = np.flatnonzero((labels >= 0) & (counts[labels] >= 2))
    if not len(queries):
        return None
    precisions = [
        _average_precisions(vectors, labels, queries[first : first + BLOCK])
        for first in range(0, len(queries), BLOCK)
    ]
    return float(np.concatenate(precisions).mean())


def _average_precisions(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], queries: NDArray[np.int64]
) -> NDArray[np.float64]:
    similarity = vectors[queries] @ vectors.T
    similarity[np.arange(len(queries)), queries] = -np.inf  # ranks the query last: never counted
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
    right = labels[order] == labels[queries, None]
    hits = right.cumsum(axis=1)
    ranks = np.arange(right.shape[1])
    after = hits / (ranks + 1)
    before = np.where(ranks == 0, 1.0, (hits - 1) / np.maximum(ranks, 1))
    total: NDArray[np.float64] = ((before + after) / 2 * right).sum(axis=1) / hits[:, -1]
    return total
