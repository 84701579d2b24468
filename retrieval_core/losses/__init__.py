"""Training objectives, one per file."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from retrieval_core.losses.contrastive import ContrastiveLoss
from retrieval_core.losses.decorrelation import AttentionDecorrelationLoss
from retrieval_core.losses.super_feature import SuperFeatureLoss, match_super_features
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
    "TUPLE_LOSSES",
    "AttentionDecorrelationLoss",
    "ContrastiveLoss",
    "SuperFeatureLoss",
    "TupleLoss",
    "TupleTripletLoss",
    "match_super_features",
]
