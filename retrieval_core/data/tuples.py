"""Training tuples: which images show the same thing, and which to mine negatives among."""

from dataclasses import dataclass

import numpy as np

from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.errors import DatasetError

Pair = tuple[ImageRow, ImageRow]


@dataclass(frozen=True)
class TrainingTuple:
    """A query, an image that shows the same, and hard images of other labels."""

    query: ImageRow
    positive: ImageRow
    negatives: tuple[ImageRow, ...]

    @property
    def images(self) -> tuple[ImageRow, ...]:
        """Query, positive, negatives, in the order that the losses expect."""
        return self.query, self.positive, *self.negatives


def draw_pairs(catalogue: Catalogue, count: int, rng: np.random.Generator) -> list[Pair]:
    """Random pairs of a query and a positive.

    They are the dataset's own where it has any, else training images of a label, each with a
    random other image of it.

    Args:
        catalogue: its split train is drawn from.
        count: number of pairs, >= 1; no pair of the dataset's own, and else no query, comes twice
            before every one came once.
        rng: source of the choice.

    Returns:
        `count` pairs of query and positive.

    Raises:
        DatasetError: there are no pairs, and no label has two training images.
    """
    if catalogue.pairs:
        row_of = {row.image_id: row for row in catalogue.split("train")}
        order = _rounds(len(catalogue.pairs), count, rng)
        chosen = (catalogue.pairs[i] for i in order)
        return [(row_of[query], row_of[positive]) for query, positive in chosen]
    by_label = _by_label(catalogue)
    queries = [row for group in by_label.values() if len(group) >= 2 for row in group]
    if not queries:
        raise DatasetError(
            "training needs a label with at least two images of split train, found "
            f"{sum(map(len, by_label.values()))} labelled images of {len(by_label)} labels"
        )
    order = _rounds(len(queries), count, rng)
    return [(queries[i], _partner(queries[i], by_label, rng)) for i in order]


def draw_pool(catalogue: Catalogue, size: int, rng: np.random.Generator) -> list[ImageRow]:
    """Random images to mine negatives among.

    Args:
        catalogue: its images of split train with a label are drawn from.
        size: most images of the pool, >= 1.
        rng: source of the choice.

    Returns:
        Distinct images, in random order.

    Raises:
        DatasetError: the pool shows a single label, so that no query has a negative.
    """
    images = [row for group in _by_label(catalogue).values() for row in group]
    pool = [images[i] for i in rng.permutation(len(images))[:size]]
    labels = {row.label for row in pool}
    if len(labels) < 2:
        raise DatasetError(
            "mining needs images of at least two labels; the pool of "
            f"{len(pool)} out of {len(images)} labelled training images has {len(labels)}"
        )
    return pool


def _rounds(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` of `size` positions in random order, round after round of all of them."""
    rounds = -(-count // size)
    order = np.concatenate([rng.permutation(size) for _ in range(rounds)])[:count]
    return [int(position) for position in order]


def _by_label(catalogue: Catalogue) -> dict[str, list[ImageRow]]:
    groups: dict[str, list[ImageRow]] = {}
    for row in catalogue.split("train"):
        if row.label:
            groups.setdefault(row.label, []).append(row)
    return groups


def _partner(
    query: ImageRow, by_label: dict[str, list[ImageRow]], rng: np.random.Generator
) -> ImageRow:
    others = [row for row in by_label[query.label] if row.image_id != query.image_id]
    return others[int(rng.integers(len(others)))]
