"""Training objectives, one per file."""

from retrieval_core.losses.contrastive import ContrastiveLoss
from retrieval_core.losses.decorrelation import AttentionDecorrelationLoss
from retrieval_core.losses.super_feature import SuperFeatureLoss, match_super_features
from retrieval_core.losses.tuple_triplet import TupleTripletLoss

__all__ = [
    "AttentionDecorrelationLoss",
    "ContrastiveLoss",
    "SuperFeatureLoss",
    "TupleTripletLoss",
    "match_super_features",
]
