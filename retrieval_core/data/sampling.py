"""Batches of labelled images: classes of several images each, and random triplets."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import DatasetError

Positions = NDArray[np.int64]


def class_numbers(rows: Sequence[ImageRow]) -> Positions:
    """Labels as the numbers of the distinct ones in alphabetical order: (N,), from 0.

    Raises:
        DatasetError: an image has no label.
    """
    unlabelled = [row.path for row in rows if not row.label]
    if unlabelled:
        raise DatasetError(f"{len(unlabelled)} images have no label, first {unlabelled[0]}")
    numbers = {label: number for number, label in enumerate(sorted({row.label for row in rows}))}
    return np.array([numbers[row.label] for row in rows], dtype=np.int64)


class Rounds:
    """Items in random order, each of them once before any comes again.

    Args:
        items: distinct, at least one.
        rng: source of the order.
    """

    def __init__(self, items: Positions, rng: np.random.Generator) -> None:
        self._items = items
        self._rng = rng
        self._waiting = items[:0]

    def take(self, count: int) -> Positions:
        """The next `count` items, distinct; all items where there are no more than that."""
        chosen, self._waiting = np.split(self._waiting, [min(count, len(self._waiting))])
        missing = min(count, len(self._items)) - len(chosen)
        if missing <= 0:
            return chosen
        fresh = self._rng.permutation(self._items)
        added = fresh[~np.isin(fresh, chosen)][:missing]
        self._waiting = fresh[~np.isin(fresh, added)]
        return np.concatenate([chosen, added])


def draw_class_batches(
    labels: Positions,
    *,
    classes: int,
    images: int,
    steps: int | None,
    rng: np.random.Generator,
    confused: Callable[[int], Sequence[int]] | None = None,
) -> list[Positions]:
    """Batches of P classes with K images each (Hermans et al., arXiv 1703.07737).

    No class starts a batch twice before every one did, and no image of a class comes twice before
    every one of it came once. A class of fewer than K images gives all of them and no image twice,
    so that a class of one image has no positive, only negatives.

    Args:
        labels: (N,) class of every image.
        classes: P, distinct classes of a batch.
        images: K, most images of each.
        steps: number of batches; None: N / (P K), which hold N images where no class is too small.
        rng: source of all choices.
        confused: other classes that a batch of this first class is filled with, best first; where
            they do not suffice, or without it, random classes fill up.

    Returns:
        Positions in `labels`, per batch, image by image of a class after another.

    Raises:
        DatasetError: there are fewer than P classes, or no class has two images.
    """
    members = _members(labels)
    if classes > len(members):
        raise DatasetError(
            f"training.sampling.classes: a batch of {classes} classes needs as many, the training "
            f"images show {len(members)}"
        )
    queues = {label: Rounds(positions, rng) for label, positions in members.items()}
    order = Rounds(np.array(list(members), dtype=np.int64), rng)
    batches = []
    for _ in range(steps or -(-len(labels) // (classes * images))):
        if confused is None:
            chosen = order.take(classes).tolist()
        else:
            (first,) = order.take(1).tolist()
            chosen = _filled(first, confused(first), classes, list(members), rng)
        batches.append(np.concatenate([queues[label].take(images) for label in chosen]))
    return batches


def draw_triplets(
    labels: Positions,
    *,
    count: int | None,
    rng: np.random.Generator,
    nearest: Positions | None = None,
) -> Positions:
    """Random triplets of an anchor, another image of its class, and an image of another class.

    No image is an anchor twice before every one was that has a positive.

    Args:
        labels: (N,) class of every image.
        count: number of triplets; None: every image that has a positive is an anchor once.
        rng: source of all choices.
        nearest: (N, k) positions of images of other classes, per anchor, to take the negative
            from; -1 stands for none. Without it, all images of other classes are.

    Returns:
        (n, 3) positions in `labels`.

    Raises:
        DatasetError: there is a single class, or none has two images.
    """
    members = _members(labels)
    if len(members) < 2:
        raise DatasetError(
            f"triplets need images of two classes at least, the {len(labels)} training images "
            f"show {len(members)}"
        )
    anchors = np.flatnonzero(np.bincount(labels)[labels] > 1)
    rounds = Rounds(anchors, rng)
    wanted = count or len(anchors)
    taken = [rounds.take(min(len(anchors), wanted - i)) for i in range(0, wanted, len(anchors))]
    triplets = []
    for anchor in np.concatenate(taken):
        own = members[int(labels[anchor])]
        others = nearest[anchor] if nearest is not None else None
        negative = _other_class(labels, own, others, rng)
        triplets.append((anchor, rng.choice(own[own != anchor]), negative))
    return np.array(triplets, dtype=np.int64)


def _members(labels: Positions) -> dict[int, Positions]:
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    groups = np.split(order, starts[1:]) if len(names) else []
    if all(len(group) < 2 for group in groups):
        raise DatasetError(
            "training needs a class of at least two labelled images of split train, found "
            f"{len(labels)} images of {len(names)} classes"
        )
    return {int(name): group for name, group in zip(names, groups, strict=True)}


def _filled(
    first: int, close: Sequence[int], count: int, names: list[int], rng: np.random.Generator
) -> list[int]:
    """`count` distinct classes: the first, those close to it, random ones."""
    chosen = list(dict.fromkeys([first, *close]))[:count]
    if len(chosen) < count:
        rest = [name for name in names if name not in chosen]
        chosen += rng.permutation(rest)[: count - len(chosen)].tolist()
    return chosen


def _other_class(
    labels: Positions, own: Positions, nearest: Positions | None, rng: np.random.Generator
) -> int:
    if nearest is not None and len(known := nearest[nearest >= 0]):
        return int(rng.choice(known))
    # the position among the images of other classes, moved past those of its own
    position = int(rng.integers(len(labels) - len(own)))
    others = own - np.arange(len(own))
    return position + int(np.searchsorted(others, position, side="right"))
