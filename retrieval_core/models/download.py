"""Checkpoint files from anywhere, kept on this machine."""

import hashlib
import os
from pathlib import Path, PurePosixPath

import fsspec

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import CheckpointError


def fetch(path_or_url: str) -> Path:
    """A local path of a checkpoint file.

    Other addresses than local ones are copied once into `downloads` of the work directory
    ($RETRIEVAL_WORKDIR, by default ./workdir).

    Args:
        path_or_url: of the file, anything that fsspec opens.

    Raises:
        CheckpointError: there is no such file or it cannot be had.
    """
    try:
        fs, path = fsspec.core.url_to_fs(path_or_url)
        if isinstance(fs, fsspec.implementations.local.LocalFileSystem):
            return _existing(Path(path))
        address = hashlib.sha256(path_or_url.encode()).hexdigest()[:16]
        name = f"{address}-{PurePosixPath(path).name}"
        cache = ArtifactDirectory(Path(os.environ.get("RETRIEVAL_WORKDIR", "workdir"), "downloads"))
        if not cache.exists(name):
            with cache.writing(name) as local:
                fs.get_file(path, str(local))
        return cache.local(name)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(f"cannot download {path_or_url}: {error}") from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    return path
