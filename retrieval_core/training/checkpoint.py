"""Checkpoints: `epoch-0003/` with the weights, Adam's state, and `state.json`, written last."""

import re
import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Adam

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import CheckpointError
from retrieval_core.training.report import EpochReport

FOLDER = "checkpoints"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class TrainingState:
    """What besides the weights and Adam's moments is needed to go on.

    Attributes:
        epoch: last finished epoch.
        digest: of everything that determines the training.
        history: reports of the epochs 0 to `epoch`.
        excluded: unreadable images so far.
    """

    epoch: int
    digest: str
    history: list[EpochReport]
    excluded: list[dict[str, Any]]


class Checkpoints:
    """The checkpoints of one training.

    Args:
        directory: of the training's artifact.
        digest: of everything that determines the training; others' checkpoints are ignored.
    """

    def __init__(self, directory: ArtifactDirectory, digest: str) -> None:
        self._directory = directory
        self._digest = digest

    def save(self, model: nn.Module, optimizer: Adam, state: TrainingState) -> None:
        """Write one checkpoint; it exists from the moment its `state.json` does."""
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        with self._directory.writing(_name(state.epoch, MODEL)) as path:
            save_file(weights, path)
        with self._directory.writing(_name(state.epoch, OPTIMIZER)) as path:
            save_file(_flatten(model, optimizer), path)
        self._directory.write_json(_name(state.epoch, STATE), asdict(state))

    def restore(self, model: nn.Module, optimizer: Adam) -> TrainingState | None:
        """Go back to the newest complete checkpoint of this training, if there is one.

        Args:
            model: receives the weights.
            optimizer: over the model's parameters; receives the moments.

        Returns:
            What else was saved; None, and nothing changed, without a checkpoint.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to another network.
        """
        state = self._newest()
        if state is not None:
            self.load_model(state.epoch, model)
            self._load_optimizer(state.epoch, model, optimizer)
        return state

    def _newest(self) -> TrainingState | None:
        for epoch in sorted(self._epochs(), reverse=True):
            if not self._directory.exists(_name(epoch, STATE)):
                continue
            content = self._directory.read_json(_name(epoch, STATE))
            if content["digest"] == self._digest:
                history = [EpochReport(**report) for report in content.pop("history")]
                return TrainingState(history=history, **content)
            warnings.warn(
                f"ignoring {self._directory.uri}/{FOLDER}: epoch {epoch} was trained with other "
                f"settings ({content['digest']}, not {self._digest})",
                stacklevel=2,
            )
        return None

    def load_model(self, epoch: int, model: nn.Module) -> None:
        """Put a checkpoint's weights into the network.

        Raises:
            CheckpointError: the file is damaged or belongs to another network.
        """
        try:
            model.load_state_dict(self._read(epoch, MODEL))
        except RuntimeError as error:
            raise CheckpointError(f"checkpoint of epoch {epoch} does not fit: {error}") from None

    def _load_optimizer(self, epoch: int, model: nn.Module, optimizer: Adam) -> None:
        parameters = dict(model.named_parameters())
        for key, value in self._read(epoch, OPTIMIZER).items():
            name, _, moment = key.rpartition("/")
            parameter = parameters[name]
            # Adam keeps its step count on the CPU.
            device = torch.device("cpu") if moment == "step" else parameter.device
            optimizer.state[parameter][moment] = value.to(device)

    def prune(self, keep: Collection[int]) -> None:
        """Delete the checkpoints of all other epochs, `state.json` first."""
        for epoch in self._epochs() - set(keep):
            self._directory.remove(_name(epoch, STATE))
            self._directory.remove(f"{FOLDER}/{_folder(epoch)}")

    def clear(self) -> None:
        """Delete every checkpoint."""
        self.prune(keep=())
        self._directory.remove(FOLDER)

    def _epochs(self) -> set[int]:
        names = self._directory.names()
        found = (re.match(rf"{FOLDER}/epoch-(\d+)/", name) for name in names)
        return {int(match[1]) for match in found if match}

    def _read(self, epoch: int, name: str) -> dict[str, Tensor]:
        path = self._directory.local(_name(epoch, name))
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged: {error}") from None


def _folder(epoch: int) -> str:
    return f"epoch-{epoch:04d}"


def _name(epoch: int, file: str) -> str:
    return f"{FOLDER}/{_folder(epoch)}/{file}"


def _flatten(model: nn.Module, optimizer: Adam) -> dict[str, Tensor]:
    return {
        f"{name}/{moment}": value.contiguous()
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }
