"""Checkpoint files from anywhere, kept on this machine."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.download.files import RemoteFile
from retrieval_core.errors import CheckpointError
from retrieval_core.models.zoo import (
    FILE_SUFFIXES,
    downloads,
    find_checkpoint,
    obtain,
    obtain_file,
)


def is_directory(source: str) -> bool:
    """Local directories are; of what is far away, all that does not look like a checkpoint file.

    Raises:
        ConfigError: it is neither a published name nor a file.
        CheckpointError: the protocol is unknown.
    """
    if find_checkpoint(source) is not None:
        return False
    fs, path = _locate(source)
    if isinstance(fs, LocalFileSystem):
        return Path(path).is_dir()
    return PurePosixPath(urlsplit(path).path).suffix not in FILE_SUFFIXES


def fetch(source: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """A local path of a checkpoint file.

    What is not on this machine is copied once into `downloads` of the work directory
    ($RETRIEVAL_WORKDIR, by default ./workdir).

    Args:
        source: published name, path, or address: http and https go on where they stopped, others
            are opened by fsspec.
        progress: called with bytes received and in total, for names and http.

    Raises:
        ConfigError: it is neither a published name nor a file.
        CheckpointError: there is no such file or it cannot be had.
        DownloadError: no mirror has it.
    """
    if checkpoint := find_checkpoint(source):
        return obtain(checkpoint, progress)
    if urlsplit(source).scheme in ("http", "https"):
        return obtain_file(RemoteFile(_local_name(source), (source,)), progress)
    fs, path = _locate(source)
    if isinstance(fs, LocalFileSystem):
        if not Path(path).is_file():
            raise CheckpointError(f"no checkpoint at {path}")
        return Path(path)
    cache, name = ArtifactDirectory(downloads()), _local_name(source)
    if not cache.exists(name):
        try:
            with cache.writing(name) as local:
                fs.get_file(path, str(local))
        except OSError as error:
            raise CheckpointError(f"cannot download {source}: {error}") from error
    return cache.local(name)


def _local_name(url: str) -> str:
    """Files of one name from two places must not be taken for each other."""
    address = hashlib.sha256(url.encode()).hexdigest()[:16]
    return f"{address}-{PurePosixPath(urlsplit(url).path).name}"


def _locate(path_or_url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        fs, path = fsspec.core.url_to_fs(path_or_url)
    except (ValueError, ImportError) as error:
        raise CheckpointError(f"cannot open {path_or_url}: {error}") from error
    return fs, str(path)
