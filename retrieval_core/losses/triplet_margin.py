"""Triplet loss on triplets that were drawn as such."""

import torch
from torch import Tensor, nn

from retrieval_core.errors import LossInputError
from retrieval_core.losses.base import AnchorLoss
from retrieval_core.losses.pairs import at_least_single, check_batch


class TripletMarginLoss(AnchorLoss):
    """Wants the negative of a triplet farther from the anchor than the positive, by a margin.

    The mean over triplets of max(0, d(a, p) - d(a, n) + margin), with the Euclidean distance d.
    Schroff, Kalenichenko, Philbin: FaceNet (arXiv 1503.03832), section 3.1, without the squares.

    Args:
        margin: of the distances, >= 0.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> loss = TripletMarginLoss(margin=1.0)(embeddings, torch.tensor([4, 4, 7]))
        >>> round(float(loss), 3)  # 1.414 - 2 + 1
        0.414
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def costs(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """What each triplet costs: (n / 3,).

        Args:
            embeddings: (n, D) float; anchor, positive, negative, then the next triplet.
            labels: (n,) integers.

        Raises:
            LossInputError: not a labelled batch, or not made of triplets.
        """
        check_batch(embeddings, labels)
        anchors, positives, negatives = (labels[i::3] for i in range(3))
        if len(labels) % 3 or not torch.equal(anchors, positives) or (anchors == negatives).any():
            raise LossInputError(
                "labels must be triplets of anchor, positive and negative one after another, "
                f"not {labels.tolist()}"
            )
        rows = at_least_single(embeddings)
        return nn.functional.triplet_margin_loss(
            rows[0::3], rows[1::3], rows[2::3], margin=self.margin, reduction="none"
        )
