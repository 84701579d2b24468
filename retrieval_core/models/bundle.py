"""This project's checkpoints: `model.json` beside `model.safetensors`."""

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import ModelConfig
from retrieval_core.errors import ArtifactError, CheckpointError
from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.checkpoints import State, write_tensors

DESCRIPTION = "model.json"
TENSORS = "model.safetensors"
VERSION = 1


def save_model(model: RetrievalModel, directory: ArtifactDirectory) -> None:
    """Write the network's tensors and the configuration that rebuilds it."""
    with directory.writing(TENSORS) as path:
        write_tensors(model.state_dict(), path)
    description = {
        "version": VERSION,
        "config": model.config.model_dump(mode="json"),
        "global_dim": model.global_dim,
        "local_dim": model.local_dim,
    }
    directory.write_json(DESCRIPTION, description)


def read_bundle(directory: ArtifactDirectory) -> tuple[ModelConfig, State]:
    """Configuration and tensors of a saved network.

    Raises:
        CheckpointError: a file is missing or damaged, or a newer version wrote it.
    """
    try:
        description = directory.read_json(DESCRIPTION)
        if description["version"] != VERSION:
            raise CheckpointError(
                f"{directory.uri} has version {description['version']}, this code reads {VERSION}"
            )
        config = ModelConfig.model_validate(description["config"])
        return config, load_file(directory.local(TENSORS))
    except (ArtifactError, SafetensorError, ValidationError, KeyError, TypeError) as error:
        raise CheckpointError(f"{directory.uri} is not a saved network: {error}") from error
