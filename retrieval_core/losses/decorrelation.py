"""Decorrelation of attention maps."""

from torch import Tensor, nn


class AttentionDecorrelationLoss(nn.Module):
    """Makes an image's super-features look at different places.

    The mean cosine between two different attention maps of an image, summed over images.
    Weinzaepfel et al.: Learning Super-Features for Image Retrieval (arXiv 2201.13182),
    equation 6.

    Args:
        weight: factor of the loss, >= 0.

    Example:
        >>> import torch
        >>> attentions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [1.0, 2.0]]])
        >>> loss = AttentionDecorrelationLoss()(attentions)
        >>> round(float(loss), 3)  # 0 for the first image, 1 for the second
        1.0
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, attentions: Tensor) -> Tensor:
        """The loss summed over images; an image with a single map costs nothing.

        Args:
            attentions: (B, N, L) or (B, N, H, W) float, one map per template.

        Returns:
            () of the attentions' type.
        """
        maps = nn.functional.normalize(attentions.flatten(2), dim=2, eps=1e-6)
        count = maps.shape[1]
        # The sum of all cosines is the squared norm of the summed maps: no N x N matrix.
        everything = maps.sum(dim=1).square().sum(dim=1)
        diagonal = maps.square().sum(dim=(1, 2))
        return self.weight * (everything - diagonal).sum() / max(1, count * (count - 1))
