"""Whether a configuration and a checkpoint speak of the same network."""

import math
from collections.abc import Sequence
from typing import Any

from retrieval_core.config import ModelConfig
from retrieval_core.errors import CheckpointError

_POOLED = ("pooling", "regional", "local_whitening", "whitening")
_TOLERANCE = 1e-3


def require_same(config: ModelConfig, described: ModelConfig, source: str) -> None:
    """Refuse a checkpoint of another network, shapes that happen to fit included.

    Args:
        config: what the experiment says.
        described: what the checkpoint says of itself.
        source: of the checkpoint, for the message.

    Raises:
        CheckpointError: they differ; lists every setting with both values.
    """
    require_method(config, described.method, source)
    ours, theirs = _facts(config), _facts(described)
    different = [
        f"model.{name} is {theirs[name]} in the checkpoint and {ours[name]} in the configuration"
        for name in ours
        if name in theirs and not _equal(ours[name], theirs[name])
    ]
    if different:
        raise CheckpointError(f"{source} is of another network: " + "; ".join(different))


def require_method(config: ModelConfig, method: str, source: str) -> None:
    """Refuse a checkpoint of another method.

    Raises:
        CheckpointError: the methods differ.
    """
    if method != config.method:
        raise CheckpointError(
            f"{source} is a {method} checkpoint, the configuration says {config.method}"
        )


def _facts(config: ModelConfig) -> dict[str, Any]:
    """Settings that a checkpoint depends on, by their place below `model`."""
    names = ["backbone", "skip_layer", "keep_resolution", "tokens", "mean", "std"]
    if config.method != "gem" or config.pooled.whitening:
        names.append("dim")
    if config.method == "how":
        names.append("smoothing")
    facts = {name: getattr(config, name) for name in names}
    if config.method == "fire":
        facts |= {f"lit.{name}": value for name, value in config.lit.model_dump().items()}
    if config.method == "cgd":
        facts["cgd.combination"] = config.cgd.combination
    if config.method == "embedding":
        facts |= {f"pooled.{name}": getattr(config.pooled, name) for name in _POOLED[:2]}
    if config.method == "gem":
        facts |= {f"pooled.{name}": getattr(config.pooled, name) for name in _POOLED}
    if "pooled.pooling" in facts and (config.pooled.pooling == "rmac" or config.pooled.regional):
        facts["pooled.rmac_levels"] = config.pooled.rmac_levels
    return facts


def _equal(ours: Any, theirs: Any) -> bool:
    """Files hold means and deviations in single precision, or rounded."""
    if isinstance(ours, Sequence) and not isinstance(ours, str):
        return all(
            math.isclose(a, b, abs_tol=_TOLERANCE) for a, b in zip(ours, theirs, strict=True)
        )
    return bool(ours == theirs)
