"""Archives unpacked where they can do no harm."""

import errno
import json
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from time import sleep

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.download.budget import Budget, CountedFile
from retrieval_core.download.members import members
from retrieval_core.download.placing import Placing, merge
from retrieval_core.errors import ArchiveError, StorageError
from retrieval_core.locking import exclusive
from retrieval_core.storage_faults import is_full

_BUFFER = 1 << 16
# what tarfile, zipfile and their codecs raise on damaged input
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
)
# what the file system says of names that cannot be
_IMPOSSIBLE = {
    errno.EEXIST,
    errno.EINVAL,
    errno.EILSEQ,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
}


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int | None = None,
    max_files: int = 10_000_000,
    progress: Callable[[int, int], None] | None = None,
    again: bool = False,
) -> int:
    """Unpack a tar, tar.gz or zip archive into a folder, all of it or nothing.

    It is unpacked beside its place and moved there when it is whole; a marker then tells that it
    is done, and a second call returns at once. Many archives may share a folder.

    Args:
        archive: to read.
        folder: to write into; created if need be.
        max_bytes: written at most, or None for 100 times the archive's size (64 MiB at least).
        max_files: written at most, folders included.
        progress: called with the bytes of the archive read and their total.
        again: unpack it even where that was done before.

    Returns:
        The number of files.

    Raises:
        ArchiveError: the archive is absent or damaged, would write outside the folder, has links
            out of it, devices, or more than it may.
        StorageError: the disk is full.
    """
    if not archive.is_file():
        raise ArchiveError(f"{archive} is missing: download it first")
    folder.mkdir(parents=True, exist_ok=True)
    marker = f".unpacked-{archive.name}.json"
    with exclusive(folder / f".lock-{archive.name}", sleep):
        files = None if again else _already(folder / marker, archive)
        if files is None:
            with _explained(archive, "; nothing of it was kept"):
                files = _unpack(archive, folder, max_bytes, max_files, progress)
            ArtifactDirectory(folder).write_json(marker, {**_identity(archive), "files": files})
    return files


def check_archive(archive: Path) -> None:
    """Refuse what does not begin as a tar, tar.gz or zip archive; little of it is read.

    Args:
        archive: to look at; a zip's list of files, at its end, must be whole.

    Raises:
        ArchiveError: it is no such archive, or nothing is in it.
    """
    with (
        _explained(archive),
        CountedFile(archive) as file,
        BufferedReader(file, _BUFFER) as stream,
    ):
        budget = Budget(file, None, 1, None)
        if next(members(stream, budget, str(archive.parent)), None) is None:
            raise ArchiveError("holds nothing")


def _unpack(
    archive: Path,
    folder: Path,
    max_bytes: int | None,
    max_files: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    scratch = folder / f".unpacking-{archive.name}"
    # left by a process that was killed
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        with CountedFile(archive) as file, BufferedReader(file, _BUFFER) as stream:
            budget, files = Budget(file, max_bytes, max_files, progress), 0
            placing = Placing(scratch, budget.take_written)
            for member in members(stream, budget, str(scratch)):
                budget.take_file()
                placing.place(member)
                files += member.kind != "folder"
            placing.finish()
        merge(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if progress:
        progress(archive.stat().st_size, archive.stat().st_size)
    return files


def _already(marker: Path, archive: Path) -> int | None:
    try:
        content = json.loads(marker.read_bytes())
        files = int(content.pop("files"))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return files if content == _identity(archive) else None


def _identity(archive: Path) -> dict[str, int]:
    facts = archive.stat()
    return {"size": facts.st_size, "modified": facts.st_mtime_ns}


@contextmanager
def _explained(archive: Path, kept: str = "") -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{archive} {error}{kept}") from error
    except OSError as error:
        if is_full(error):
            raise StorageError(
                f"cannot unpack {archive}: {error}; make room and run again"
            ) from error
        if error.errno is not None and error.errno not in _IMPOSSIBLE:
            raise
        raise ArchiveError(f"{archive} cannot be unpacked: {error}{kept}") from error
    except _DAMAGE as error:
        raise ArchiveError(f"{archive} is incomplete or damaged: {error}{kept}") from error
