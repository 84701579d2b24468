"""Official checkpoints of FIRe, HOW and cirtorch in the terms of this project."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from retrieval_core.config import GlobalConfig, LitConfig, ModelConfig
from retrieval_core.config.model import LearnedWhitening, Method
from retrieval_core.errors import CheckpointError
from retrieval_core.models.checkpoints import State

_LW_DATASET = "retrieval-SfM-120k"
_LW = {"single_scale": "ss", "multi_scale": "ms"}

# Names of modules there and here, by method; the first prefix that fits counts.
_RENAMED: dict[Method, dict[str, str]] = {
    "how": {"dim_reduction.": "whitening.", "whiten.": "whitening."},
    "fire": {"dim_reduction.": "whitening."},
    "gem": {
        "lwhiten.": "local_whitening.",
        "pool.rpool.": "pooling.pooling.",
        "pool.whiten.": "pooling.whitening.",
        "pool.": "pooling.",
        "whiten.": "whitening.",
    },
}


class IncompleteError(CheckpointError):
    """A checkpoint that does not describe its network, or not all of it."""


@dataclass(frozen=True)
class Official:
    """An official checkpoint.

    Attributes:
        method: whose it is.
        state: tensors under this project's names.
        settings: `net_params` (FIRe, HOW) or `meta` (cirtorch, HOW's old format); may be empty.
    """

    method: Method
    state: State
    settings: Mapping[str, Any]

    def config(self, source: str) -> ModelConfig:
        """The architecture that the checkpoint describes.

        Raises:
            IncompleteError: the description is missing or incomplete.
            CheckpointError: it describes an impossible network.
        """
        build = {"fire": _fire_config, "how": _how_config, "gem": _gem_config}[self.method]
        try:
            return build(self, source)
        except (KeyError, TypeError, IndexError) as error:
            raise IncompleteError(
                f"{source} does not describe its {self.method} network ({error!r}): "
                "give it as `weights` of a configuration that does"
            ) from error
        except ValidationError as error:
            raise CheckpointError(f"{source} describes an impossible network: {error}") from error

    def learned_whitening(self, config: ModelConfig, source: str) -> State:
        """Tensors of the whitening that a configuration wants from `meta`; none if it wants none.

        Raises:
            CheckpointError: the file does not hold it.
        """
        wanted = config.pooled.learned_whitening
        if self.method != "gem" or wanted == "none":
            return {}
        try:
            found = self.settings["Lw"][_LW_DATASET][_LW[wanted]]
            mean, projection = (torch.as_tensor(found[k], dtype=torch.float32) for k in "mP")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{source} holds no {wanted} whitening learned on {_LW_DATASET} ({error!r}): set "
                "model.pooled.learned_whitening to none"
            ) from error
        return {
            "learned_whitening.mean": mean.flatten(),
            "learned_whitening.projection": projection,
        }


def read_official(content: Mapping[str, Any]) -> Official | None:
    """Recognise the content of an official file; None where it is something else."""
    state = content.get("state_dict")
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        return None
    settings = content.get("net_params") or content.get("meta") or {}
    method = _method(state, settings)
    if method is None:
        return None
    # A classifier that was left in FIRe's ImageNet file has no part in retrieval.
    kept = {_rename(method, k): v for k, v in state.items() if not k.startswith("fc.")}
    if method != "gem" and "whitening.weight" in kept:
        kept["whitening.weight"] = kept["whitening.weight"].flatten(1)
    return Official(method, kept, settings)


def _method(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Method | None:
    if any(name.startswith("lit.") for name in state):
        return "fire"
    if "pooling" in settings:
        return "gem"
    is_local = "dim_reduction.weight" in state or "feat_pool_k" in settings
    return "how" if is_local else None


def _rename(method: Method, name: str) -> str:
    for theirs, ours in _RENAMED[method].items():
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return name


def _fire_config(official: Official, source: str) -> ModelConfig:
    given = official.settings
    mean, std = given["runtime"]["mean_std"]
    lit = given["lit"]
    return ModelConfig(
        method="fire",
        backbone=given["architecture"],
        weights=source,
        skip_layer=given["skip_layer"],
        dim=given["dim_reduction"]["dim"],
        lit=LitConfig(iterations=lit["T"], templates=lit["N"], dim=lit["dim"]),
        mean=_rgb(mean),
        std=_rgb(std),
    )


def _how_config(official: Official, source: str) -> ModelConfig:
    given = official.settings
    if "runtime" in given:
        mean, std = given["runtime"]["mean_std"]
        dim, smoothing = given["dim_reduction"]["dim"], given["smoothing"]
        window = smoothing["kernel_size"] if smoothing else 0
    else:
        mean, std, dim, window = given["mean"], given["std"], given["dim"], given["feat_pool_k"]
    return ModelConfig(
        method="how",
        backbone=given["architecture"],
        weights=source,
        skip_layer=given["skip_layer"],
        dim=int(dim),
        smoothing=int(window or 0),
        mean=_rgb(mean),
        std=_rgb(std),
    )


def _gem_config(official: Official, source: str) -> ModelConfig:
    given = official.settings
    whitened = bool(given.get("whitening", False))
    return ModelConfig(
        method="gem",
        backbone=given["architecture"],
        weights=source,
        dim=len(official.state["whitening.weight"]) if whitened else None,
        pooled=GlobalConfig(
            pooling=given["pooling"],
            # Files from before these options existed lack them.
            regional=bool(given.get("regional", False)),
            local_whitening=bool(given.get("local_whitening", False)),
            whitening=whitened,
            learned_whitening="none" if whitened else _published_whitening(given),
        ),
        mean=_rgb(given["mean"]),
        std=_rgb(given["std"]),
    )


def _published_whitening(given: Mapping[str, Any]) -> LearnedWhitening:
    """What the published scores were computed with: the one for several scales."""
    held = given.get("Lw", {}).get(_LW_DATASET, {})
    return "multi_scale" if "ms" in held else "none"


def _rgb(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
