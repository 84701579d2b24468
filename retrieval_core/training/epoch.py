"""One pass over an epoch's tuples."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam

from retrieval_core.data.tuples import TrainingTuple
from retrieval_core.errors import DivergenceError
from retrieval_core.losses.roles import NEGATIVE, POSITIVE, QUERY
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.collapse import EpochStatistics
from retrieval_core.training.objective import Objective
from retrieval_core.training.reading import ImageReader

OnStep = Callable[[int, int, float], None]


def prepare_tuples(
    tuples: Sequence[TrainingTuple], flips: Sequence[NDArray[np.bool_]], reader: ImageReader
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Decode and mirror the images of tuples.

    An unreadable negative is left out of its tuple; a tuple without its query or positive is
    left out whole.

    Args:
        tuples: in the order of training.
        flips: per tuple, which of its images are mirrored left to right.
        reader: decodes images ahead of the computation.

    Yields:
        The (3, H, W) images of a tuple and their (n,) roles.

    Raises:
        TooManyExclusionsError: as the reader does.
    """
    stream = reader.stream([row for member in tuples for row in member.images])
    for member, mirrored in zip(tuples, flips, strict=True):
        decoded = list(islice(stream, len(member.images)))
        if decoded[0] is None or decoded[1] is None:
            continue
        images = [
            image.flip(2) if mirror else image
            for image, mirror in zip(decoded, mirrored, strict=True)
            if image is not None
        ]
        yield images, torch.tensor([QUERY, POSITIVE] + [NEGATIVE] * (len(images) - 2))


def train_epoch(
    model: RetrievalModel,
    objective: Objective,
    optimizer: Adam,
    tuples: Iterator[tuple[list[Tensor], Tensor]],
    statistics: EpochStatistics,
    *,
    batch: int,
    steps: int,
    on_step: OnStep | None = None,
) -> None:
    """Take the optimizer steps of one epoch.

    Gradients are summed tuple by tuple, so one tuple bounds the memory.

    Args:
        model: network; put into training mode.
        objective: cost of a tuple.
        optimizer: over the network's parameters.
        tuples: images and roles, from `prepare_tuples`.
        statistics: takes every tuple into account.
        batch: tuples per step.
        steps: number of steps, for the callback.
        on_step: called after every step with its number, `steps` and its mean loss.

    Raises:
        DivergenceError: the loss is not finite.
    """
    model.train()
    for step in range(1, steps + 1):
        losses = []
        for images, roles in islice(tuples, batch):
            outcome = objective([i.to(model.device) for i in images], roles.to(model.device))
            losses.append(outcome.loss.item())
            if not math.isfinite(losses[-1]):
                raise DivergenceError(f"the loss is {losses[-1]} in step {step} of {steps}")
            outcome.loss.backward()  # type: ignore[no-untyped-call]
            statistics.add(outcome)
        optimizer.step()
        optimizer.zero_grad()
        if on_step and losses:
            on_step(step, steps, sum(losses) / len(losses))
