"""What pytorch-metric-learning offers, by name and arguments."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from retrieval_core.config.loss import LibraryLossConfig

# Base classes, and losses that do not look at labels.
NO_LOSSES = {"BaseMetricLossFunction", "GenericPairLoss", "ManifoldLoss", "VICRegLoss"}
NO_MINERS = {"BaseMiner"}
FILLED_IN = {"num_classes", "embedding_size", "descriptors_dim"}
"""Arguments that follow from the network and the data."""
OBJECTS = {"distance", "reducer", "embedding_regularizer", "weight_regularizer", "weight_init_func"}
INTERNAL = {"self", "mat_based_loss", "collect_stats"}
# The library takes any other word for "all".
CHOICES = {"type_of_triplets": ("all", "hard", "semihard", "easy")}

Family = Literal["losses", "miners"]


def check_library_loss(config: LibraryLossConfig) -> None:
    """Refuse names, arguments and combinations that the library would not take.

    Raises:
        ValueError: says what would be accepted.
    """
    find_class("losses", config.name, config.arguments)
    if config.miner is not None:
        find_class("miners", config.miner, config.miner_arguments)
    elif config.miner_arguments:
        raise ValueError(f"library.miner_arguments {config.miner_arguments} need a library.miner")
    if config.memory:
        from pytorch_metric_learning.losses import CrossBatchMemory

        able = CrossBatchMemory.supported_losses()
        if config.name not in able:
            raise ValueError(f"library.memory: {config.name} has none; {_nearest('', able)}")


def find_class(family: Family, name: str, arguments: Mapping[str, Any]) -> Any:
    """The class of this name, after a trial that it takes the arguments.

    Raises:
        ValueError: no such class, or it does not take the arguments.
    """
    key = "library.name" if family == "losses" else "library.miner"
    known = _classes(family)
    if name not in known:
        raise ValueError(f"{key}: pytorch-metric-learning has no {name!r}; {_nearest(name, known)}")
    parameters = _parameters(known[name])
    accepted = {k: v for k, v in parameters.items() if k not in FILLED_IN}
    for argument, value in arguments.items():
        _check_argument(name, argument, value, accepted)
    sizes = dict.fromkeys(FILLED_IN & set(parameters), 8)
    try:
        known[name](**arguments, **sizes)
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{key}: {name} refuses {dict(arguments)}: {error}") from None
    return known[name]


def size_arguments(loss: Any, dim: int, classes: int) -> dict[str, int]:
    """The arguments of a loss class that follow from the network and the data."""
    sizes = {"num_classes": classes, "embedding_size": dim, "descriptors_dim": dim}
    return {argument: sizes[argument] for argument in FILLED_IN & set(_parameters(loss))}


def _classes(family: Family) -> dict[str, Any]:
    from pytorch_metric_learning import losses, miners

    module, base, refused = (
        (losses, losses.BaseMetricLossFunction, NO_LOSSES)
        if family == "losses"
        else (miners, miners.BaseMiner, NO_MINERS)
    )
    return {
        name: member
        for name, member in sorted(vars(module).items())
        if inspect.isclass(member) and issubclass(member, base) and name not in refused
    }


def _parameters(member: Any) -> dict[str, inspect.Parameter]:
    """Plain-valued parameters of a constructor and of those that it passes the rest on to."""
    found: dict[str, inspect.Parameter] = {}
    for owner in reversed(member.__mro__):
        if "__init__" in vars(owner) and owner is not object:
            found.update(inspect.signature(owner.__init__).parameters)
    variable = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    left_out = OBJECTS | INTERNAL
    return {n: p for n, p in found.items() if n not in left_out and p.kind not in variable}


def _check_argument(
    name: str, argument: str, value: Any, accepted: Mapping[str, inspect.Parameter]
) -> None:
    if argument not in accepted:
        raise ValueError(f"{name} takes no {argument!r}; {_nearest(argument, accepted)}")
    default = accepted[argument].default
    numbers = isinstance(default, int | float) and not isinstance(default, bool)
    expected: Any = int | float if numbers else type(default)
    checked = isinstance(default, bool | int | float | str)
    if checked and (not isinstance(value, expected) or (numbers and isinstance(value, bool))):
        kind = "a number" if numbers else f"a {expected.__name__}"
        raise ValueError(f"{name}: {argument} is {kind} such as {default!r}, not {value!r}")
    if value not in CHOICES.get(argument, (value,)):
        raise ValueError(f"{name}: {argument} is one of {CHOICES[argument]}, not {value!r}")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(known) or 'nothing'}"
