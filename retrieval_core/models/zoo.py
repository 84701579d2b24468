"""Published checkpoints by name."""

import difflib
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from retrieval_core.config.base import Config
from retrieval_core.download.files import RemoteFile
from retrieval_core.download.transfer import download
from retrieval_core.errors import CheckpointError, ConfigError, RetrievalError
from retrieval_core.models.checkpoints import read_checkpoint

SOURCES = "RETRIEVAL_CHECKPOINTS"
"""Environment variable: a YAML file of own mirrors and digests, in the form of checkpoints.yaml."""

FILE_SUFFIXES = {".pth", ".pt", ".bin", ".tar", ".safetensors"}
UNNAMED = ("none", "efficientnet-lite0", "hub")
"""Values of `ModelConfig.weights` that are no checkpoint file."""


class RestrictedLicenceWarning(UserWarning):
    """What was just downloaded may not be used for every purpose."""


class Checkpoint(Config):
    """A published network.

    Attributes:
        name: as in `ModelConfig.weights`.
        title: what it is, for people.
        method: whose network it is; "backbone" is ImageNet weights alone.
        start: whether it is what training starts from, not a network to search with.
        licence: of the weights.
        restricted: whether the licence forbids some uses, commercial ones say.
        urls: mirrors in the order they are tried.
        sha256: of the file, where it is known.
        size: of the file in bytes, where it is known.
    """

    name: str
    title: str
    method: Literal["fire", "how", "gem", "backbone"]
    start: bool = False
    licence: str
    restricted: bool = False
    urls: tuple[str, ...] = Field(min_length=1)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    size: int | None = Field(None, ge=1)

    @property
    def file(self) -> RemoteFile:
        """Where the file comes from, and its name in the downloads folder."""
        return RemoteFile(f"{self.name}.pth", self.urls, self.sha256, self.size)

    @property
    def identity(self) -> str:
        """The name and, where one is known, the digest of the file."""
        return f"{self.name} sha256:{self.sha256}" if self.sha256 else self.name

    @property
    def is_here(self) -> bool:
        """Whether the file is on this machine."""
        return (downloads() / self.file.name).is_file()


def downloads() -> Path:
    """The folder of downloaded checkpoints, in the work directory."""
    return Path(os.environ.get("RETRIEVAL_WORKDIR", "workdir"), "downloads")


def checkpoints() -> dict[str, Checkpoint]:
    """Every published checkpoint by name, refined by the file that $RETRIEVAL_CHECKPOINTS names.

    Raises:
        ConfigError: that file is missing, not YAML, or has an unacceptable entry.
    """
    own = os.environ.get(SOURCES)
    if not own:
        return dict(CHECKPOINTS)
    packaged = {name: c.model_dump(exclude={"name"}) for name, c in CHECKPOINTS.items()}
    merged = dict(CHECKPOINTS)
    for name, entry in _read(Path(own)).items():
        if not isinstance(entry, dict):
            raise ConfigError(f"{own}: {name}: expected settings such as urls, not {entry!r}")
        merged[name] = _checkpoint(name, {**packaged.get(name, {}), **entry}, own)
    return merged


def find_checkpoint(weights: str) -> Checkpoint | None:
    """The published checkpoint of that name; None where a path or an address is meant.

    Args:
        weights: as in `ModelConfig.weights`; a published name wins over a file called the same.

    Raises:
        ConfigError: it is neither; names those that are spelt alike.
    """
    known = checkpoints()
    if weights in known:
        return known[weights]
    path = Path(weights)
    is_path = "/" in weights or path.suffix in FILE_SUFFIXES or path.exists()
    if is_path or weights in UNNAMED:
        return None
    close = difflib.get_close_matches(weights, [*UNNAMED, *known], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    raise ConfigError(
        f"model.weights: {weights!r} is neither a published checkpoint nor a file here; {hint}"
    )


def starting_state(weights: str) -> Literal["untrained", "published", "given"]:
    """What a network is before the pipeline trains it: a published whole one, the user's, or none.

    Args:
        weights: as in `ModelConfig.weights`.

    Raises:
        ConfigError: it is neither a published name nor a file.
    """
    checkpoint = find_checkpoint(weights)
    if checkpoint is not None:
        return "untrained" if checkpoint.start else "published"
    return "untrained" if weights in UNNAMED else "given"


def obtain(checkpoint: Checkpoint, progress: Callable[[int, int], None] | None = None) -> Path:
    """The checkpoint's file, downloaded and checked on first use.

    Args:
        checkpoint: which one.
        progress: called with bytes received and in total.

    Raises:
        DownloadError: no mirror has it, or what they gave is no checkpoint or holds code.
        ChecksumError: the content is not what was published.
    """
    was_here = checkpoint.is_here
    path = obtain_file(checkpoint.file, progress)
    if checkpoint.restricted and not was_here:
        warnings.warn(licence_notice(checkpoint), RestrictedLicenceWarning, stacklevel=2)
    return path


def obtain_file(file: RemoteFile, progress: Callable[[int, int], None] | None = None) -> Path:
    """A checkpoint file from its mirrors; a download is kept only if it is a checkpoint.

    Args:
        file: which one, named as in the downloads folder.
        progress: called with bytes received and in total.

    Raises:
        DownloadError: no mirror has it, or what they gave is no checkpoint or holds code.
        ChecksumError: the content is not what was published.
    """
    folder = downloads()
    download(replace(file, check=_check), folder, progress=progress)
    return folder / file.name


def licence_notice(checkpoint: Checkpoint) -> str:
    """One line that says what the licence is and that it restricts."""
    return (
        f"{checkpoint.name} ({checkpoint.title}) is under {checkpoint.licence}: its use is "
        "restricted, commercial use is not permitted"
    )


def _check(path: Path) -> None:
    """Refuse what is no checkpoint.

    Raises:
        CheckpointError: the file cannot be read.
        UnsafePickleError: the pickle holds code.
    """
    try:
        read_checkpoint(path)
    except RetrievalError:
        raise
    except Exception as error:  # what is no pickle raises nearly anything
        raise CheckpointError(
            f"{path} is not a checkpoint ({type(error).__name__}: {error})"
        ) from error


def _checkpoint(name: str, entry: dict[str, Any], source: str | Path) -> Checkpoint:
    try:
        return Checkpoint(name=name, **entry)
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"{source}: {name}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the list of checkpoints {path}: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected names of checkpoints and their settings")
    return tree


_PACKAGED = Path(__file__).with_name("checkpoints.yaml")
CHECKPOINTS = {
    name: _checkpoint(name, entry, _PACKAGED) for name, entry in _read(_PACKAGED).items()
}
"""The packaged list, without refinements."""
