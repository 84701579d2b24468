"""Labelled batches: drawn for an epoch, decoded and changed at random ahead of the network."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from retrieval_core.config import TrainingConfig
from retrieval_core.data.augmentation import Augmentation
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.sampling import Positions, draw_class_batches, draw_triplets
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.neighbours import nearest_of_other_classes
from retrieval_core.training.reading import AHEAD, ImageReader


class Batch(NamedTuple):
    """(n, 3, H, W) float32 images, normalised, and their (n,) int64 classes."""

    images: Tensor
    labels: Tensor


def draw_batches(
    labels: Positions,
    config: TrainingConfig,
    rng: np.random.Generator,
    nearest: Positions | None = None,
) -> list[Positions]:
    """The batches of an epoch.

    Args:
        labels: (N,) class of every image.
        config: what a batch is made of.
        rng: source of all choices.
        nearest: (N, k) positions of the nearest images of other classes, where they are mined.

    Returns:
        Positions in `labels`, per batch.

    Raises:
        DatasetError: there are too few classes or images.
    """
    sampling = config.sampling
    if sampling.kind == "triplets":
        count = sampling.steps and sampling.steps * config.batch
        triplets = draw_triplets(labels, count=count, rng=rng, nearest=nearest)
        firsts = range(0, len(triplets), config.batch)
        return [triplets[i : i + config.batch].flatten() for i in firsts]
    return draw_class_batches(
        labels,
        classes=sampling.classes,
        images=sampling.images,
        steps=sampling.steps,
        rng=rng,
        confused=None if nearest is None else confused_classes(labels, nearest).__getitem__,
    )


def mine_neighbours(
    model: RetrievalModel,
    rows: Sequence[ImageRow],
    labels: Positions,
    count: int,
    reader: ImageReader,
) -> Positions:
    """The nearest images of other classes by the current global descriptor.

    Returns:
        (N, k <= count) positions in `rows`, -1 where there are fewer, as for unreadable images.

    Raises:
        DivergenceError: a descriptor is not finite.
        TooManyExclusionsError: as the reader does.
    """
    readable, vectors = global_descriptors(model, rows, reader)
    position_of = {row.image_id: position for position, row in enumerate(rows)}
    positions = np.array([position_of[row.image_id] for row in readable], dtype=np.int64)
    found = nearest_of_other_classes(
        torch.from_numpy(vectors).to(model.device),
        torch.from_numpy(labels[positions]).to(model.device),
        count,
    ).numpy(force=True)
    nearest = np.full((len(rows), found.shape[1]), -1, dtype=np.int64)
    nearest[positions] = np.where(found < 0, -1, positions[found])
    return nearest


def confused_classes(labels: Positions, nearest: Positions) -> dict[int, list[int]]:
    """Per class, the classes of its images' neighbours, the most frequent first."""
    counts: dict[int, Counter[int]] = {int(label): Counter() for label in labels}
    for label, neighbours in zip(labels, nearest, strict=True):
        counts[int(label)].update(labels[neighbours[neighbours >= 0]].tolist())
    return {label: [other for other, _ in c.most_common()] for label, c in counts.items()}


def load_batches(
    batches: Sequence[Positions],
    rows: Sequence[ImageRow],
    labels: Positions,
    augmentation: Augmentation,
    reader: ImageReader,
    *,
    group: int,
    seed: Sequence[int],
) -> Iterator[Batch]:
    """Decode and augment the images of batches, ahead of the computation.

    Args:
        batches: positions in `rows`, in the order of training.
        rows: images.
        labels: (N,) their classes.
        augmentation: what becomes of an image.
        reader: decodes images.
        group: neighbours in a batch that are of use only together (3 for triplets, else 1): with
            an unreadable image all of them are left out.
        seed: with an image's place in the epoch it decides about its changes, whichever thread
            makes them.

    Raises:
        TooManyExclusionsError: as the reader does.
    """

    def view(place: int, pixels: Tensor) -> Tensor:
        return augmentation(pixels, np.random.default_rng([*seed, place]))

    wanted = [rows[position] for batch in batches for position in batch]
    ahead = max(map(len, batches), default=0) + AHEAD
    stream = reader.stream(wanted, view, ahead=ahead)
    for batch in batches:
        images = list(islice(stream, len(batch)))
        groups = range(0, len(images), group)
        kept = [
            i
            for first in groups
            if all(image is not None for image in images[first : first + group])
            for i in range(first, first + group)
        ]
        if kept:
            stacked = torch.stack([image for i in kept if (image := images[i]) is not None])
            yield Batch(stacked, torch.from_numpy(labels[batch[kept]]))
