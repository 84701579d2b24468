"""Adam, its groups of parameters, and the pace of its learning rate."""

import math
from collections.abc import Iterator

from torch import nn
from torch.optim import Adam, AdamW

from retrieval_core.config import OptimizerConfig
from retrieval_core.errors import ConfigError


def build_optimizer(model: nn.Module, loss: nn.Module, config: OptimizerConfig) -> Adam:
    """Adam or AdamW over the trainable parameters of a network and of its loss.

    The exponents of generalised-mean pooling (parameters called `p`) learn `pool_factor` times
    as fast as the backbone and do not decay, as in the recipes of arXiv 1711.02512; the other
    layers after the backbone learn `head_factor`, the loss's own `loss_factor` times as fast.

    Args:
        model: network; parameters that need no gradient are left out.
        loss: whose proxies or classifier, if any, learn as well.
        config: learning rate, weight decay, factors.

    Raises:
        ConfigError: nothing is left to learn.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, factor, decay in _paces(model, loss, config):
        groups.setdefault((factor, decay), []).append(parameter)
    if not groups:
        raise ConfigError("training.frozen_layers: nothing of the network is left to learn")
    kind = AdamW if config.kind == "adamw" else Adam
    return kind(
        [{"params": p, "factor": f, "weight_decay": d} for (f, d), p in groups.items()],
        lr=config.learning_rate,
    )


def learning_rate(
    config: OptimizerConfig, epochs: int, *, epoch: int, step: int = 1, steps: int = 1
) -> float:
    """The learning rate of a step.

    Args:
        config: schedule and warm-up.
        epochs: of the whole training, at the end of which a cosine arrives at 0.
        epoch: 1 <= epoch.
        step: of the epoch, 1 <= step <= steps.
        steps: number of steps of the epoch.
    """
    done, after = epoch - 1 + (step - 1) / steps, epoch - 1 + step / steps
    if config.schedule == "cosine":
        share = (1 + math.cos(math.pi * done / epochs)) / 2
    else:
        share = config.decay ** (epoch - 1)
    return config.learning_rate * share * (min(1.0, after / config.warmup) if config.warmup else 1)


def set_learning_rate(optimizer: Adam, rate: float) -> None:
    """Give every group its multiple of a rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def _paces(
    model: nn.Module, loss: nn.Module, config: OptimizerConfig
) -> Iterator[tuple[nn.Parameter, float, float]]:
    """Trainable parameters with their factor of the learning rate and their weight decay."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.rpartition(".")[2] == "p":
            yield parameter, config.pool_factor, 0.0
        elif name.startswith("features."):
            yield parameter, 1.0, config.weight_decay
        else:
            yield parameter, config.head_factor, config.weight_decay
    for parameter in loss.parameters():
        yield parameter, config.loss_factor, config.weight_decay
