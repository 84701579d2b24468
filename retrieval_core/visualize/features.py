"""Local features at their places in a photograph, and the picture of the strongest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from retrieval_core.errors import PictureError
from retrieval_core.models import RetrievalModel
from retrieval_core.models.backbones import feature_map
from retrieval_core.models.fire import FireNetwork
from retrieval_core.models.how import HowNetwork
from retrieval_core.visualize.photograph import Photograph
from retrieval_core.visualize.super_features import super_features
from retrieval_core.visualize.tiles import captioned, dimmed, hues, scaled_to

Float32 = npt.NDArray[np.float32]

STRENGTH = "plasma"
FINER = 2
"""Pixels are drawn this many times smaller than shown: smooth lines."""
PROBE = 256
"""Pixels, side of the image that a backbone's reduction is measured on."""


@dataclass(frozen=True, eq=False)
class LocatedFeatures:
    """Local features of one photograph, strongest first.

    Attributes:
        descriptors: (n, d) float32.
        places: (n, 2) float32, x and y in pixels of the photograph.
        sides: (n,) float32, side of a cell of the feature map, pixels of the photograph.
        strengths: (n,) float32, >= 0.
        name: what they are called.
    """

    descriptors: Float32
    places: Float32
    sides: Float32
    strengths: Float32
    name: str = "features"

    def place(self, row: int) -> tuple[float, float]:
        """x and y of one feature."""
        x, y = self.places[row]
        return float(x), float(y)


def located_features(
    model: RetrievalModel, photograph: Photograph, *, scales: Sequence[float], count: int
) -> LocatedFeatures:
    """HOW's strongest local features over all scales, or FIRe's super-features at scale 1.

    Args:
        model: a HOW or FIRe network.
        photograph: to look at.
        scales: factors of the image size, of HOW.
        count: most features, >= 1.

    Raises:
        PictureError: the network has no local features.
    """
    if isinstance(model, FireNetwork):
        return _at_peaks(model, photograph, count)
    if not isinstance(model, HowNetwork):
        raise PictureError(f"a {model.config.method} network has no local features; how has")
    found = model.extract_local(photograph.pixels, scales=scales, max_features=count)
    sides = _reduction(model) / found.scales.cpu().numpy()
    centres = (found.locations.cpu().numpy() + 0.5) * sides[:, None]
    corner = np.array(photograph.image.size, np.float32) - 1
    return LocatedFeatures(
        found.descriptors.cpu().numpy(),
        centres.clip(0, corner).astype(np.float32),
        sides.astype(np.float32),
        found.strengths.cpu().numpy(),
    )


def features_picture(
    image: Image.Image, found: LocatedFeatures, *, height: int = 480
) -> Image.Image:
    """Circles over the photograph: half as wide as a cell of their scale, yellow where strong.

    Args:
        image: the photograph.
        found: features to draw, at least one.
        height: of the shown photograph, pixels.

    Returns:
        RGBA on a transparent ground.
    """
    shown = scaled_to(image, FINER * height)
    canvas = Image.fromarray(dimmed(shown, 0.72, 0.6))
    pen = ImageDraw.Draw(canvas)
    factor = shown.height / image.height
    colours = hues(0.35 + 0.63 * _spread(found.strengths), STRENGTH)
    width = max(2, FINER * height // 160)
    for i in reversed(range(len(colours))):  # the strongest lie on top
        x, y = factor * found.places[i]
        radius = max(factor * float(found.sides[i]) / 4, 2.0 * width)
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, outline=(20, 20, 30), width=2 * width)
        inner = (box[0] + width / 2, box[1] + width / 2, box[2] - width / 2, box[3] - width / 2)
        pen.ellipse(inner, outline=colours[i], width=width)
    small = canvas.resize((shown.width // FINER, height), Image.Resampling.LANCZOS)
    return captioned(small, f"{len(colours)} strongest {found.name}")


def _spread(strengths: Float32) -> Float32:
    """From 0 for the weakest to 1 for the strongest; 1 where all are alike."""
    low, high = float(strengths.min()), float(strengths.max())
    if high <= low:
        return np.ones_like(strengths)
    return (strengths - low) / (high - low)


@torch.inference_mode()
def _reduction(model: RetrievalModel) -> float:
    """Pixels of an image per cell of its feature map."""
    blank = torch.zeros(1, 3, PROBE, PROBE, device=model.device)
    return PROBE / feature_map(model.features, blank, model.smallest_side).shape[3]


def _at_peaks(model: FireNetwork, photograph: Photograph, count: int) -> LocatedFeatures:
    found = super_features(model, photograph)
    width, height = photograph.image.size
    kept = found.strongest(count)
    side = width / found.attention.shape[2]
    return LocatedFeatures(
        found.descriptors.numpy()[kept],
        found.places(width, height)[kept],
        np.full(len(kept), side, np.float32),
        found.strengths[kept],
        "super-features",
    )
