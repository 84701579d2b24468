"""Triplet loss over tuples."""

import torch
from torch import Tensor, nn

from retrieval_core.losses.pairs import at_least_single
from retrieval_core.losses.roles import NEGATIVE, POSITIVE, QUERY, tuple_numbers


class TupleTripletLoss(nn.Module):
    """Wants every negative of a tuple farther from the query than the positive, by a margin.

    The sum of max(0, d_p^2 - d_n^2 + margin) over the negatives, with d the Euclidean distance
    to the query. Arandjelovic et al.: NetVLAD (arXiv 1511.07247), equation 7, with the tuple's
    one positive.

    Args:
        margin: of the squared distances, >= 0.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> TupleTripletLoss(margin=0.5)(embeddings, torch.tensor([-1, 1, 0]))
        tensor(2.5000)
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """The loss summed over tuples; a tuple without negatives costs nothing.

        Args:
            embeddings: (n, D) float.
            roles: (n,) integers, -1 query, 1 positive, 0 negative, tuples one after another.

        Returns:
            () of the embeddings' type, float32 for half precision.

        Raises:
            LossInputError: the roles do not form tuples.
        """
        return self._costs(embeddings, roles).sum()

    @torch.no_grad()
    def active(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """Which negatives cost something: (m,) bool (arguments as `forward`)."""
        return self._costs(embeddings, roles) > 0

    def _costs(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        numbers, embeddings = tuple_numbers(roles, len(embeddings)), at_least_single(embeddings)
        queries, positives = embeddings[roles == QUERY], embeddings[roles == POSITIVE]
        negatives = roles == NEGATIVE
        near = (queries - positives).square().sum(dim=1)[numbers[negatives]]
        far = (queries[numbers[negatives]] - embeddings[negatives]).square().sum(dim=1)
        return (near - far + self.margin).clamp(min=0)
