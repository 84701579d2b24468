"""Distance-weighted mining that holds in many dimensions."""

from typing import Any

import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices
from torch import Tensor

NEAREST_TO_DIAMETER = 1e-6


class DistanceWeightedMiner(miners.DistanceWeightedMiner):  # type: ignore[misc]
    """Draws each anchor's negatives evenly over their distances.

    A negative at distance d weighs 1 / q(d), where q(d) = d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2)
    is the density of distances on a sphere in D dimensions. Wu et al.: Sampling Matters in Deep
    Embedding Learning (arXiv 1706.07567), section 4. The library's miner of the same name and
    arguments scales all weights of a batch by the largest: in hundreds of dimensions, two
    neighbours of different classes make those of most other anchors vanish, and so the anchors.
    Here each anchor has its own scale.

    Args:
        cutoff: smaller distances count as this one.
        nonzero_loss_cutoff: negatives from this distance on are never drawn.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]])
        >>> anchors, _, negatives = DistanceWeightedMiner()(embeddings, torch.tensor([0, 0, 1]))
        >>> set(zip(anchors.tolist(), negatives.tolist()))  # the first is too far from the third
        {(1, 2)}
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> Any:
        """Triplets, as the library asks: (anchors, positives, negatives), each (t,) int64."""
        dim = embeddings.shape[1]
        distances = self.distance(embeddings, ref_emb).clamp(min=self.cutoff)
        inside = (1 - distances.square() / 4).clamp(min=NEAREST_TO_DIAMETER)
        log_weights = (2 - dim) * distances.log() + (3 - dim) / 2 * inside.log()
        drawn = (labels[:, None] != ref_labels) & (distances < self.nonzero_loss_cutoff)
        weights = log_weights.masked_fill(~drawn, -torch.inf).softmax(dim=1).nan_to_num(0)
        return get_random_triplet_indices(labels, ref_labels=ref_labels, weights=weights)
