"""Arrays of an index on disk: `.npy` files, and one JSON file that says which belong together.

A file's name ends with a digest of its content, so saving over an older index never mixes the
two: the JSON file is replaced last, in one step.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError

MANIFEST = "index.json"

Arrays = dict[str, npt.NDArray[Any]]


def save_arrays(uri: str | Path, description: Mapping[str, Any], arrays: Arrays) -> None:
    """Write arrays, then their description.

    Args:
        uri: directory, as a path or fsspec URL; an index that is there is replaced.
        description: plain values; must say the `kind` of index.
        arrays: by name.
    """
    directory = ArtifactDirectory(uri)
    previous = directory.read_json(MANIFEST) if directory.exists(MANIFEST) else {"files": {}}
    files = {name: _write(directory, name, array) for name, array in arrays.items()}
    directory.write_json(MANIFEST, {**description, "files": files})
    for stale in set(previous["files"].values()) - set(files.values()):
        directory.remove(stale)


def open_arrays(uri: str | Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Map saved arrays into memory, read-only.

    Returns:
        The description and the arrays by name.

    Raises:
        ArtifactError: there is no index, one of another kind, or a file is missing or unreadable.
    """
    directory = ArtifactDirectory(uri)
    description = directory.read_json(MANIFEST)
    found = description.get("kind") if isinstance(description, dict) else None
    if found != kind:
        raise ArtifactError(f"{uri} holds an index of kind {found!r}, not {kind!r}")
    files = description["files"]
    return description, {name: _map(directory, file) for name, file in files.items()}


def _write(directory: ArtifactDirectory, name: str, array: npt.NDArray[Any]) -> str:
    array = np.ascontiguousarray(array)
    header = f"{array.dtype.str} {array.shape}".encode()
    digest = hashlib.sha256(header)
    digest.update(array.data.cast("B") if array.size else b"")
    file = f"{name}-{digest.hexdigest()[:16]}.npy"
    if not directory.exists(file):
        with directory.writing(file) as path:
            np.save(path, array, allow_pickle=False)
    return file


def _map(directory: ArtifactDirectory, file: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(np.load(directory.local(file), mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{directory.uri}/{file} cannot be read: {error}") from None
