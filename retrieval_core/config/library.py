"""What pytorch-metric-learning offers, by name and arguments."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from retrieval_core.config.loss import LibraryLossConfig

BASES = {"BaseMetricLossFunction", "GenericPairLoss", "BaseMiner"}
UNFIT = {
    "DynamicSoftMarginLoss": "holds on to the graph of the batch before",
    "EmbeddingsAlreadyPackagedAsTriplets": "is what training.loss.kind triplet_margin does",
    "InstanceLoss": "takes the numbers of classes for those of images",
    "ManifoldLoss": "learns without labels",
    "SmoothAPLoss": "takes the number of images per class for that of classes",
    "VICRegLoss": "learns without labels",
}
FILLED_IN = {"num_classes", "embedding_size", "descriptors_dim"}
"""Arguments that follow from the network and the data."""
INTERNAL = {
    "self",
    "collect_stats",
    "distance",
    "embedding_reg_weight",
    "embedding_regularizer",
    "mat_based_loss",
    "reducer",
    "weight_init_func",
    "weight_reg_weight",
    "weight_regularizer",
}
"""Arguments that are objects, or belong to one."""
# The library takes any other word for "all".
CHOICES = {"type_of_triplets": ("all", "hard", "semihard", "easy")}

Family = Literal["losses", "miners"]


def check_library_loss(config: LibraryLossConfig) -> None:
    """Refuse names, arguments and combinations that the library does not take.

    Raises:
        ValueError: says what would be accepted.
    """
    loss = library_class("losses", config.name)
    _check_arguments(loss, config.arguments)
    miner = None
    if config.miner is not None:
        miner = library_class("miners", config.miner)
        _check_arguments(miner, config.miner_arguments)
    elif config.miner_arguments:
        raise ValueError(f"library.miner_arguments {config.miner_arguments} need a library.miner")
    if config.memory:
        from pytorch_metric_learning.losses import CrossBatchMemory

        able = CrossBatchMemory.supported_losses()
        if config.name not in able:
            raise ValueError(f"library.memory: {config.name} has none; {_nearest('', able)}")
    _try(config, loss, miner)


def library_class(family: Family, name: str) -> Any:
    """The loss or miner class of this name.

    Raises:
        ValueError: the library has no such class, or one that does not do here.
    """
    from pytorch_metric_learning import losses, miners

    module, base = (
        (losses, losses.BaseMetricLossFunction)
        if family == "losses"
        else (miners, miners.BaseMiner)
    )
    known = {
        known_name: member
        for known_name, member in sorted(vars(module).items())
        if inspect.isclass(member)
        and issubclass(member, base)
        and known_name not in BASES | UNFIT.keys()
    }
    key = "library.name" if family == "losses" else "library.miner"
    if name in UNFIT:
        raise ValueError(f"{key}: {name} is left out, it {UNFIT[name]}; {_nearest('', known)}")
    if name not in known:
        raise ValueError(f"{key}: pytorch-metric-learning has no {name!r}; {_nearest(name, known)}")
    return known[name]


def size_arguments(loss: Any, dim: int, classes: int) -> dict[str, int]:
    """The arguments of a loss class that follow from the network and the data."""
    sizes = {"num_classes": classes, "embedding_size": dim, "descriptors_dim": dim}
    return {argument: sizes[argument] for argument in FILLED_IN & set(_parameters(loss))}


def _parameters(member: Any) -> dict[str, inspect.Parameter]:
    """Plain-valued parameters of a constructor and of those that it passes the rest on to."""
    found: dict[str, inspect.Parameter] = {}
    for owner in reversed(member.__mro__):
        if "__init__" in vars(owner) and owner is not object:
            found.update(inspect.signature(owner.__init__).parameters)
    variable = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    return {n: p for n, p in found.items() if n not in INTERNAL and p.kind not in variable}


def _check_arguments(member: Any, arguments: Mapping[str, Any]) -> None:
    accepted = {k: p.default for k, p in _parameters(member).items() if k not in FILLED_IN}
    for argument, value in arguments.items():
        name = f"library: {member.__name__}"
        if argument not in accepted:
            raise ValueError(f"{name} takes no {argument!r}; {_nearest(argument, accepted)}")
        default = accepted[argument]
        if isinstance(default, bool | int | float | str) and _kind(value) != _kind(default):
            kind = f"{_kind(default)} such as {default!r}"
            raise ValueError(f"{name}: {argument} is a {kind}, not {value!r}")
        if value not in CHOICES.get(argument, (value,)):
            raise ValueError(f"{name}: {argument} is one of {CHOICES[argument]}, not {value!r}")


def _kind(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if number else type(value).__name__


def _try(config: LibraryLossConfig, loss: Any, miner: Any) -> None:
    """Let the library object to values and combinations, on a small batch."""
    import torch

    embeddings, labels = torch.eye(8), torch.arange(8) // 2
    with torch.random.fork_rng(devices=[]):
        try:
            built = loss(**config.arguments, **size_arguments(loss, 8, 8))
            mined = miner(**config.miner_arguments)(embeddings, labels) if miner else None
            built(embeddings, labels, mined)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            given = {k: v for k, v in config.model_dump().items() if v}
            raise ValueError(f"library: pytorch-metric-learning refuses {given}: {error}") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(known) or 'nothing'}"
