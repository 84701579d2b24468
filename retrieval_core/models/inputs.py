"""Images brought to the one size that a network is built for."""

from torch import Tensor
from torch.nn import functional as F

from retrieval_core.config.model import Fit
from retrieval_core.errors import ModelInputError


def fit_images(images: Tensor, side: int, fit: Fit, *, enlarge: bool = False) -> Tensor:
    """Square images.

    Args:
        images: (B, 3, H, W) float32, normalised, so that 0 is the mean colour.
        side: of the square, pixels.
        fit: of images that are no such square: "pad" shrinks those that are larger and centres
            them, "stretch" changes their shape, "refuse" raises.
        enlarge: whether "pad" also enlarges those that are smaller.

    Returns:
        (B, 3, side, side) float32.

    Raises:
        ModelInputError: fit is "refuse" and the images are of another size.
    """
    height, width = images.shape[2:]
    if height == width == side:
        return images
    if fit == "refuse":
        raise ModelInputError(
            f"images of {width} x {height} pixels for a network of {side} x {side}: "
            "model.input.fit pad or stretch would take them"
        )
    if fit == "stretch":
        return _resize(images, side, side)
    factor = side / max(height, width)
    if enlarge or factor < 1:
        images = _resize(images, max(1, round(factor * height)), max(1, round(factor * width)))
    return _centre(images, side)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(
        images, (height, width), mode="bilinear", align_corners=False, antialias=True
    )


def _centre(images: Tensor, side: int) -> Tensor:
    down, across = (side - length for length in images.shape[2:])
    return F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))
