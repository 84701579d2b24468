"""Networks by name that turn images into feature maps."""

import bisect
import difflib
from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Permute

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models.resolution import keep_resolution
from retrieval_core.models.sized import SizedBackbone
from retrieval_core.models.timm_backbone import timm_backbone
from retrieval_core.models.torchvision_vit import TorchvisionVit

# Torchvision's families: the blocks of a network up to its pooling. Some are cut behind the last
# ReLU, as HOW and cirtorch do.
_BLOCKS: dict[str, Callable[[Any], list[nn.Module]]] = {
    "alexnet": lambda network: [*network.features][:-1],
    "vgg": lambda network: [*network.features][:-1],
    "resnet": lambda network: [*network.children()][:-2],
    "densenet": lambda network: [*network.features, nn.ReLU(inplace=True)],
    "squeezenet": lambda network: [*network.features],
    "mobilenet_v": lambda network: [*network.features],
    "efficientnet_": lambda network: [*network.features],
    "regnet": lambda network: [network.stem, *network.trunk_output],
    "mnasnet": lambda network: [*network.layers],
    "shufflenet": lambda network: [*network.children()][:-1],
    "swin": lambda network: [*network.features, network.norm, network.permute],
}

LARGEST_SMALLEST_SIDE = 128
_EXAMPLE_SIDE = 128
_VIT = "vit_"


def build_backbone(config: ModelConfig) -> tuple[nn.Module, int]:
    """A randomly initialised network without its classifier.

    Torchvision's convolutional networks and Swin transformers become one `nn.Sequential`, whose
    tensors carry the names of official checkpoints ("7.1.conv1.weight"). A name that torchvision
    does not know, or that is of none of its families above, is looked up in timm.

    Args:
        config: its `backbone`, `skip_layer` (last blocks left out; for timm, last levels of
            reduction), `keep_resolution`, `tokens` and `input.size`.

    Returns:
        The network, (B, 3, H, W) -> (B, C, H', W'), and C.

    Raises:
        ConfigError: the name is unknown, or the network has no feature maps, fewer blocks, no
            class token, no down-sampling that can be left out, or takes another size alone.
    """
    features = _backbone(config)
    side = fixed_side(features) or _EXAMPLE_SIDE
    example = torch.zeros(1, 3, side, side)
    if config.keep_resolution:
        keep_resolution(features, example, config.backbone)
    with torch.no_grad():
        return features, int(features.eval()(example).shape[1])


def is_from_torchvision(name: str) -> bool:
    """Whether a backbone of that name is torchvision's, where timm has one of that name, too."""
    return name in torchvision.models.list_models(module=torchvision.models) and (
        name.startswith((*_BLOCKS, _VIT))
    )


def fixed_side(features: nn.Module) -> int | None:
    """Pixels of a side of the only images that a backbone takes; None if it takes any."""
    return features.side if isinstance(features, SizedBackbone) else None


def smallest_side(features: nn.Module) -> int:
    """Pixels of the narrowest image that a backbone makes a feature map of, 1 to 128.

    For a backbone of one size that is none: its images have that size already.
    """
    if fixed_side(features):
        return 1
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


def _backbone(config: ModelConfig) -> nn.Module:
    name, skipped = config.backbone, config.skip_layer
    if not is_from_torchvision(name):
        if not timm.is_model(name):
            raise ConfigError(_unknown(name))
        return timm_backbone(config)
    if name.startswith(_VIT):
        return TorchvisionVit(config)
    if config.tokens == "class":
        raise ConfigError(f"model.tokens: {name} has no class token")
    blocks = next(blocks for family, blocks in _BLOCKS.items() if name.startswith(family))
    layers = blocks(torchvision.models.get_model(name, weights=None))
    if skipped >= len(layers):
        raise ConfigError(f"model.skip_layer: {skipped} leaves nothing of {name}")
    if skipped and isinstance(layers[-1], Permute):
        raise ConfigError(f"model.skip_layer: {name} is taken as a whole; timm's swin has levels")
    return nn.Sequential(*layers[: len(layers) - skipped])


@torch.inference_mode()
def _has_cells(features: nn.Module, side: int) -> bool:
    try:
        return bool(features(torch.zeros(1, 3, side, side)).numel())
    except (AssertionError, RuntimeError):
        return False


def _unknown(name: str) -> str:
    known = sorted({*torchvision.models.list_models(), *timm.list_models()} - {name})
    close = difflib.get_close_matches(name, known, n=5)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return (
        f"model.backbone: {name!r} is neither a torchvision network of a family known here nor a "
        f"timm network{hint}"
    )
