"""What the loop repeats: one epoch of a way to learn."""

from collections.abc import Callable
from typing import Protocol

from torch import nn
from torch.optim import Adam

from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.collapse import EpochStatistics
from retrieval_core.training.labelled import LabelledCourse
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.stepping import OnStep
from retrieval_core.training.tuples import TupleCourse


class Course(Protocol):
    """A way to learn."""

    @property
    def loss(self) -> nn.Module:
        """What it learns by; its parameters are trained, its state is kept with the network's."""

    def epoch(
        self, number: int, optimizer: Adam, reader: ImageReader, on_step: OnStep | None
    ) -> EpochStatistics:
        """Take the optimizer steps of one epoch.

        Args:
            number: of the epoch, >= 1; every random choice follows from it and the seed.
            optimizer: over the parameters of the network and the loss.
            reader: decodes images.
            on_step: called after every step with its number, the number of steps and its loss.

        Raises:
            DivergenceError: the loss or a descriptor is not finite.
            TooManyExclusionsError: as the reader does.
        """


BuildCourse = Callable[[RetrievalModel, Catalogue, TrainingConfig, int], Course]

COURSES: dict[str, BuildCourse] = {
    "tuples": TupleCourse,
    "classes": LabelledCourse,
    "triplets": LabelledCourse,
}
"""Per `SamplingConfig.kind`, how a network learns from a dataset, by a recipe and a seed."""
