"""Contrastive loss over tuples."""

import torch
from torch import Tensor, nn

from retrieval_core.losses.pairs import at_least_single
from retrieval_core.losses.roles import NEGATIVE, POSITIVE, QUERY, tuple_numbers

# Keeps the distance of equal vectors, and so its gradient, off zero (as in the papers' code).
EPSILON = 1e-6


class ContrastiveLoss(nn.Module):
    """Pulls a query to its positive and pushes negatives out to a margin.

    With d the Euclidean distance to the query: the sum of d^2 / 2 over positives and of
    max(0, margin - d)^2 / 2 over negatives. Radenovic, Tolias, Chum: Fine-tuning CNN Image
    Retrieval with No Human Annotation (arXiv 1711.02512), equation 3.

    Args:
        margin: distance from which a negative costs nothing, >= 0.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> loss = ContrastiveLoss(margin=0.8)(embeddings, torch.tensor([-1, 1, 0]))
        >>> round(float(loss), 3)  # 2 / 2 for the positive, 0.8 ** 2 / 2 for the negative
        1.32
    """

    def __init__(self, margin: float = 0.8) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """The loss summed over tuples.

        Args:
            embeddings: (n, D) float.
            roles: (n,) integers, -1 query, 1 positive, 0 negative, tuples one after another.

        Returns:
            () of the embeddings' type, float32 for half precision.

        Raises:
            LossInputError: the roles do not form tuples.
        """
        distances = _distances_to_query(embeddings, roles)
        shortfall = (self.margin - distances).clamp(min=0)
        costs = torch.where(roles[roles != QUERY] == POSITIVE, distances, shortfall)
        return costs.square().sum() / 2

    @torch.no_grad()
    def active(self, embeddings: Tensor, roles: Tensor) -> Tensor:
        """Which negatives are inside the margin: (m,) bool (arguments as `forward`)."""
        distances = _distances_to_query(embeddings, roles)
        return distances[roles[roles != QUERY] == NEGATIVE] < self.margin


def _distances_to_query(embeddings: Tensor, roles: Tensor) -> Tensor:
    numbers, embeddings = tuple_numbers(roles, len(embeddings)), at_least_single(embeddings)
    others = roles != QUERY
    queries = embeddings[~others][numbers[others]]
    distances: Tensor = torch.linalg.vector_norm(queries - embeddings[others] + EPSILON, dim=1)
    return distances
