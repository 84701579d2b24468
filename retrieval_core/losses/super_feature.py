"""Contrastive loss on matched super-features."""

from typing import Literal

import torch
from torch import Tensor, nn

from retrieval_core.errors import LossInputError
from retrieval_core.losses.contrastive import ContrastiveLoss
from retrieval_core.losses.roles import tuple_numbers

RatioTest = Literal["paper", "released"]


class SuperFeatureLoss(nn.Module):
    """Contrastive loss between super-features that match from query to positive.

    Each match makes a tuple of the query's, the positive's and the negatives' super-features of
    the same template. Weinzaepfel et al.: Learning Super-Features for Image Retrieval
    (arXiv 2201.13182), equation 5.

    Args:
        margin: distance from which a negative costs nothing, >= 0.
        weight: factor of the loss, >= 0.
        ratio: largest accepted ratio of the matching test, in (0, 1].
        ratio_test: see `match_super_features`.

    Example:
        >>> import torch
        >>> query = torch.eye(3)
        >>> images = torch.stack([query, query, -query])
        >>> loss = SuperFeatureLoss(margin=1.1)(images, torch.tensor([-1, 1, 0]))
        >>> round(float(loss), 3)  # three perfect matches, all negatives beyond the margin
        0.0
    """

    def __init__(
        self,
        margin: float = 1.1,
        *,
        weight: float = 1.0,
        ratio: float = 0.9,
        ratio_test: RatioTest = "paper",
    ) -> None:
        super().__init__()
        self.contrastive = ContrastiveLoss(margin)
        self.weight = weight
        self.ratio = ratio
        self.ratio_test: RatioTest = ratio_test

    def forward(self, super_features: Tensor, roles: Tensor) -> Tensor:
        """The loss summed over tuples and matches; a tuple without matches costs nothing.

        Args:
            super_features: (n, N, d) float, of any norm, template by template.
            roles: (n,) integers, -1 query, 1 positive, 0 negative, tuples one after another.

        Returns:
            () of the super-features' type.

        Raises:
            LossInputError: the shapes do not fit or the roles do not form tuples.
        """
        embeddings, match_roles = self.matched_tuples(super_features, roles)
        if not len(embeddings):
            return super_features.sum() * 0  # keeps the graph, so that backward() works
        loss: Tensor = self.weight * self.contrastive(embeddings, match_roles)
        return loss

    def matched_tuples(self, super_features: Tensor, roles: Tensor) -> tuple[Tensor, Tensor]:
        """The tuples of single super-features that the contrastive loss is taken of.

        Args:
            super_features: (n, N, d), as `forward`.
            roles: (n,), as `forward`.

        Returns:
            (m, d) unit norm embeddings and their (m,) roles, one tuple per match.

        Raises:
            LossInputError: the shapes do not fit or the roles do not form tuples.
        """
        if super_features.dim() != 3:
            raise LossInputError(f"super-features are (n, N, d), not {super_features.shape}")
        numbers = tuple_numbers(roles, len(super_features))
        features = nn.functional.normalize(super_features, dim=2, eps=1e-6)
        members = [numbers == number for number in range(int(numbers[-1]) + 1)]
        embeddings, match_roles = zip(
            *(self._match(features[member], roles[member]) for member in members), strict=True
        )
        return torch.cat(embeddings), torch.cat(match_roles)

    def _match(self, features: Tensor, roles: Tensor) -> tuple[Tensor, Tensor]:
        matches = match_super_features(
            features[0], features[roles.argmax()], ratio=self.ratio, ratio_test=self.ratio_test
        )
        matched = features[:, matches].transpose(0, 1).flatten(0, 1)
        return matched, roles.repeat(len(matches))


@torch.no_grad()
def match_super_features(
    query: Tensor, positive: Tensor, *, ratio: float = 0.9, ratio_test: RatioTest = "paper"
) -> Tensor:
    """Templates whose super-features in two images are each other's clear nearest neighbour.

    A match is reciprocal, has the same template on both sides and passes the ratio test:
    "paper" divides the distance to the nearest by that to the second nearest super-feature of
    the query; "released" repeats the code published with the paper, which divides by the
    *number* of the second nearest (naver/fire#3) and so accepts almost everything.

    Args:
        query: (N, d) float, unit norm.
        positive: (N, d) float, unit norm.
        ratio: largest accepted ratio, in (0, 1].
        ratio_test: which of the two tests.

    Returns:
        (m,) int64, ascending.

    Raises:
        LossInputError: the two images have not the same number of super-features.
    """
    if query.shape != positive.shape:
        raise LossInputError(f"cannot match {query.shape} with {positive.shape} super-features")
    # Exact differences: the matrix-product form loses small distances, which decide here.
    distances = torch.cdist(query, positive, compute_mode="donot_use_mm_for_euclid_dist")
    templates = torch.arange(len(query), device=query.device)
    same = (distances.argmin(dim=0) == templates) & (distances.argmin(dim=1) == templates)
    nearest = distances.diagonal()
    rest = distances.clone().fill_diagonal_(torch.inf)
    second = rest.min(dim=0)
    divisor = second.values if ratio_test == "paper" else second.indices
    return torch.nonzero(same & (nearest / divisor <= ratio)).flatten()
