"""What a network looks at: attention maps over the photograph."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from retrieval_core.errors import PictureError
from retrieval_core.models import RetrievalModel
from retrieval_core.models.fire import FireNetwork
from retrieval_core.models.how import HowNetwork
from retrieval_core.models.scaling import rescale
from retrieval_core.visualize.photograph import Photograph
from retrieval_core.visualize.super_features import super_features
from retrieval_core.visualize.tiles import bar_height, captioned, dimmed, scaled_to, sheet

HEAT = "inferno"
COVER = 0.92
"""Opacity of the hottest place."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention of one super-feature, or of all local features at one scale.

    Attributes:
        weights: (h, w) float32, >= 0.
        caption: a few words.
    """

    weights: npt.NDArray[np.float32]
    caption: str


def attention_maps(
    model: RetrievalModel, photograph: Photograph, *, count: int = 11, scales: Sequence[float]
) -> list[AttentionMap]:
    """FIRe's strongest super-features at scale 1, or HOW's strengths at each scale.

    Args:
        model: a FIRe or HOW network.
        photograph: to look at.
        count: most maps, >= 1.
        scales: factors of the image size, of HOW.

    Raises:
        PictureError: the network has no attention.
    """
    if isinstance(model, FireNetwork):
        found = super_features(model, photograph)
        names = {i: f"template {i} · {found.strengths[i]:.1f}" for i in found.strongest(count)}
        return [AttentionMap(found.attention[i], name) for i, name in names.items()]
    if isinstance(model, HowNetwork):
        return [_strength_map(model, photograph, scale) for scale in scales[:count]]
    raise PictureError(
        f"a {model.config.method} network has no attention: it pools every place alike; "
        "fire and how have"
    )


def attention_grid(
    image: Image.Image, maps: Sequence[AttentionMap], *, columns: int = 4, height: int = 200
) -> Image.Image:
    """The photograph, then each map as heat over it.

    Args:
        image: the photograph.
        maps: in reading order.
        columns: tiles of a row, >= 1.
        height: of a tile's photograph, pixels.

    Returns:
        RGBA on a transparent ground.
    """
    shown = scaled_to(image, height)
    tiles = [captioned(shown, "photograph")]
    tiles += [captioned(heat_over(shown, m.weights), m.caption) for m in maps]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return sheet(rows, gap=bar_height(height) // 3)


def heat_over(image: Image.Image, weights: npt.NDArray[np.float32]) -> Image.Image:
    """A dimmed photograph that glows where the weights are high.

    Args:
        image: RGB.
        weights: (h, w) float32; from their minimum, which is dark, to their maximum.
    """
    spread = weights - weights.min()
    share = spread / max(float(spread.max()), 1e-12)
    small = Image.fromarray(share.astype(np.float32))
    smooth = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)).clip(0, 1)
    heat = matplotlib.colormaps[HEAT](0.25 + 0.7 * smooth)[..., :3] * 255
    cover = COVER * smooth[..., None] ** 1.2
    # what is hot keeps its own light, so that one sees what is looked at
    lit = 0.7 * heat + 0.3 * np.asarray(image.convert("RGB"), np.float32)
    mixed = (1 - cover) * dimmed(image, 0.5, 0.25) + cover * lit
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


@torch.inference_mode()
def _strength_map(model: HowNetwork, photograph: Photograph, scale: float) -> AttentionMap:
    resized = rescale(photograph.pixels, scale, recompute=model.recompute_scale)
    found = model.weighted_features(resized)
    strengths = found.strengths[0].reshape(-1, found.width).cpu().numpy()
    return AttentionMap(strengths, f"strength · scale {scale:g}")
