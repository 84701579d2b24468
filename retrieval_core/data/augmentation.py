"""Random changes of training images."""

import math

import numpy as np
import torch
from torchvision.transforms.v2 import functional as transform

from retrieval_core.config import AugmentationConfig

ATTEMPTS = 10
JITTERS = ("brightness", "contrast", "saturation", "hue")


class Augmentation:
    """Turns images into squares of one size that look different every time.

    The arithmetic is torchvision's; every choice is drawn from the generator of the call, so that
    it does not matter which thread or process makes it.

    Args:
        config: what is done, and how strongly.
        flip: probability of mirroring left to right.
        mean: colour around images that do not fill the square, per channel in [0, 1].
    """

    def __init__(
        self, config: AugmentationConfig, flip: float, mean: tuple[float, float, float]
    ) -> None:
        self._config = config
        self._flip = flip
        self._colour = [round(255 * value) for value in mean]

    def __call__(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """A view of an image.

        Args:
            pixels: (3, H, W) uint8; left as it is.
            rng: source of every choice.

        Returns:
            (3, side, side) uint8.
        """
        fits = {"crop": self._crop, "pad": self._pad, "stretch": self._stretch}
        square = fits[self._config.fit](pixels, rng)
        if rng.random() < self._flip:
            square = transform.horizontal_flip(square)
        return self._jitter(square, rng)

    def _crop(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        box = draw_crop(pixels.shape[1], pixels.shape[2], self._config, rng)
        side = self._config.side
        cropped: torch.Tensor = transform.resized_crop(pixels, *box, [side, side], antialias=True)
        return cropped

    def _pad(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        side, (height, width) = self._config.side, pixels.shape[1:]
        factor = side / max(height, width)
        height, width = max(1, round(factor * height)), max(1, round(factor * width))
        pixels = transform.resize(pixels, [height, width], antialias=True)
        square = torch.tensor(self._colour, dtype=torch.uint8)[:, None, None].repeat(1, side, side)
        top, left = (side - height) // 2, (side - width) // 2
        square[:, top : top + height, left : left + width] = pixels
        return square

    def _stretch(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        side = self._config.side
        stretched: torch.Tensor = transform.resize(pixels, [side, side], antialias=True)
        return stretched

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
