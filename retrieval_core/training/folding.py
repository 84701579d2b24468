"""Frozen batch-norm computed as a part of the convolution before it.

With its statistics frozen, batch-norm is a factor and a shift per channel: w * x becomes
(s w) * x + t. The network and its gradients stay the same, with respect to the batch-norm's own
weights, too, but nothing of the size of a feature map is computed or kept for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from retrieval_core.models.base import RetrievalModel

PROBE = 64
TOLERANCE = 1e-3


@contextmanager
def folded_batch_norm(model: RetrievalModel) -> Iterator[int]:
    """Fold the backbone's frozen batch-norms as long as the context lasts.

    A batch-norm that does not directly follow a plain convolution stays as it is; all do where
    the folded backbone would not compute the same.

    Args:
        model: in the mode that it learns in.

    Yields:
        Number of batch-norms that are folded.
    """
    side = model.input_size or PROBE
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = images.to(next(model.parameters()))
    pairs, before = _followed(model, images)
    try:
        for convolution, norm in pairs:
            convolution.forward = partial(_folded, convolution, norm)  # type: ignore[method-assign]
            norm.forward = partial(_behind, norm)  # type: ignore[method-assign]
        if not _same(before, model, images):
            _unfold(pairs)
            pairs = []
        yield len(pairs)
    finally:
        _unfold(pairs)


Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@torch.no_grad()
def _followed(model: RetrievalModel, images: Tensor) -> tuple[list[Pair], Tensor]:
    """Convolutions whose output goes straight into a frozen batch-norm; the feature maps."""
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[Pair] = []

    def remember(module: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[id(output)] = module, output  # held, or its identity would be used again

    def recognise(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in outputs and not module.training:
            pairs.append((outputs[id(inputs[0])][0], module))

    hooks = []
    for module in model.features.modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(remember))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
            hooks.append(module.register_forward_pre_hook(recognise))
    try:
        return pairs, model.feature_maps(images)
    finally:
        for hook in hooks:
            hook.remove()


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise TypeError("a frozen batch-norm has statistics")
    factor = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - mean * factor
    if convolution.bias is not None:
        shift = shift + convolution.bias * factor
    weight = convolution.weight * factor[:, None, None, None]
    maps: Tensor = convolution._conv_forward(images, weight, shift)
    return maps


def _behind(norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    """What is left of a batch-norm: nothing, or the activation that timm makes a part of it."""
    if isinstance(norm, BatchNormAct2d):
        activated: Tensor = norm.act(norm.drop(maps))
        return activated
    return maps


@torch.no_grad()
def _same(before: Tensor, model: RetrievalModel, images: Tensor) -> bool:
    after = model.feature_maps(images)
    return bool((after - before).norm() <= TOLERANCE * before.norm())


def _unfold(pairs: list[Pair]) -> None:
    for module in (part for pair in pairs for part in pair):
        module.__dict__.pop("forward", None)
