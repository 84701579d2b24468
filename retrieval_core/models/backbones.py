"""Convolutional networks that turn images into feature maps."""

import bisect
import difflib
from collections.abc import Iterable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.errors import ConfigError
from retrieval_core.models.timm_backbone import timm_backbone

# Cut behind these families' last ReLU, as HOW and cirtorch do (1), or kept whole (0).
_CUT = {"alexnet": 1, "vgg": 1, "squeezenet": 0, "mobilenet_v": 0, "efficientnet_": 0}


LARGEST_SMALLEST_SIDE = 64


def build_backbone(name: str, skip_layer: int) -> tuple[nn.Module, int]:
    """A randomly initialised network without its classifier.

    Torchvision's alexnet, vgg, resnet, densenet, squeezenet, mobilenet and efficientnet become one
    `nn.Sequential`, whose tensors carry the names of official checkpoints ("7.1.conv1.weight");
    any other name is looked up in timm.

    Args:
        name: of a torchvision or timm network.
        skip_layer: last blocks left out, >= 0; for timm, last levels of reduction.

    Returns:
        The network, (B, 3, H, W) -> (B, C, H', W'), and C.

    Raises:
        ConfigError: the name is unknown, the network has no feature maps, or fewer blocks.
    """
    layers = _torchvision_layers(name)
    if layers is None:
        if not timm.is_model(name):
            raise ConfigError(_unknown(name))
        return timm_backbone(name, skip_layer)
    if skip_layer >= len(layers):
        raise ConfigError(f"skip_layer {skip_layer} leaves nothing of {name}")
    features = nn.Sequential(*layers[: len(layers) - skip_layer])
    return features, _channels(features)


def smallest_side(features: nn.Module) -> int:
    """Pixels of the narrowest image that a backbone makes a feature map of, 1 to 64."""
    sides = range(1, LARGEST_SMALLEST_SIDE)
    return 1 + bisect.bisect_left(sides, True, key=lambda side: _has_cells(features, side))


def feature_map(features: nn.Module, images: Tensor, smallest: int = 1) -> Tensor:
    """Feature maps of images.

    Args:
        features: backbone.
        images: (B, 3, H, W) float32; narrower ones than `smallest` are enlarged, as a network
            without padding has no cell for them (a narrow crop at a small scale, say).
        smallest: `smallest_side` of the backbone, pixels.

    Returns:
        (B, C, H', W') float32.
    """
    shorter = min(images.shape[2:])
    if shorter < smallest:
        size = [round(side * smallest / shorter) for side in images.shape[2:]]
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    # channels last in memory: up to 2.7 times as fast on a CPU
    output: Tensor = features(images.contiguous(memory_format=torch.channels_last))
    return output


def _torchvision_layers(name: str) -> list[nn.Module] | None:
    """The blocks of a torchvision network; None where it is not one of the known families."""
    if name not in torchvision.models.list_models(module=torchvision.models):
        return None
    network: Any = None
    if name.startswith("resnet"):
        network = torchvision.models.get_model(name, weights=None)
        return list(network.children())[:-2]
    if name.startswith("densenet"):
        network = torchvision.models.get_model(name, weights=None)
        return [*network.features.children(), nn.ReLU(inplace=True)]
    for family, cut in _CUT.items():
        if name.startswith(family):
            network = torchvision.models.get_model(name, weights=None)
            layers = list(network.features.children())
            return layers[: len(layers) - cut]
    return None


def _channels(features: nn.Module) -> int:
    with torch.no_grad():
        return int(features.eval()(torch.zeros(1, 3, 64, 64)).shape[1])


@torch.inference_mode()
def _has_cells(features: nn.Module, side: int) -> bool:
    try:
        return bool(features(torch.zeros(1, 3, side, side)).numel())
    except (AssertionError, RuntimeError):
        return False


def _unknown(name: str) -> str:
    known: Iterable[str] = {*torchvision.models.list_models(), *timm.list_models()}
    close = difflib.get_close_matches(name, sorted(known), n=5)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return f"model.backbone: {name!r} is neither a torchvision nor a timm network{hint}"
