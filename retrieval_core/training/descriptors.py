"""Global descriptors of many images, batched by size."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import DivergenceError
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.reading import ImageReader

BATCH = 8
MAX_WAITING = 64


class Descriptors(NamedTuple):
    """Rows of the readable images, in the order asked for, and their (n, D) float32 vectors."""

    rows: list[ImageRow]
    vectors: NDArray[np.float32]


def group_by_shape(images: Sequence[Tensor]) -> list[list[int]]:
    """Positions of images that can share a batch, in order of first appearance."""
    groups: dict[torch.Size, list[int]] = {}
    for position, image in enumerate(images):
        groups.setdefault(image.shape, []).append(position)
    return list(groups.values())


@torch.inference_mode()
def global_descriptors(
    model: RetrievalModel, rows: Sequence[ImageRow], reader: ImageReader
) -> Descriptors:
    """Extract single-scale global descriptors; unreadable images are left out.

    Args:
        model: network; put into evaluation mode.
        rows: images.
        reader: decodes them and keeps account of the unreadable ones.

    Raises:
        TooManyExclusionsError: as the reader does.
        DivergenceError: a descriptor is not finite.
    """
    model.eval()
    vectors = np.zeros((len(rows), model.global_dim), dtype=np.float32)
    found = np.zeros(len(rows), dtype=bool)
    for positions, images in batches(rows, reader):
        vectors[positions] = model(images.to(model.device)).float().cpu().numpy()
        found[positions] = True
    if not np.isfinite(vectors).all():
        raise DivergenceError("the network's global descriptors are not finite")
    return Descriptors([row for row, ok in zip(rows, found, strict=True) if ok], vectors[found])


def batches(rows: Sequence[ImageRow], reader: ImageReader) -> Iterator[tuple[list[int], Tensor]]:
    """Readable images in batches of one size.

    Images wait for others of their shape; never more than `MAX_WAITING`, whatever the shapes.

    Yields:
        Positions in `rows` and (B, 3, H, W) float32 images, 1 <= B <= `BATCH`.

    Raises:
        TooManyExclusionsError: as the reader does.
    """
    waiting: dict[torch.Size, list[tuple[int, Tensor]]] = {}
    for position, image in enumerate(reader.stream(rows)):
        if image is None:
            continue
        waiting.setdefault(image.shape, []).append((position, image))
        if len(waiting[image.shape]) == BATCH:
            yield _stack(waiting.pop(image.shape))
        elif sum(map(len, waiting.values())) == MAX_WAITING:
            yield _stack(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
    yield from map(_stack, waiting.values())


def _stack(batch: list[tuple[int, Tensor]]) -> tuple[list[int], Tensor]:
    return [position for position, _ in batch], torch.stack([image for _, image in batch])
