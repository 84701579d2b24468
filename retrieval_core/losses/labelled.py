"""Losses on labelled batches, by configuration."""

from collections.abc import Callable

import torch

from retrieval_core.config import LossConfig
from retrieval_core.errors import ConfigError
from retrieval_core.losses.base import LabelledLoss
from retrieval_core.losses.batch_hard import BatchHardTripletLoss
from retrieval_core.losses.classification import ClassificationLoss
from retrieval_core.losses.point_to_set import HardAwarePointToSetLoss
from retrieval_core.losses.triplet_margin import TripletMarginLoss


def build_labelled_loss(
    config: LossConfig, dim: int, classes: int, *, seed: int = 0
) -> LabelledLoss:
    """The loss of a configuration, on labelled batches or drawn triplets.

    Args:
        config: which loss, and its settings.
        dim: dimensions of the embeddings.
        classes: number of training classes, for losses with parameters per class.
        seed: of those parameters and of random mining.

    Raises:
        ConfigError: a loss on tuples, or one that the library cannot build.
    """
    if config.kind not in LABELLED_LOSSES:
        raise ConfigError(
            f"training.loss.kind {config.kind!r} does not learn from labelled batches; these do: "
            f"{', '.join(LABELLED_LOSSES)}"
        )
    return LABELLED_LOSSES[config.kind](config, dim, classes, seed)


def build_classification_loss(
    config: LossConfig, dim: int, classes: int, *, seed: int = 0
) -> ClassificationLoss | None:
    """The classification beside the loss, on branches of `dim` dimensions; None where it is off."""
    if not config.auxiliary.weight:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ClassificationLoss(
            dim, classes, config.auxiliary.temperature, config.auxiliary.label_smoothing
        )


def _batch_hard(config: LossConfig, dim: int, classes: int, seed: int) -> LabelledLoss:
    return BatchHardTripletLoss(config.margin, soft_margin=config.soft_margin)


def _point_to_set(config: LossConfig, dim: int, classes: int, seed: int) -> LabelledLoss:
    return HardAwarePointToSetLoss(
        config.margin,
        weighting=config.point_to_set.weighting,
        sigma=config.point_to_set.sigma,
        alpha=config.point_to_set.alpha,
        soft_margin=config.soft_margin,
    )


def _triplet_margin(config: LossConfig, dim: int, classes: int, seed: int) -> LabelledLoss:
    return TripletMarginLoss(config.margin)


def _library(config: LossConfig, dim: int, classes: int, seed: int) -> LabelledLoss:
    from retrieval_core.losses.library import LibraryLoss  # the library loads slowly

    return LibraryLoss(config.library, dim=dim, classes=classes, seed=seed)


LABELLED_LOSSES: dict[str, Callable[[LossConfig, int, int, int], LabelledLoss]] = {
    "batch_hard_triplet": _batch_hard,
    "point_to_set": _point_to_set,
    "triplet_margin": _triplet_margin,
    "library": _library,
}
"""Per `LossConfig.kind`, the loss for a configuration, the embeddings' dimensions, the number of
classes and a seed; a new one is an entry."""
