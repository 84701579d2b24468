"""Training objectives, one per file."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from retrieval_core.losses.base import AnchorLoss, LabelledLoss
from retrieval_core.losses.batch_hard import BatchHardTripletLoss
from retrieval_core.losses.classification import ClassificationLoss
from retrieval_core.losses.contrastive import ContrastiveLoss
from retrieval_core.losses.decorrelation import AttentionDecorrelationLoss
from retrieval_core.losses.labelled import (
    LABELLED_LOSSES,
    build_classification_loss,
    build_labelled_loss,
)
from retrieval_core.losses.point_to_set import HardAwarePointToSetLoss
from retrieval_core.losses.super_feature import SuperFeatureLoss, match_super_features
from retrieval_core.losses.triplet_margin import TripletMarginLoss
from retrieval_core.losses.tuple_triplet import TupleTripletLoss


class TupleLoss(Protocol):
    """A loss over tuples of one query, one positive and any number of negatives."""

    def __call__(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """The loss of (n, D) embeddings with (n,) roles, summed over tuples."""

    def active(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """Which negatives still cost something: (m,) bool."""


TUPLE_LOSSES: dict[str, Callable[[float], TupleLoss]] = {
    "contrastive": ContrastiveLoss,
    "triplet": TupleTripletLoss,
}
"""Per `LossConfig.kind`, the loss on global descriptors for a margin; a new one is an entry."""

__all__ = [
    "LABELLED_LOSSES",
    "TUPLE_LOSSES",
    "AnchorLoss",
    "AttentionDecorrelationLoss",
    "BatchHardTripletLoss",
    "ClassificationLoss",
    "ContrastiveLoss",
    "HardAwarePointToSetLoss",
    "LabelledLoss",
    "SuperFeatureLoss",
    "TripletMarginLoss",
    "TupleLoss",
    "TupleTripletLoss",
    "build_classification_loss",
    "build_labelled_loss",
    "match_super_features",
]
