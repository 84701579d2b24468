"""Hard-aware point-to-set loss."""

from typing import Literal

import torch
from torch import Tensor

from retrieval_core.losses.base import AnchorLoss
from retrieval_core.losses.pairs import compare_anchors, triplet_costs

Weighting = Literal["exponential", "polynomial"]


class HardAwarePointToSetLoss(AnchorLoss):
    """Wants the set of an anchor's negatives farther than the set of its positives.

    The distance to a set S is the weighted mean sum_j w_j d_j / sum_j w_j of the Euclidean
    distances d_j to its members, where hard members weigh more: exponential, exp(d / sigma) for
    positives and exp(-d / sigma) for negatives (equation 7); polynomial, (d + 1)^alpha for
    positives and (d + 1)^(-2 alpha) for negatives (equation 8). The loss is the mean over anchors
    of max(0, d(a, S+) - d(a, S-) + margin). Yu et al.: Hard-Aware Point-to-Set Deep Metric for
    Person Re-identification (arXiv 1807.11206). An image without positive or without negative in
    the batch is no anchor.

    Args:
        margin: of the distances to the sets, >= 0. Not used with a soft margin.
        weighting: how weights grow with hardness.
        sigma: scale of exponential weights, > 0.
        alpha: power of polynomial weights, > 0.
        soft_margin: soft-plus instead of the margin.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-1.0, 0.0]])
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> loss = HardAwarePointToSetLoss(margin=0.1)(embeddings, labels)
        >>> round(float(loss), 3)  # only the second is as near to its negatives as to its positive
        0.025
    """

    def __init__(
        self,
        margin: float = 0.2,
        *,
        weighting: Weighting = "exponential",
        sigma: float = 0.5,
        alpha: float = 10.0,
        soft_margin: bool = False,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.weighting: Weighting = weighting
        self.sigma = sigma
        self.alpha = alpha
        self.soft_margin = soft_margin

    def costs(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """What each anchor costs: (m,) (arguments as `forward`)."""
        distances, positives, negatives = compare_anchors(embeddings, labels)
        if self.weighting == "exponential":
            hardness, ease = distances / self.sigma, -distances / self.sigma
        else:
            hardness = self.alpha * distances.log1p()
            ease = -2 * hardness
        near = _set_distances(distances, positives, hardness)
        far = _set_distances(distances, negatives, ease)
        return triplet_costs(near, far, self.margin, soft=self.soft_margin)


def _set_distances(distances: Tensor, members: Tensor, log_weights: Tensor) -> Tensor:
    """Weighted mean of each row's members; the soft-max overflows at no weight."""
    weights = log_weights.masked_fill(~members, -torch.inf).softmax(dim=1)
    return (weights * distances).sum(dim=1)
