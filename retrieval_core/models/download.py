"""Checkpoint files from anywhere, kept on this machine."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import CheckpointError

_FILE_SUFFIXES = {".pth", ".pt", ".bin", ".tar"}


def is_directory(path_or_url: str) -> bool:
    """Local directories are; of what is far away, all that does not look like a checkpoint file.

    Raises:
        CheckpointError: the protocol is unknown.
    """
    fs, path = _locate(path_or_url)
    if isinstance(fs, LocalFileSystem):
        return Path(path).is_dir()
    return PurePosixPath(urlsplit(path).path).suffix not in _FILE_SUFFIXES


def fetch(path_or_url: str) -> Path:
    """A local path of a checkpoint file.

    Other addresses than local ones are copied once into `downloads` of the work directory
    ($RETRIEVAL_WORKDIR, by default ./workdir).

    Args:
        path_or_url: of the file, anything that fsspec opens.

    Raises:
        CheckpointError: there is no such file or it cannot be had.
    """
    fs, path = _locate(path_or_url)
    if isinstance(fs, LocalFileSystem):
        if not Path(path).is_file():
            raise CheckpointError(f"no checkpoint at {path}")
        return Path(path)
    address = hashlib.sha256(path_or_url.encode()).hexdigest()[:16]
    name = f"{address}-{PurePosixPath(urlsplit(path).path).name}"
    cache = ArtifactDirectory(Path(os.environ.get("RETRIEVAL_WORKDIR", "workdir"), "downloads"))
    if not cache.exists(name):
        try:
            with cache.writing(name) as local:
                fs.get_file(path, str(local))
        except OSError as error:
            raise CheckpointError(f"cannot download {path_or_url}: {error}") from error
    return cache.local(name)


def _locate(path_or_url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        fs, path = fsspec.core.url_to_fs(path_or_url)
    except (ValueError, ImportError) as error:
        raise CheckpointError(f"cannot open {path_or_url}: {error}") from error
    return fs, str(path)
