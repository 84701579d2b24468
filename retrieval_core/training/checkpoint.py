"""Checkpoints: `epoch-0003/` with the weights and Adam's state; `state.json` is written last."""

import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Adam

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import CheckpointError
from retrieval_core.models.checkpoints import write_tensors
from retrieval_core.training.report import EpochReport

FOLDER = "checkpoints"
MODEL, LOSS, OPTIMIZER = "model.safetensors", "loss.safetensors", "optimizer.safetensors"
STATE = "state.json"


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

    def save(
        self, model: nn.Module, loss: nn.Module, optimizer: Adam, state: TrainingState
    ) -> None:
        """Write one checkpoint; it exists from the moment its `state.json` does."""
        self._write(state.epoch, MODEL, model.state_dict())
        self._write(state.epoch, LOSS, loss.state_dict())
        self._write(state.epoch, OPTIMIZER, _moments(_parameters(model, loss), optimizer))
        self._directory.write_json(_name(state.epoch, STATE), asdict(state))

    def restore(self, model: nn.Module, loss: nn.Module, optimizer: Adam) -> TrainingState | None:
        """Go back to the newest complete checkpoint of this training, if there is one.

        Args:
            model: receives the weights.
            loss: receives its state: proxies, a classifier, a memory of embeddings.
            optimizer: over the parameters of both; receives the moments.

        Returns:
            What else was saved; None, and nothing changed, without a checkpoint.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to another network.
        """
        state = self._newest()
        if state is not None:
            self.load_model(state.epoch, model)
            self._load(state.epoch, LOSS, loss)
            self._load_optimizer(state.epoch, _parameters(model, loss), optimizer)
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
        self._load(epoch, MODEL, model)

    def _load(self, epoch: int, name: str, module: nn.Module) -> None:
        try:
            module.load_state_dict(self._read(epoch, name))
        except RuntimeError as error:
            raise CheckpointError(f"checkpoint of epoch {epoch} does not fit: {error}") from None

    def _load_optimizer(
        self, epoch: int, parameters: Mapping[str, nn.Parameter], optimizer: Adam
    ) -> None:
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

    def _write(self, epoch: int, name: str, tensors: Mapping[str, Tensor]) -> None:
        with self._directory.writing(_name(epoch, name)) as path:
            write_tensors(tensors, path)

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


def _parameters(model: nn.Module, loss: nn.Module) -> dict[str, nn.Parameter]:
    return {
        f"{part}.{name}": parameter
        for part, module in (("model", model), ("loss", loss))
        for name, parameter in module.named_parameters()
    }


def _moments(parameters: Mapping[str, nn.Parameter], optimizer: Adam) -> dict[str, Tensor]:
    return {
        f"{name}/{moment}": value
        for name, parameter in parameters.items()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }
