"""ImageNet weights from where torchvision and timm publish them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torchvision
from timm.models import load_state_dict_from_hf

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError, DownloadError
from retrieval_core.models.backbones import is_from_torchvision
from retrieval_core.models.checkpoints import read_checkpoint
from retrieval_core.models.download import fetch
from retrieval_core.models.zoo import downloads

HUB = "hub"
"""The folder in `downloads` that the Hugging Face hub's files are kept in."""


def published_weights(config: ModelConfig) -> Mapping[str, Any]:
    """Tensors of a backbone as it is published, downloaded on first use.

    Args:
        config: its `backbone` is looked up in torchvision, then in timm; `mean` and `std` must be
            those that the weights were trained with.

    Raises:
        ConfigError: there are no weights of that name, or they were trained with another mean or
            standard deviation.
        DownloadError: they cannot be had.
    """
    name = config.backbone
    if is_from_torchvision(name):
        weights = torchvision.models.get_model_weights(name).DEFAULT
        preset = weights.transforms()
        _require_normalisation(config, preset.mean, preset.std)
        return read_checkpoint(fetch(weights.url))
    pretrained: Any = timm.get_pretrained_cfg(name)
    if pretrained is None or not (pretrained.hf_hub_id or pretrained.url):
        raise ConfigError(f"model.weights: hub has no weights of {name}")
    _require_normalisation(config, pretrained.mean, pretrained.std)
    if pretrained.hf_hub_id:
        return _from_hugging_face(pretrained)
    return read_checkpoint(fetch(pretrained.url))


def _from_hugging_face(pretrained: Any) -> Mapping[str, Any]:
    place, file = pretrained.hf_hub_id, pretrained.hf_hub_filename
    cache = downloads() / HUB
    try:
        if file:
            return dict(load_state_dict_from_hf(place, file, cache_dir=cache))
        return dict(load_state_dict_from_hf(place, cache_dir=cache))
    except Exception as error:  # the hub's client raises nearly anything without a network
        raise DownloadError(
            f"cannot get {place} from the Hugging Face hub ({type(error).__name__}: {error}): "
            "where there is no hub, give model.weights as the path or URL of a file"
        ) from error


def _require_normalisation(
    config: ModelConfig, mean: Sequence[float], std: Sequence[float]
) -> None:
    for name, given, right in (("mean", config.mean, mean), ("std", config.std, std)):
        if not all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(given, right, strict=True)):
            raise ConfigError(
                f"model.{name}: {list(given)}, but the weights of {config.backbone} were trained "
                f"with {[round(value, 4) for value in right]}"
            )
