"""How much an archive may write."""

import io
from collections.abc import Callable
from pathlib import Path

from retrieval_core.errors import ArchiveError

# deflate reaches 1032 : 1 and photographs 1 : 1; text stays far below
RATIO = 100
FREE_BYTES = 1 << 26


class CountedFile(io.FileIO):
    """An archive that counts the bytes read from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self.size = path.stat().st_size
        self._read = 0

    @property
    def consumed(self) -> int:
        """Bytes read so far, never more than there are."""
        return min(self._read, self.size)

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        """As of `io.FileIO`."""
        size = super().readinto(buffer)
        self._read += size or 0
        return size


class Budget:
    """Stops an archive that grows beyond what it may, whatever its headers say.

    Args:
        archive: that is read.
        max_bytes: to write in total, or None for 100 times the archive's size (64 MiB at least).
        max_files: to write, folders and links included.
        progress: called with the bytes of the archive read and their total.
    """

    def __init__(
        self,
        archive: CountedFile,
        max_bytes: int | None,
        max_files: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._archive, self._progress = archive, progress
        self._max_bytes = max(FREE_BYTES, RATIO * archive.size) if max_bytes is None else max_bytes
        self._max_files = max_files
        self._written = self._unpacked = self._files = 0

    def take_file(self) -> None:
        """One more file.

        Raises:
            ArchiveError: one too many.
        """
        self._files += 1
        if self._files > self._max_files:
            raise ArchiveError(f"has more than the {self._max_files} files allowed (max_files)")

    def take_written(self, size: int) -> None:
        """So many more bytes written.

        Raises:
            ArchiveError: too many.
        """
        self._written += size
        if self._written > self._max_bytes:
            raise ArchiveError(
                f"unpacks to more than the {self._max_bytes} bytes allowed (max_bytes)"
            )
        self._check_ratio(self._written)
        if self._progress:
            self._progress(self._archive.consumed, self._archive.size)

    def take_unpacked(self, size: int) -> None:
        """So many more bytes decompressed, written or not.

        Raises:
            ArchiveError: too many for the bytes that were read.
        """
        self._unpacked += size
        self._check_ratio(self._unpacked)

    def _check_ratio(self, size: int) -> None:
        if size > max(FREE_BYTES, RATIO * self._archive.consumed):
            raise ArchiveError(
                f"is a decompression bomb: {self._archive.consumed} bytes become more than {size}"
            )
