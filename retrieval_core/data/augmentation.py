"""Random changes of training images."""

import math

import numpy as np
import torch
from torchvision.transforms.v2 import functional as transform

from retrieval_core.config import AugmentationConfig

ATTEMPTS = 10
JITTERS = ("brightness", "contrast", "saturation", "hue")


class Augmentation:
    """Makes images look different every time.

    The arithmetic is torchvision's; every choice is drawn from the generator of the call, so that
    it does not matter which thread or process makes it.

    Args:
        config: what is done, and how strongly.
        flip: probability of mirroring left to right.
    """

    def __init__(self, config: AugmentationConfig, flip: float) -> None:
        self._config = config
        self._flip = flip

    def __call__(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """A view of an image.

        Args:
            pixels: (3, H, W) uint8; left as it is.
            rng: source of every choice.

        Returns:
            (3, side, side) uint8, or (3, H, W) where nothing is cropped.
        """
        if self._config.crop:
            pixels = self._crop(pixels, rng)
        if rng.random() < self._flip:
            pixels = transform.horizontal_flip(pixels)
        return self._jitter(pixels, rng)

    def _crop(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        box = draw_crop(pixels.shape[1], pixels.shape[2], self._config, rng)
        side = self._config.side
        cropped: torch.Tensor = transform.resized_crop(pixels, *box, [side, side], antialias=True)
        return cropped

    def _jitter(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        for name in rng.permutation(JITTERS):
            strength = getattr(self._config, name)
            if strength:
                amount = rng.uniform(-strength, strength) + (name != "hue")
                pixels = getattr(transform, f"adjust_{name}")(pixels, amount)
        return pixels


def draw_crop(
    height: int, width: int, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A random part of an image: Szegedy et al. (arXiv 1409.4842), section 6.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        config: its ranges of area and of width by height.
        rng: source of the choice.

    Returns:
        Top, left, height, width; after ten draws that do not fit into the image, the middle of
        it, as large as the range of width by height lets it be.
    """
    low, high = config.ratio
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(*config.scale)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    w = min(width, max(1, round(height * high)))
    h = min(height, max(1, round(width / low)))
    return (height - h) // 2, (width - w) // 2, h, w
