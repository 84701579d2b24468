"""How well the global descriptor retrieves the validation split."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval_core.data.catalogue import Catalogue, QueryTruth
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.reading import ImageReader

BLOCK = 256
Item = TypeVar("Item")


class ValidationScores(NamedTuple):
    """Mean average precision and Recall@1 over the queries, in [0, 1]."""

    map: float
    recall: float


def validate(
    model: RetrievalModel, catalogue: Catalogue, reader: ImageReader
) -> ValidationScores | None:
    """Mean average precision and Recall@1 of the validation split.

    Where the dataset lists right answers they are scored; else every image is a query against all
    others, of which those of its label are right.

    Args:
        model: its single-scale global descriptor is scored.
        catalogue: its split val is used, unlabelled images as distractors.
        reader: decodes them.

    Returns:
        The scores; None where no query has a right answer.

    Raises:
        TooManyExclusionsError: as the reader does.
    """
    readable, vectors = global_descriptors(model, catalogue.split("val"), reader)
    if catalogue.val_truth:
        image_ids = [row.image_id for row in readable]
        return listed_truth_scores(vectors, image_ids, catalogue.val_truth)
    names = sorted({row.label for row in readable} - {""})
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers.get(row.label, -1) for row in readable], dtype=np.int64)
    return leave_one_out_scores(vectors, labels)


def listed_truth_scores(
    vectors: NDArray[np.float32], image_ids: Sequence[int], truth: Sequence[QueryTruth]
) -> ValidationScores | None:
    """Scores of queries among the images, by a list of right answers.

    A right answer without a vector counts as ranked behind everything; a query is an image like
    any other in its own ranking, unless the list calls it junk.

    Args:
        vectors: (N, D) unit norm.
        image_ids: N, of the vectors.
        truth: per query; those without a vector or without right answers are left out.

    Returns:
        The scores; None where nothing is left.
    """
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    asked = [t for t in truth if t.query in position and (t.easy or t.hard)]
    blocks = []
    for block in _blocks(asked):
        similarity = vectors[[position[t.query] for t in block]] @ vectors.T
        right = np.zeros(similarity.shape, dtype=bool)
        for row, t in enumerate(block):
            similarity[row, [position[i] for i in t.junk if i in position]] = -np.inf
            right[row, [position[i] for i in (*t.easy, *t.hard) if i in position]] = True
        totals = np.array([len(t.easy) + len(t.hard) for t in block])
        blocks.append(_scores(similarity, right, totals))
    return _mean(blocks)


def leave_one_out_scores(
    vectors: NDArray[np.float32], labels: NDArray[np.int64]
) -> ValidationScores | None:
    """Scores of every image as a query for the others with its label.

    Args:
        vectors: (N, D) unit norm.
        labels: (N,), -1 for images that are never right.

    Returns:
        The scores; None where no label comes twice.
    """
    counts = np.bincount(labels[labels >= 0], minlength=1)
    queries = np.flatnonzero((labels >= 0) & (counts[labels] >= 2))
    blocks = []
    for block in _blocks(queries.tolist()):
        similarity = vectors[block] @ vectors.T
        right = labels[block, None] == labels
        itself = np.arange(len(block)), block
        similarity[itself], right[itself] = -np.inf, False
        blocks.append(_scores(similarity, right, right.sum(axis=1)))
    return _mean(blocks)


def _blocks(items: Sequence[Item]) -> Iterator[list[Item]]:
    for first in range(0, len(items), BLOCK):
        yield list(items[first : first + BLOCK])


def _mean(blocks: list[NDArray[np.float64]]) -> ValidationScores | None:
    if not blocks:
        return None
    precision, first = np.concatenate(blocks).mean(axis=0)
    return ValidationScores(float(precision), float(first))


def _scores(
    similarity: NDArray[np.float32], right: NDArray[np.bool_], totals: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average precision in the trapezoid form of the retrieval benchmarks, and Recall@1.

    Args:
        similarity: (Q, N), -inf for images that do not count, which are never right.
        right: (Q, N).
        totals: (Q,) >= 1, right answers of each query, those that are not among the N included.

    Returns:
        (Q, 2).
    """
    order = np.argsort(-similarity, axis=1, kind="stable")
    ranked = np.take_along_axis(right, order, axis=1)
    hits = ranked.cumsum(axis=1)
    ranks = np.arange(ranked.shape[1])
    after = hits / (ranks + 1)
    before = np.where(ranks == 0, 1.0, (hits - 1) / np.maximum(ranks, 1))
    areas = ((before + after) / 2 * ranked).sum(axis=1) / totals
    return np.stack([areas, ranked[:, 0]], axis=1)
