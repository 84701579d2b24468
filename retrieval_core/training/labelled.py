"""Learning from labelled batches."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam

from retrieval_core.config import AugmentationConfig, TrainingConfig
from retrieval_core.data.augmentation import Augmentation
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.sampling import class_numbers
from retrieval_core.errors import ConfigError
from retrieval_core.models.backbones import fixed_side
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.batches import Batch, draw_batches, load_batches, mine_neighbours
from retrieval_core.training.collapse import EpochStatistics
from retrieval_core.training.folding import folded_batch_norm
from retrieval_core.training.freezing import freeze_first_layers, start_learning
from retrieval_core.training.labelled_loss import BatchLoss, branched
from retrieval_core.training.objective import Outcome, mean_distance
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.stepping import OnStep, Stepper

TOGETHER_ON_CPU = 4


def require_crops(model: RetrievalModel, augmentation: AugmentationConfig) -> None:
    """Refuse changes of images that leave batches of which the network takes none.

    Raises:
        ConfigError: nothing brings the images of a batch to one size, or the network takes none
            of the size of the crops.
    """
    if model.input_size is None and not augmentation.crop:
        raise ConfigError(
            "training.augmentation.crop is off, and the network takes images of any size: "
            "model.input.size has to say what square the images of a batch become"
        )
    side, only = augmentation.side, fixed_side(model.features)
    if augmentation.crop and only not in (None, side):
        raise ConfigError(
            f"training.augmentation.side {side}: {model.config.backbone} takes images of "
            f"{only} pixels alone"
        )


class LabelledCourse:
    """Batches of classes, or of triplets, drawn for every epoch.

    Training images without a label are left out.

    Args:
        model: network.
        catalogue: its split train is learnt from.
        config: the recipe.
        seed: of every random choice.

    Raises:
        ConfigError: the loss needs another network, more layers are frozen than there are,
            nothing brings the images of a batch to one size, or the network takes none of the size
            of the crops.
        DatasetError: there are too few classes or images for a batch.
    """

    def __init__(
        self, model: RetrievalModel, catalogue: Catalogue, config: TrainingConfig, seed: int
    ) -> None:
        require_crops(model, config.augmentation)
        self._rows = [row for row in catalogue.split("train") if row.label]
        self._labels = class_numbers(self._rows)
        # images that make no batch are told of before any work
        draw_batches(self._labels, config, np.random.default_rng(seed))
        classes = len(set(self._labels.tolist()))
        self.loss = BatchLoss(model, config.loss, classes, seed=seed).to(model.device)
        self._model = model
        self._config = config
        self._seed = seed
        self._augmentation = Augmentation(config.augmentation, config.flip)
        freeze_first_layers(model, config.frozen_layers)

    def epoch(
        self, number: int, optimizer: Adam, reader: ImageReader, on_step: OnStep | None
    ) -> EpochStatistics:
        """Draw batches and take a step for each; see `Course`.

        Raises:
            DatasetError: there are too few classes or images.
            DivergenceError: the loss or a descriptor is not finite.
            TooManyExclusionsError: as the reader does.
        """
        config, rng = self._config, np.random.default_rng([self._seed, number])
        nearest = None
        if config.sampling.mining == "global":
            count = config.sampling.neighbours
            nearest = mine_neighbours(self._model, self._rows, self._labels, count, reader)
        drawn = draw_batches(self._labels, config, rng, nearest)
        batches = load_batches(
            drawn,
            self._rows,
            self._labels,
            self._augmentation,
            reader,
            group=3 if config.sampling.kind == "triplets" else 1,
            seed=(self._seed, number),
        )
        stepper = Stepper(optimizer, config, number, len(drawn), on_step)
        statistics = EpochStatistics("anchors")
        start_learning(self._model, config.batch_norm)
        self.loss.train()
        frozen = config.batch_norm == "frozen"
        with self._crops_as_they_are(), folded_batch_norm(self._model) if frozen else nullcontext():
            for batch in batches:
                outcome = self._outcome(batch)
                stepper.backward(outcome.loss)
                statistics.add(outcome)
                stepper.step()
        return statistics

    @contextmanager
    def _crops_as_they_are(self) -> Iterator[None]:
        """The network takes crops of the augmentation's size, whatever images become elsewhere."""
        before = self._model.input_size
        if self._config.augmentation.crop:
            self._model.input_size = self._config.augmentation.side
        try:
            yield
        finally:
            self._model.input_size = before

    def _outcome(self, batch: Batch) -> Outcome:
        labels = batch.labels.to(self._model.device)
        embeddings, branch = self._embed(batch.images)
        active = self.loss.ranking.active(embeddings.detach(), labels)
        return Outcome(
            loss=self.loss(embeddings, branch, labels),
            images=len(labels),
            active=int(active.sum()),
            compared=len(active),
            spread=mean_distance(embeddings[:, None]),
        )

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(n, D) embeddings of unit norm, and what an auxiliary classification learns from."""
        parts = torch.split(images, self._together(len(images)))
        outputs = [self._forward(part) for part in parts]
        embeddings = torch.cat([embedding for embedding, _ in outputs])
        branches = [branch for _, branch in outputs if branch is not None]
        return embeddings, torch.cat(branches) if branches else None

    def _forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        model = self._model
        images = images.to(model.device)
        half = self._config.precision == "bfloat16"
        with torch.autocast(model.device.type, torch.bfloat16, enabled=half):
            if self.loss.classification is None:
                embedding, branch = model(images), None
            else:
                embedding, branch = branched(model).branches(images)
        # rounding to 8 bits leaves norms that are 1 only to the second digit
        embedding = F.normalize(embedding.float()) if half else embedding
        return embedding, None if branch is None else branch.float()

    def _together(self, count: int) -> int:
        config = self._config
        if config.batch_norm == "learned":
            return count
        if config.together is not None:
            return config.together
        small = self._model.device.type == "cpu" and config.precision == "float32"
        return TOGETHER_ON_CPU if small else count
