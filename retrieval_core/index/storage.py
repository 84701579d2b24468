"""Arrays of an index on disk: `.npy` files, and one JSON file that says which belong together.

A file's name ends with a digest of its content and a file is never changed, so saving over an
older index never mixes the two: the JSON file is replaced last, in one step.
"""

import hashlib
import io
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ConcurrentWriteError
from retrieval_core.locking import exclusive
from retrieval_core.storage_faults import UNUSABLE

Found = TypeVar("Found")

MANIFEST = "index.json"
LOCK = ".lock-index"
ARRAY_FILE = re.compile(r"[a-z_]+-[0-9a-f]{16}\.npy")
# what NumPy raises for files that are no arrays, whatever of the header is damaged
UNREADABLE = (
    *UNUSABLE,
    ValueError,
    EOFError,
    AttributeError,
    TypeError,
    OverflowError,
    SyntaxError,
    TokenError,
    BadZipFile,
)

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Versions = dict[str, str]
"""States of an index on disk: by its place, the digest of its `index.json`."""


def _check_names(files: dict[str, str]) -> dict[str, str]:
    for name, file in files.items():
        if not ARRAY_FILE.fullmatch(file) or not file.startswith(f"{name}-"):
            raise ValueError(f"{file!r} is no file of the array {name!r}")
    return files


Files = Annotated[dict[str, str], AfterValidator(_check_names)]
"""Names of files, by array."""


class Description(BaseModel):
    """What any `index.json` says.

    Attributes:
        kind: of index.
        files: of the whole index.
    """

    model_config = ConfigDict(strict=True, extra="allow")

    kind: str
    files: Files


def save_arrays(
    uri: str | Path,
    description: Mapping[str, Any],
    arrays: Mapping[str, Array],
    based_on: Versions,
) -> Versions:
    """Write arrays, then their description.

    Args:
        uri: directory, as a path or fsspec URL.
        description: plain values; must say the `kind` of index.
        arrays: by name.
        based_on: as of `require_unchanged`; elsewhere an index that is there is replaced.

    Returns:
        The new state.

    Raises:
        ConcurrentWriteError: another process is writing there, or has since that state.
    """
    directory = ArtifactDirectory(uri)
    with writing_alone(directory):
        require_unchanged(directory, based_on)
        files = {name: write_array(directory, name, array) for name, array in arrays.items()}
        directory.write_json(MANIFEST, {**description, "files": files})
        sweep(directory, files.values())
        return version(directory)


def open_arrays(uri: str | Path, kind: str) -> tuple[dict[str, Any], Arrays, Versions]:
    """Map saved arrays into memory, read-only.

    Returns:
        The description, the arrays by name, and which state this is.

    Raises:
        ArtifactError: there is no index, one of another kind, or a file is missing or unreadable.
    """
    directory = ArtifactDirectory(uri)

    def read() -> tuple[dict[str, Any], Arrays]:
        description = read_description(directory, kind)
        files = description["files"]
        return description, {name: map_array(directory, file) for name, file in files.items()}

    (description, arrays), state = read_whole(directory, read)
    return description, arrays, state


def read_whole(directory: ArtifactDirectory, read: Callable[[], Found]) -> tuple[Found, Versions]:
    """What a call reads of an index, all of one state, and which state this is.

    Raises:
        ArtifactError: as the call, where no writer was the cause.
    """
    while True:
        state = version(directory)
        try:
            return read(), state
        except ArtifactError:
            # a writer may have replaced the index, and deleted files, since its JSON was read
            if version(directory) == state:
                raise


def read_description(
    directory: ArtifactDirectory, kind: str, schema: type[Description] = Description
) -> dict[str, Any]:
    """What `index.json` says.

    Args:
        directory: of the index.
        kind: of index.
        schema: of what this kind says.

    Raises:
        ArtifactError: there is no index, one of another kind, or a key is missing or mistyped.
    """
    description = directory.read_json(MANIFEST)
    found = description.get("kind") if isinstance(description, dict) else None
    if found != kind:
        raise ArtifactError(f"{directory.uri} holds an index of kind {found!r}, not {kind!r}")
    try:
        return schema.model_validate(description).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{directory.uri}/{MANIFEST} is altered or of an older format: {place}: "
            f"{first['msg']}; build the index again"
        ) from None


def location(directory: ArtifactDirectory) -> str:
    """Where a directory that is there lies, the same however its address was written.

    Returns:
        An absolute path without links; off the local disk, the address without slashes at its end.
    """
    folder = directory.local_folder()
    return str(folder.resolve()) if folder else directory.uri.rstrip("/")


def version(directory: ArtifactDirectory) -> Versions:
    """The state of an index that is there.

    Raises:
        ArtifactError: there is none.
    """
    # read first: no folder is made where there is no index
    digest = hashlib.sha256(directory.read_bytes(MANIFEST)).hexdigest()
    return {location(directory): digest}


def require_unchanged(directory: ArtifactDirectory, known: Versions) -> None:
    """Refuse to write over another state than the one that is known; elsewhere none is.

    Raises:
        ConcurrentWriteError: it was changed, or is gone.
    """
    place = location(directory)
    if place not in known:
        return
    if not directory.exists(MANIFEST) or version(directory)[place] != known[place]:
        raise ConcurrentWriteError(
            f"{directory.uri} was changed by another process since it was opened; open it again "
            "and repeat the change"
        )


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
    """Write an array under a name that tells its content.

    One that is there is read, and stays as it is unless it is damaged.
    """
    array = np.ascontiguousarray(array)
    file = f"{name}-{_digest(array)}.npy"
    try:
        verify_array(directory, file)
    except ArtifactError:
        with directory.writing(file) as path:
            np.save(path, array, allow_pickle=False)
    return file


def has_array(directory: ArtifactDirectory, file: str, array: Array) -> bool:
    """Whether there is a file as long as that of this array; its content is not read."""
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(header, described)
    expected = header.tell() + array.nbytes
    return directory.exists(file) and directory.size(file) == expected


def map_array(directory: ArtifactDirectory, file: str) -> Array:
    """Map an array into memory, read-only.

    Raises:
        ArtifactError: the file is missing, truncated, too long or no array.
    """
    try:
        path = directory.local(file)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        surplus = path.stat().st_size - array.offset - array.nbytes
    except FileNotFoundError:
        # a writer deleted it since it was looked for
        raise ArtifactError(f"{directory.uri} has no file {file!r}") from None
    except UNREADABLE as error:
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
    directory.remove_temporary(below=False)  # what lies below has a writer of its own
    for name in directory.names():
        if ARRAY_FILE.fullmatch(name) and name not in kept:
            directory.remove(name)


def _digest(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()[:16]
