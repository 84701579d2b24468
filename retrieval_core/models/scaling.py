"""Images at several scales, and one descriptor out of several."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def rescale(images: Tensor, scale: float, *, recompute: bool) -> Tensor:
    """Images resized bilinearly.

    Args:
        images: (B, 3, H, W) float32.
        scale: factor of the size, > 0; the new size is rounded down.
        recompute: sample by the ratio of the rounded sizes (HOW) or by `scale` itself (FIRe,
            cirtorch); the two differ by a fraction of a pixel.

    Returns:
        (B, 3, floor(scale H), floor(scale W)) float32.
    """
    if scale == 1:
        return images
    return F.interpolate(
        images,
        scale_factor=scale,
        mode="bilinear",
        align_corners=False,
        recompute_scale_factor=recompute,
    )


def combine_scales(vectors: Sequence[Tensor], power: float) -> Tensor:
    """Generalised mean of descriptors over scales, L2-normalised.

    Negative parts keep their sign, v -> sign(v) |v|^power, so that any power gives numbers; on
    vectors without negative parts this is cirtorch's multi-scale combination.

    Args:
        vectors: per scale (B, D) float32.
        power: exponent of the mean, > 0.

    Returns:
        (B, D) float32, unit norm.
    """
    if power == 1:
        return F.normalize(torch.stack(tuple(vectors)).mean(0))
    # high powers leave float32: of double, and of what is at most 1, only the least are lost
    stacked = torch.stack(tuple(vectors)).double()
    largest = stacked.abs().amax((0, 2))[:, None].clamp(min=torch.finfo(torch.float32).tiny)
    mean = _signed_power(stacked / largest, power).mean(0)
    return F.normalize(_signed_power(mean, 1 / power)).to(vectors[0].dtype)


def _signed_power(x: Tensor, power: float) -> Tensor:
    return x.sign() * x.abs().pow(power)
