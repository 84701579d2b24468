"""What is in an archive, whatever its format."""

import gzip
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import IO, BinaryIO, Literal, Self, cast

from retrieval_core.download.budget import Budget
from retrieval_core.errors import ArchiveError

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LONGEST_HEADER = 1 << 20
_LONGEST_LINK = 4096
_BLOCK = 1 << 16
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}

Kind = Literal["file", "folder", "link", "hard link", "other"]


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: as the archive gives it, not to be trusted.
        kind: of entry; "other" is a device or a pipe.
        target: that a link points to; a hard link's counts from the archive's root.
        open: its content.
    """

    name: str
    kind: Kind
    target: str
    open: Callable[[], IO[bytes]]


def members(stream: BinaryIO, budget: Budget, folder: str) -> Iterator[Member]:
    """Entries of a tar, tar.gz or zip archive in the order in which they lie.

    Args:
        stream: of the archive.
        budget: of the bytes that come out of it.
        folder: that it is unpacked into.

    Raises:
        ArchiveError: it is incomplete, or no such archive.
    """
    start = stream.read(4)
    stream.seek(0)
    if start.startswith(_ZIP):
        yield from _zip_members(stream)
    elif start.startswith(_GZIP):
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _tar_members(_Bounded(unpacked, budget), folder)
    else:
        yield from _tar_members(_Bounded(stream, budget), folder)


class _Bounded:
    """A stream that reports what is read and never reads much at once."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, budget: Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int) -> bytes:
        block = self._stream.read(min(size, _BLOCK))
        self._budget.take_unpacked(len(block))
        return block

    def drain(self) -> None:
        """Read to the end, where the check sum of a gzip stream is."""
        while self.read(_BLOCK):
            pass


class _TarMember(tarfile.TarInfo):
    """A header; tarfile takes a damaged one for the end of the archive, this does not."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        is_first = archive.offset == 0
        try:
            return super().fromtarfile(archive)
        except _DAMAGED as error:
            if is_first:
                raise ArchiveError("is neither a tar, a tar.gz nor a zip archive") from error
            raise ArchiveError(f"is incomplete or damaged ({error})") from error

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        # tarfile reads long names and other extensions into memory, whatever their size
        if self.type in _EXTENSIONS and self.size > _LONGEST_HEADER:
            raise ArchiveError(f"has a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


_DAMAGED = (
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
)
_EXTENSIONS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}


def _tar_members(stream: _Bounded, folder: str) -> Iterator[Member]:
    source = cast(IO[bytes], stream)
    with tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK, tarinfo=_TarMember) as archive:
        for info in archive:
            _filter(info, folder)
            yield Member(
                info.name, _tar_kind(info), info.linkname, partial(_tar_content, archive, info)
            )
    stream.drain()


def _filter(info: tarfile.TarInfo, folder: str) -> None:
    try:
        tarfile.data_filter(info, folder)
    except tarfile.FilterError as error:
        raise ArchiveError(f"has an entry that may not be unpacked: {error}") from error


def _tar_kind(info: tarfile.TarInfo) -> Kind:
    if info.isreg():
        return "file"
    if info.isdir():
        return "folder"
    if info.issym():
        return "link"
    return "hard link" if info.islnk() else "other"


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(info) or BytesIO()


def _zip_members(stream: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if info.compress_type not in _METHODS:
                raise ArchiveError(f"compresses {info.filename!r} in an unknown way")
            kind = _zip_kind(info)
            yield Member(
                name=info.orig_filename,
                kind=kind,
                target=_zip_target(archive, info) if kind == "link" else "",
                open=partial(archive.open, info),
            )


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "link"
    if info.is_dir():
        return "folder"
    return "file" if stat.S_IFMT(mode) in {0, stat.S_IFREG} else "other"


def _zip_target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as content:
        return content.read(_LONGEST_LINK).decode()
