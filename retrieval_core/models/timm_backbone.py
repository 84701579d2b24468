"""Any network of timm that has feature maps."""

from typing import Any, Literal

import timm
import torch
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.errors import ConfigError

Output = Literal["map", "levels", "tokens"]


class TimmBackbone(nn.Module):
    """The last feature map of a timm network, channels first.

    Args:
        network: the timm network.
        output: what it returns: a map, a list of one map (a level of reduction), or tokens, which
            timm itself arranges to a map.
    """

    def __init__(self, network: nn.Module, output: Output) -> None:
        super().__init__()
        self.network = network
        self.output = output
        is_last = output != "tokens" and getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.order = (0, 3, 1, 2) if is_last else (0, 1, 2, 3)
        patches = (m.patch_size for m in network.modules() if isinstance(m, PatchEmbed))
        self.patch: tuple[int, int] = next(patches, (1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, C, H', W') feature maps."""
        network: Any = self.network
        maps: Tensor
        # whole patches only: a photograph's sides are rarely multiples of them
        (height, width), (down, across) = images.shape[2:], self.patch
        images = F.pad(images, (0, -width % across, 0, -height % down))
        if self.output == "tokens":
            (maps,) = network.forward_intermediates(
                images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
            )
        elif self.output == "levels":
            (maps,) = network(images)
        else:
            maps = network.forward_features(images)
        return maps.permute(self.order)


def timm_backbone(name: str, skip_layer: int) -> tuple[TimmBackbone, int]:
    """A randomly initialised timm network without its classifier.

    Args:
        name: of a timm network.
        skip_layer: last levels of reduction left out; 0 keeps everything up to the pooling.

    Returns:
        The network, (B, 3, H, W) -> (B, C, H', W'), and C.

    Raises:
        ConfigError: the network has no feature maps or no more than `skip_layer` levels.
    """
    try:
        if skip_layer:
            backbone = TimmBackbone(_levels(name, skip_layer), "levels")
        else:
            network = _create(name, num_classes=0)
            backbone = TimmBackbone(network, _output(name, network))
        with torch.no_grad():
            output = backbone.eval()(_example(name))
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"model.backbone: {name} gives no feature maps: {error}") from error
    return backbone, int(output.shape[1])


def _levels(name: str, skip_layer: int) -> Any:
    """The network up to one level of reduction; what lies behind is removed where timm can."""
    depth = len(_create(name, features_only=True).feature_info)
    if skip_layer >= depth:
        raise ConfigError(f"model.skip_layer: {name} has {depth} levels, not {skip_layer} to drop")
    wanted = {"features_only": True, "out_indices": (depth - 1 - skip_layer,)}
    network = _create(name, **wanted)
    if type(network).__name__ == "EfficientNetFeatures":
        # This class runs the blocks behind the wanted level, too; the getter cuts them off.
        network = _create(name, feature_cls="getter", **wanted)
    return network


def _output(name: str, network: Any) -> Output:
    with torch.no_grad():
        return "tokens" if network.eval().forward_features(_example(name)).ndim == 3 else "map"


def _create(name: str, **options: Any) -> Any:
    """The network, told to take images of any size where it would insist on one."""
    create: Any = timm.create_model
    if _pretrained_config(name).fixed_input_size:
        for flexible in ({"dynamic_img_size": True}, {"strict_img_size": False}):
            try:
                return create(name, **flexible, **options)
            except TypeError:
                continue
    return create(name, **options)


def _example(name: str) -> Tensor:
    config = _pretrained_config(name)
    return torch.zeros(1, *(config.input_size if config.fixed_input_size else (3, 64, 64)))


def _pretrained_config(name: str) -> Any:
    return timm.get_pretrained_cfg(name)
