"""Learning from mined tuples."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam

from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.tuples import TrainingTuple
from retrieval_core.losses.roles import NEGATIVE, POSITIVE, QUERY
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.collapse import EpochStatistics
from retrieval_core.training.folding import folded_batch_norm
from retrieval_core.training.freezing import freeze_first_layers, start_learning
from retrieval_core.training.mining import mine_tuples
from retrieval_core.training.objective import build_objective
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.stepping import OnStep, Stepper


class TupleCourse:
    """Tuples of a query, a positive and hard negatives, which are mined for every epoch.

    Gradients are summed tuple by tuple, so one tuple bounds the memory.

    Args:
        model: network.
        catalogue: images and pairs to draw from.
        config: the recipe.
        seed: of every random choice.

    Raises:
        ConfigError: the loss needs another network, or more layers are frozen than there are.
    """

    def __init__(
        self, model: RetrievalModel, catalogue: Catalogue, config: TrainingConfig, seed: int
    ) -> None:
        self.loss = nn.Module()
        self._model = model
        self._catalogue = catalogue
        self._config = config
        self._seed = seed
        self._objective = build_objective(model, config.loss)
        freeze_first_layers(model, config.frozen_layers)

    def epoch(
        self, number: int, optimizer: Adam, reader: ImageReader, on_step: OnStep | None
    ) -> EpochStatistics:
        """Mine tuples and learn from each of them once; see `Course`.

        Raises:
            DatasetError: there are too few labels or images to form tuples.
            DivergenceError: the loss or a descriptor is not finite.
            TooManyExclusionsError: as the reader does.
        """
        config, rng = self._config, np.random.default_rng([self._seed, number])
        mined = mine_tuples(self._model, self._catalogue, config, reader, rng)
        flips = [rng.random(len(t.images)) < config.flip for t in mined]
        tuples = prepare_tuples(mined, flips, reader)
        stepper = Stepper(optimizer, config, number, -(-len(mined) // config.batch), on_step)
        statistics = EpochStatistics()
        start_learning(self._model, "frozen")
        with folded_batch_norm(self._model):
            for _ in range(stepper.steps):
                for images, roles in islice(tuples, config.batch):
                    device = self._model.device
                    outcome = self._objective([i.to(device) for i in images], roles.to(device))
                    stepper.backward(outcome.loss)
                    statistics.add(outcome)
                stepper.step()
        return statistics


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
