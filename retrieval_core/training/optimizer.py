"""Adam with exponential decay, and GeM's exponent on a pace of its own."""

from torch import nn
from torch.optim import Adam

from retrieval_core.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Adam:
    """Adam over the trainable parameters.

    The exponents of generalised-mean pooling (parameters called `p`) learn `pool_factor` times
    as fast and do not decay, as in the recipes of arXiv 1711.02512.

    Args:
        model: network; parameters that need no gradient are left out.
        config: learning rate, weight decay, factors.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    exponents = [p for name, p in named if _is_exponent(name)]
    others = [p for name, p in named if not _is_exponent(name)]
    groups = [
        {"params": others, "factor": 1.0, "weight_decay": config.weight_decay},
        {"params": exponents, "factor": config.pool_factor, "weight_decay": 0.0},
    ]
    return Adam([group for group in groups if group["params"]], lr=config.learning_rate)


def set_learning_rate(optimizer: Adam, config: OptimizerConfig, epoch: int) -> float:
    """Learning rate of an epoch, 1 <= epoch: the first one's, decayed epoch - 1 times."""
    rate = config.learning_rate * config.decay ** (epoch - 1)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


def _is_exponent(name: str) -> bool:
    return name.rpartition(".")[2] == "p"
