"""Dataclasses of arrays as `.npy` files of an artifact."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError

T = TypeVar("T")


def save_fields(item: Any, directory: ArtifactDirectory, folder: str = "") -> None:
    """Write every field of a dataclass of arrays, in their order.

    Args:
        item: instance of the dataclass.
        directory: artifact in the making.
        folder: in it, "" or with a slash at the end.
    """
    for field in fields(item):
        with directory.writing(f"{folder}{field.name}.npy") as path:
            np.save(path, getattr(item, field.name), allow_pickle=False)


def load_fields(kind: type[T], uri: str | Path, folder: str = "") -> T:
    """Map what `save_fields` wrote into memory, read-only.

    Args:
        kind: the dataclass.
        uri: directory of the artifact.
        folder: as it was written.

    Raises:
        ArtifactError: a file is missing or unreadable.
    """
    directory, names = ArtifactDirectory(uri), [f.name for f in fields(kind)]  # type: ignore[arg-type]
    try:
        arrays = [
            np.load(directory.local(f"{folder}{name}.npy"), mmap_mode="r", allow_pickle=False)
            for name in names
        ]
    except (ValueError, EOFError) as error:
        place = f"{uri}/{folder}".rstrip("/")
        raise ArtifactError(f"{kind.__name__.lower()} {place} cannot be read: {error}") from None
    return kind(*(np.asarray(array) for array in arrays))
