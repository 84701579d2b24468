"""What of a network does not learn."""

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.vision_transformer import Encoder

from retrieval_core.errors import ConfigError
from retrieval_core.models.base import RetrievalModel

# Named sequences such as convolution, batch-norm and activation are one layer.
_SEQUENCES = (nn.Sequential, nn.ModuleList, Encoder)


def freeze_first_layers(model: RetrievalModel, count: int) -> None:
    """Exclude the first layers of the backbone, and what they need, from learning.

    Layers are counted as `first_layers` lists them. No gradient is computed for them, which saves
    the most expensive part of the backward pass.

    Raises:
        ConfigError: the backbone has fewer layers.
    """
    layers = first_layers(model.features)
    if count > len(layers):
        raise ConfigError(
            f"training.frozen_layers: {model.config.backbone} has {len(layers)} layers, not {count}"
        )
    for layer in layers[:count]:
        layer.requires_grad_(False)
    if count:
        _freeze_inputs(_network(model.features))


def first_layers(features: nn.Module) -> list[nn.Module]:
    """A backbone's layers with weights in order; sequences of blocks count block by block."""
    layers = [part for child in _network(features).children() for part in _unrolled(child)]
    return [layer for layer in layers if next(layer.parameters(), None) is not None]


def start_learning(model: RetrievalModel, batch_norm: Literal["frozen", "learned"]) -> None:
    """Training mode; batch-norm uses the batch's statistics if it is "learned" and not frozen."""
    model.train()
    if batch_norm == "learned":
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.train(all(p.requires_grad for p in module.parameters()))


def _freeze_inputs(network: nn.Module) -> None:
    """Tokens and positions, which come before the first block."""
    for module in network.modules():
        if module is network or type(module) is Encoder:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)


def _network(features: nn.Module) -> nn.Module:
    """What a wrapper of timm networks holds, or the sequence of layers itself."""
    wrapped = getattr(features, "network", features)
    return wrapped if isinstance(wrapped, nn.Module) else features


def _unrolled(layer: nn.Module) -> list[nn.Module]:
    if type(layer) in _SEQUENCES:
        return [part for child in layer.children() for part in _unrolled(child)]
    return [layer]
