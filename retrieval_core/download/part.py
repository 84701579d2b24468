"""The bytes of a file that have arrived so far."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Self

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.download.answers import Answer, RangeError
from retrieval_core.download.files import RemoteFile
from retrieval_core.errors import StorageError
from retrieval_core.storage_faults import is_full

_PREFIX = ".part-"


@dataclass(frozen=True)
class Origin:
    """The version of a file that a part belongs to; kept beside the part.

    Attributes:
        url: the mirror that gave its first byte.
        validator: the mirror's name for the version (ETag or date), or None.
        total: bytes of the whole file, or None when the mirror did not say.
    """

    url: str
    validator: str | None
    total: int | None


class PartFile:
    """A half-received file: what is in it, and who can continue it.

    Bytes of two versions are never joined: a part goes on only where the mirror confirms its
    version, or where a published digest decides in the end.

    Args:
        file: that is being received.
        folder: that it will be in.
    """

    def __init__(self, file: RemoteFile, folder: Path) -> None:
        self.path = folder / f"{_PREFIX}{file.name}"
        self.size = 0
        self.origin: Origin | None = None
        self.is_joined = False
        self._file = file
        self._began_here = False
        self._stream: BinaryIO
        self._directory = ArtifactDirectory(folder)
        self._origin_name = f"{self.path.name}.json"

    def __enter__(self) -> Self:
        self._stream = self.path.open("ab")
        self.size = self.path.stat().st_size
        self.origin = self._read_origin()
        self.is_joined = self.size > 0
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        if self.size == 0:
            self.path.unlink(missing_ok=True)
            self._directory.remove(self._origin_name)

    @property
    def total(self) -> int | None:
        """Bytes of the whole file as published or announced, or None."""
        announced = self.origin.total if self.origin else None
        return self._file.size if self._file.size is not None else announced

    def is_whole(self) -> bool:
        """Whether all announced bytes are here."""
        return self.size > 0 and self.size == self.total

    def continuation(self, url: str) -> tuple[int, str | None]:
        """First byte to ask a mirror for, and the version it must have (None: any)."""
        same = self.origin is not None and self.origin.url == url
        if self.origin is not None and same and self.origin.validator:
            return self.size, self.origin.validator
        if self._file.sha256 is not None or (same and self._began_here):
            return self.size, None
        return 0, None

    def accept(self, url: str, answer: Answer) -> None:
        """Go on with an answer: behind the bytes at hand, or anew.

        Raises:
            RangeError: the answer continues another version.
            StorageError: the disk has no room for what is still to come.
        """
        if answer.start == 0:
            self.restart(Origin(url, answer.validator, answer.total))
        elif self.origin is not None and not _is_same(self.origin, url, answer):
            raise RangeError("has another version than before")
        elif self.origin is None or self.origin.url != url:
            self.is_joined = True
        self._check_room(answer)

    def append(self, block: bytes) -> None:
        """Write bytes at the end.

        Raises:
            StorageError: the disk is full; what was written before is kept.
        """
        try:
            self._stream.write(block)
        except OSError as error:
            if not is_full(error):
                raise
            raise StorageError(_no_room(self.path, str(error))) from error
        self.size += len(block)

    def restart(self, origin: Origin | None = None) -> None:
        """Drop all bytes; those to come belong to another version."""
        self._stream.truncate(0)
        self.size, self.origin, self.is_joined = 0, origin, False
        self._began_here = origin is not None
        if origin is None:
            self._directory.remove(self._origin_name)
        else:
            self._directory.write_json(self._origin_name, asdict(origin))

    def sync(self) -> None:
        """Have all bytes on disk, where others can read them.

        Raises:
            StorageError: the disk is full.
        """
        try:
            self._stream.flush()
            # a name must not outlive a power cut that the bytes did not
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise StorageError(_no_room(self.path, str(error))) from error

    def finish(self, target: Path) -> None:
        """Give the whole file its name.

        Raises:
            StorageError: the disk is full.
        """
        self.sync()
        self.path.replace(target)
        self._directory.remove(self._origin_name)

    def _read_origin(self) -> Origin | None:
        try:
            return Origin(**json.loads(self.path.with_name(self._origin_name).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _check_room(self, answer: Answer) -> None:
        missing = (answer.total or 0) - self.size
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise StorageError(_no_room(self.path, f"{missing} bytes to come, {free} bytes free"))


def _is_same(origin: Origin, url: str, answer: Answer) -> bool:
    if None not in {origin.total, answer.total} and origin.total != answer.total:
        return False
    comparable = origin.url == url and origin.validator and answer.validator
    return not comparable or origin.validator == answer.validator


def _no_room(path: Path, reason: str) -> str:
    return (
        f"cannot write {path}: {reason}; make room and run again, what has arrived is kept and "
        "continued"
    )
