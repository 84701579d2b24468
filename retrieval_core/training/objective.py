"""What one tuple costs, and how it is doing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor

from retrieval_core.config import LossConfig
from retrieval_core.errors import ConfigError
from retrieval_core.losses import (
    TUPLE_LOSSES,
    AttentionDecorrelationLoss,
    SuperFeatureLoss,
    TupleLoss,
)
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import group_by_shape


@dataclass(frozen=True)
class Outcome:
    """Cost of one tuple or one labelled batch.

    Attributes:
        loss: (), differentiable.
        images: number of images.
        active: number of negatives of a tuple, of anchors of a batch, that cost something.
        compared: number of all of these.
        spread: mean distance between two of the images, in [0, 2]; None for a lone one.
    """

    loss: Tensor
    images: int
    active: int
    compared: int
    spread: float | None


Objective = Callable[[Sequence[Tensor], Tensor], Outcome]
"""Takes the (3, H, W) images of one tuple, on the model's device, and their (n,) roles."""


class SuperFeatureModel(Protocol):
    """A network whose super-features can be trained."""

    def super_features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, N, d), attentions (B, N, H * W) and strengths (B, N)."""


def build_objective(model: RetrievalModel, config: LossConfig) -> Objective:
    """The training objective of a configuration.

    Raises:
        ConfigError: kind is super_feature and the network has no super-features.
    """
    if config.kind in TUPLE_LOSSES:
        return _GlobalObjective(model, TUPLE_LOSSES[config.kind](config.margin))
    if not hasattr(model, "super_features"):
        raise ConfigError(
            "training.loss.kind 'super_feature' needs a network with super-features, not "
            f"{type(model).__name__}"
        )
    return _SuperFeatureObjective(cast(SuperFeatureModel, model), config)


class _GlobalObjective:
    """A tuple loss on global descriptors."""

    def __init__(self, model: RetrievalModel, loss: TupleLoss) -> None:
        self._model = model
        self._loss = loss

    def __call__(self, images: Sequence[Tensor], roles: Tensor) -> Outcome:
        groups = group_by_shape(images)
        outputs = [self._model(torch.stack([images[i] for i in group])) for group in groups]
        embeddings = _in_order(outputs, groups)
        active = self._loss.active(embeddings, roles)
        return Outcome(
            loss=self._loss(embeddings, roles),
            images=len(images),
            active=int(active.sum()),
            compared=len(active),
            spread=mean_distance(embeddings[:, None]),
        )


class _SuperFeatureObjective:
    """Contrastive loss on matched super-features plus decorrelation (FIRe, equation 7)."""

    def __init__(self, model: SuperFeatureModel, config: LossConfig) -> None:
        self._model = model
        self._loss = SuperFeatureLoss(
            config.margin,
            weight=config.super_feature_weight,
            ratio=config.ratio,
            ratio_test=config.ratio_test,
        )
        self._decorrelation = AttentionDecorrelationLoss(config.decorrelation_weight)

    def __call__(self, images: Sequence[Tensor], roles: Tensor) -> Outcome:
        groups = group_by_shape(images)
        outputs = [
            self._model.super_features(torch.stack([images[i] for i in group])) for group in groups
        ]
        features = _in_order([features for features, _, _ in outputs], groups)
        decorrelation = sum(self._decorrelation(attentions) for _, attentions, _ in outputs)
        matched, match_roles = self._loss.matched_tuples(features.detach(), roles)
        active = self._loss.contrastive.active(matched, match_roles) if len(matched) else matched
        return Outcome(
            loss=self._loss(features, roles) + decorrelation,
            images=len(images),
            active=int(active.sum()),
            compared=len(active),
            spread=mean_distance(torch.nn.functional.normalize(features, dim=2)),
        )


def _in_order(outputs: Sequence[Tensor], groups: Sequence[Sequence[int]]) -> Tensor:
    """Rows of per-group outputs, back in the order of the images."""
    positions = torch.tensor([i for group in groups for i in group], device=outputs[0].device)
    return torch.cat(list(outputs))[positions.argsort()]


@torch.no_grad()
def mean_distance(features: Tensor) -> float | None:
    """Mean distance between two of n images, of (n, N, d) features, averaged over N."""
    count = len(features)
    if count < 2:
        return None
    by_template = features.transpose(0, 1)
    return float(torch.cdist(by_template, by_template).sum((1, 2)).mean()) / (count * (count - 1))
