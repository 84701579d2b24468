"""Archives unpacked without harm."""

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from retrieval_core.errors import ArchiveError


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int | None = None,
    max_files: int = 10_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Unpack a tar or zip archive into a folder; returns the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as z:
                z.extractall(folder)
                return len(z.namelist())
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
            return len(tar.getnames())
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ArchiveError(f"{archive}: {error}") from error
