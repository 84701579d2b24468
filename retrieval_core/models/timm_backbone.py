"""Any network of timm that has feature maps."""

import sys
from typing import Any, Literal

import timm
import torch
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models.sized import SizedBackbone

Output = Literal["map", "levels", "patches", "class"]


class TimmBackbone(SizedBackbone):
    """The last feature map of a timm network, channels first.

    Args:
        network: the timm network.
        output: what of it: its map, the one map of a list (a level of reduction), its patches as
            a map, or its class token as a map of one cell.
        side: pixels of a side of the only images that the network takes; None if it takes any.
    """

    def __init__(self, network: nn.Module, output: Output, side: int | None) -> None:
        super().__init__()
        self.network = network
        self.output = output
        self.side = side
        is_map = output in ("map", "levels")
        is_last = is_map and getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.order = (0, 3, 1, 2) if is_last else (0, 1, 2, 3)
        patches = (m.patch_size for m in network.modules() if isinstance(m, PatchEmbed))
        self.patch: tuple[int, int] = (1, 1) if side else next(patches, (1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, C, H', W') feature maps."""
        network: Any = self.network
        maps: Tensor
        # whole patches only: a photograph's sides are rarely multiples of them
        (height, width), (down, across) = images.shape[2:], self.patch
        images = F.pad(images, (0, -width % across, 0, -height % down))
        if self.output == "patches":
            (maps,) = network.forward_intermediates(
                images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
            )
        elif self.output == "levels":
            (maps,) = network(images)
        else:
            maps = network.forward_features(images)
        if self.output == "class":
            return maps[:, 0, :, None, None]
        return maps.permute(self.order)

    def own_form(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """As timm converts them when it loads them itself; see the base for arguments."""
        module = sys.modules[type(self.network).__module__]
        convert = getattr(module, "checkpoint_filter_fn", None)
        if convert is None:
            return tensors
        try:
            return dict(convert(dict(tensors), self.network))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return tensors  # they are of another network, which the caller will tell


def timm_backbone(config: ModelConfig) -> TimmBackbone:
    """A randomly initialised timm network without its classifier.

    Args:
        config: its `backbone`, `skip_layer` (last levels of reduction left out; 0 keeps everything
            up to the pooling), `tokens` and `input.size`.

    Raises:
        ConfigError: the network has no feature maps, no more than `skip_layer` levels, or no class
            token, or it cannot be built for that size, or its patches would not cover that.
    """
    name, skipped, size = config.backbone, config.skip_layer, config.input.size
    is_class = config.tokens == "class"
    if is_class and skipped:
        raise ConfigError(f"model.tokens: class comes from the last block, skip_layer is {skipped}")
    try:
        if skipped:
            network, side = _levels(name, skipped, size)
            backbone = TimmBackbone(network, "levels", side)
        else:
            network, side = _create(name, size, num_classes=0)
            output = _class_token(name, network) if is_class else _output(name, network, side)
            backbone = TimmBackbone(network, output, side)
        with torch.no_grad():
            backbone.eval()(_example(name, side))
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        at = f" of images of {size} pixels" if size else ""
        raise ConfigError(f"model.backbone: {name} gives no feature maps{at}: {error}") from error
    return backbone


def _levels(name: str, skip_layer: int, size: int | None) -> tuple[Any, int | None]:
    """The network up to one level of reduction; what lies behind is removed where timm can."""
    depth = len(_create(name, size, features_only=True)[0].feature_info)
    if skip_layer >= depth:
        raise ConfigError(f"model.skip_layer: {name} has {depth} levels, not {skip_layer} to drop")
    wanted = {"features_only": True, "out_indices": (depth - 1 - skip_layer,)}
    network, side = _create(name, size, **wanted)
    if type(network).__name__ == "EfficientNetFeatures":
        # This class runs the blocks behind the wanted level, too; the getter cuts them off.
        return _create(name, size, feature_cls="getter", **wanted)
    return network, side


def _output(name: str, network: Any, side: int | None) -> Output:
    with torch.no_grad():
        found = network.eval().forward_features(_example(name, side))
    return "patches" if found.ndim == 3 else "map"


def _class_token(name: str, network: Any) -> Output:
    if getattr(network, "cls_token", None) is None:
        raise ConfigError(f"model.tokens: {name} has no class token")
    return "class"


def _create(name: str, size: int | None, **options: Any) -> tuple[Any, int | None]:
    """The network, and the side of the only images that it takes.

    One that would insist on a size is told to take any, or to take the wanted one.
    """
    create: Any = timm.create_model
    pretrained = _pretrained_config(name)
    if not pretrained.fixed_input_size:
        return create(name, **options), None
    flexible = ({"dynamic_img_size": True}, {"strict_img_size": False})
    choices: tuple[dict[str, Any], ...] = ({"img_size": size},) if size else flexible
    for choice in choices:
        try:
            network = create(name, **choice, **options)
        except TypeError:
            continue
        if size:
            _check_patches(name, network, size)
        return network, size
    side = int(pretrained.input_size[1])
    if size not in (None, side):
        raise ConfigError(f"model.input.size: {name} takes images of {side} pixels, not {size}")
    return create(name, **options), side


def _check_patches(name: str, network: nn.Module, size: int) -> None:
    """Refuse a side that is no whole number of patches: what is left over would not be seen."""
    for layer in network.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and layer.in_channels == 3
            and layer.kernel_size == layer.stride
            and any(size % side for side in layer.stride)
        ):
            down, across = layer.stride
            raise ConfigError(
                f"model.input.size: {size} for {name}: no multiple of its patches' "
                f"{down} x {across} pixels"
            )


def _example(name: str, side: int | None) -> Tensor:
    pretrained = _pretrained_config(name)
    if side:
        return torch.zeros(1, 3, side, side)
    # inception networks take nothing below 75 pixels
    shape = pretrained.input_size if pretrained.fixed_input_size else (3, 128, 128)
    return torch.zeros(1, *shape)


def _pretrained_config(name: str) -> Any:
    return timm.get_pretrained_cfg(name)
