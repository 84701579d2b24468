"""Training tuples: which images show the same thing, and which to mine negatives among."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import DatasetError

Pair = tuple[ImageRow, ImageRow]


@dataclass(frozen=True)
class TrainingTuple:
    """A query, an image of the same label, and hard images of other labels."""

    query: ImageRow
    positive: ImageRow
    negatives: tuple[ImageRow, ...]

    @property
    def images(self) -> tuple[ImageRow, ...]:
        """Query, positive, negatives, in the order that the losses expect."""
        return self.query, self.positive, *self.negatives


def draw_pairs(rows: Sequence[ImageRow], count: int, rng: np.random.Generator) -> list[Pair]:
    """Queries, each with a random other image of its label.

    Args:
        rows: images of any split; those of split train with a label are drawn from.
        count: number of pairs, >= 1; no query comes twice before every query came once.
        rng: source of the choice.

    Returns:
        `count` pairs of query and positive.

    Raises:
        DatasetError: no label has two training images.
    """
    by_label = _by_label(rows)
    queries = [row for group in by_label.values() if len(group) >= 2 for row in group]
    if not queries:
        raise DatasetError(
            "training needs a label with at least two images of split train, found "
            f"{sum(map(len, by_label.values()))} labelled images of {len(by_label)} labels"
        )
    rounds = -(-count // len(queries))
    order = np.concatenate([rng.permutation(len(queries)) for _ in range(rounds)])[:count]
    return [(queries[i], _partner(queries[i], by_label, rng)) for i in order]


def draw_pool(rows: Sequence[ImageRow], size: int, rng: np.random.Generator) -> list[ImageRow]:
    """Random images to mine negatives among.

    Args:
        rows: images of any split; those of split train with a label are drawn from.
        size: most images of the pool, >= 1.
        rng: source of the choice.

    Returns:
        Distinct images, in random order.

    Raises:
        DatasetError: the pool shows a single label, so that no query has a negative.
    """
    images = [row for group in _by_label(rows).values() for row in group]
    pool = [images[i] for i in rng.permutation(len(images))[:size]]
    labels = {row.label for row in pool}
    if len(labels) < 2:
        raise DatasetError(
            "mining needs images of at least two labels; the pool of "
            f"{len(pool)} out of {len(images)} labelled training images has {len(labels)}"
        )
    return pool


def _by_label(rows: Sequence[ImageRow]) -> dict[str, list[ImageRow]]:
    groups: dict[str, list[ImageRow]] = {}
    for row in rows:
        if row.split == "train" and row.label:
            groups.setdefault(row.label, []).append(row)
    return groups


def _partner(
    query: ImageRow, by_label: dict[str, list[ImageRow]], rng: np.random.Generator
) -> ImageRow:
    others = [row for row in by_label[query.label] if row.image_id != query.image_id]
    return others[int(rng.integers(len(others)))]
