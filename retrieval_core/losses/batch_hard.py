"""Batch-hard triplet loss."""

import torch
from torch import Tensor

from retrieval_core.losses.base import AnchorLoss
from retrieval_core.losses.pairs import compare_anchors, triplet_costs


class BatchHardTripletLoss(AnchorLoss):
    """Wants an anchor's nearest negative farther than its farthest positive.

    The mean over anchors of max(0, margin + max_p d(a, p) - min_n d(a, n)), with the Euclidean
    distance d and the positives p and negatives n of the batch; with a soft margin, of
    log(1 + exp(max_p d(a, p) - min_n d(a, n))). Hermans, Beyer, Leibe: In Defense of the Triplet
    Loss for Person Re-Identification (arXiv 1703.07737), equation 5. An image without positive or
    without negative in the batch is no anchor, and still another anchor's negative.

    Args:
        margin: of the distances, >= 0; 0.1 in CGD. Not used with a soft margin.
        soft_margin: soft-plus instead of the margin.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-1.0, 0.0]])
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> loss = BatchHardTripletLoss(margin=0.1)(embeddings, labels)
        >>> round(float(loss), 3)  # only the second is as near to the third as to its positive
        0.025
    """

    def __init__(self, margin: float = 0.1, *, soft_margin: bool = False) -> None:
        super().__init__()
        self.margin = margin
        self.soft_margin = soft_margin

    def costs(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """What each anchor costs: (m,) (arguments as `forward`)."""
        distances, positives, negatives = compare_anchors(embeddings, labels)
        farthest = distances.masked_fill(~positives, -torch.inf).max(dim=1).values
        nearest = distances.masked_fill(~negatives, torch.inf).min(dim=1).values
        return triplet_costs(farthest, nearest, self.margin, soft=self.soft_margin)
