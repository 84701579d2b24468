"""Backbones that down-sample once less."""

from typing import Any

import torch
from torch import Tensor, nn

from retrieval_core.errors import ConfigError

_STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@torch.no_grad()
def keep_resolution(features: nn.Module, example: Tensor, name: str) -> None:
    """Leave out the last down-sampling of a backbone, as arXiv 1903.10663 does, section 3.1.

    Every convolution and pooling that halves the map to its last size steps by one cell instead;
    a pooling over 2 x 2 cells is left out. Weights stay as they are. Where such a layer does not
    pad its map, the result is a cell or two short of twice the cells a side.

    Args:
        features: backbone, (B, 3, H, W) -> (B, C, H', W'), changed in place.
        example: (1, 3, H, W) images that it takes, large enough that its maps have some cells.
        name: of the backbone, for the message.

    Raises:
        ConfigError: the last reduction is no convolution or pooling with a stride of 2, as that
            of transformers.
    """
    before, halving = _last_halving(features.eval(), example)
    for layer in halving:
        _step_by_one(layer)
    if not halving or _cells(features, example) <= before:
        raise ConfigError(
            f"model.keep_resolution: {name} has no convolution or pooling of stride 2 that could "
            "be left out"
        )


def _cells(features: nn.Module, example: Tensor) -> int:
    """Of a side of the map; 0 where branches no longer fit."""
    try:
        return int(features(example).shape[2])
    except RuntimeError:
        return 0


def _last_halving(features: nn.Module, example: Tensor) -> tuple[int, list[Any]]:
    """Cells of a side of the last map, and the layers that halve a map to that."""
    seen: list[tuple[Any, int, int]] = []

    def note(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((layer, inputs[0].shape[2], output.shape[2]))

    layers = (m for m in features.modules() if isinstance(m, _STRIDED))
    hooks = [layer.register_forward_hook(note) for layer in layers]
    last = int(features(example).shape[2])
    for hook in hooks:
        hook.remove()
    found = [
        layer
        for layer, before, after in seen
        if before > after == last and _both(layer.stride) == 2
    ]
    return last, found


def _step_by_one(layer: Any) -> None:
    layer.stride = (1, 1)
    if not isinstance(layer, nn.Conv2d) and _both(layer.kernel_size) == 2:
        layer.kernel_size = (1, 1)


def _both(size: int | tuple[int, int]) -> int:
    """Of the two directions, which are alike here."""
    return size[0] if isinstance(size, tuple) else size
