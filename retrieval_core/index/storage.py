"""Arrays of an index on disk: `.npy` files, and one JSON file that says which belong together.

A file's name ends with a digest of its content and a file is never changed, so saving over an
older index never mixes the two: the JSON file is replaced last, in one step.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ConcurrentWriteError
from retrieval_core.locking import exclusive

MANIFEST = "index.json"
LOCK = ".lock-index"
ARRAY_FILE = re.compile(r"[a-z_]+-[0-9a-f]{16}\.npy")

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


def save_arrays(
    uri: str | Path, description: Mapping[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Write arrays, then their description.

    Args:
        uri: directory, as a path or fsspec URL; an index that is there is replaced.
        description: plain values; must say the `kind` of index.
        arrays: by name.

    Raises:
        ConcurrentWriteError: another process is writing there.
    """
    directory = ArtifactDirectory(uri)
    with writing_alone(directory):
        files = {name: write_array(directory, name, array) for name, array in arrays.items()}
        directory.write_json(MANIFEST, {**description, "files": files})
        sweep(directory, files.values())


def open_arrays(uri: str | Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Map saved arrays into memory, read-only.

    Returns:
        The description and the arrays by name.

    Raises:
        ArtifactError: there is no index, one of another kind, or a file is missing or unreadable.
    """
    directory = ArtifactDirectory(uri)
    description = read_description(directory, kind)
    files = description["files"]
    return description, {name: map_array(directory, file) for name, file in files.items()}


def read_description(directory: ArtifactDirectory, kind: str) -> dict[str, Any]:
    """What `index.json` says.

    Raises:
        ArtifactError: there is no index, or one of another kind.
    """
    description = directory.read_json(MANIFEST)
    found = description.get("kind") if isinstance(description, dict) else None
    if found != kind:
        raise ArtifactError(f"{directory.uri} holds an index of kind {found!r}, not {kind!r}")
    return dict(description)


@contextmanager
def writing_alone(directory: ArtifactDirectory) -> Iterator[None]:
    """Keep other processes of this machine from writing the directory's index meanwhile.

    The lock ends with the process, however that ends; other file systems than the local disk
    have none.

    Raises:
        ConcurrentWriteError: another process holds it.
    """

    def refuse(_: float) -> None:
        raise ConcurrentWriteError(
            f"{directory.uri} is being written by another process; try again when it has ended"
        )

    folder = directory.local_folder()
    with exclusive(folder / LOCK, refuse) if folder else nullcontext():
        yield


def write_array(directory: ArtifactDirectory, name: str, array: Array) -> str:
    """Write an array under a name that tells its content; one that is there stays as it is."""
    array = np.ascontiguousarray(array)
    file = f"{name}-{_digest(array)}.npy"
    if not directory.exists(file):
        with directory.writing(file) as path:
            np.save(path, array, allow_pickle=False)
    return file


def map_array(directory: ArtifactDirectory, file: str) -> Array:
    """Map an array into memory, read-only.

    Raises:
        ArtifactError: the file is missing, truncated, too long or no array.
    """
    try:
        path = directory.local(file)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        surplus = path.stat().st_size - array.offset - array.nbytes
    except (ValueError, EOFError, AttributeError) as error:
        raise ArtifactError(f"{directory.uri}/{file} cannot be read: {error}") from None
    if surplus:
        raise ArtifactError(f"{directory.uri}/{file} has {surplus} bytes more than its array")
    return np.asarray(array)


def verify_array(directory: ArtifactDirectory, file: str) -> None:
    """Read a whole file and compare its content with the digest in its name.

    Raises:
        ArtifactError: it is missing, unreadable or altered.
    """
    if _digest(map_array(directory, file)) != file.rpartition("-")[2].removesuffix(".npy"):
        raise ArtifactError(
            f"{directory.uri}/{file} was altered: its content is not what was saved"
        )


def sweep(directory: ArtifactDirectory, kept: Collection[str]) -> None:
    """Delete array files that the index no longer names, and what crashed writers left."""
    directory.remove_temporary()
    for name in directory.names():
        if ARRAY_FILE.fullmatch(name) and name not in kept:
            directory.remove(name)


def _digest(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()[:16]
