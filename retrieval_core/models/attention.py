"""Attention and smoothing of feature maps (HOW, arXiv 2007.13172, section 3)."""

from torch import Tensor
from torch.nn import functional as F


def l2_attention(features: Tensor, dim: int = 1) -> Tensor:
    """Strength of every local feature: its L2 norm, eq. 5.

    Args:
        features: float32, for example (B, C, H, W).
        dim: the axis of channels.

    Returns:
        `features` without that axis, > 0.
    """
    return features.square().sum(dim).add(1e-10).sqrt()


def smooth(features: Tensor, window: int) -> Tensor:
    """Average over a window around each cell; cells outside the map do not count.

    Args:
        features: (B, C, H, W) float32.
        window: odd number of cells; 0 leaves the map as it is.

    Returns:
        (B, C, H, W) float32.
    """
    if window == 0:
        return features
    return F.avg_pool2d(features, window, stride=1, padding=window // 2, count_include_pad=False)
