"""Downloads that go on where they stopped."""

import hashlib
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from retrieval_core.download.files import Receipt, RemoteFile, read_receipt, write_receipt
from retrieval_core.errors import ChecksumError, DownloadError

Progress = Callable[[int, int], None]


def download(file: RemoteFile, folder: Path, *, progress: Progress | None = None) -> Receipt:
    """A file from the first mirror that has it whole and right."""
    target = folder / file.name
    kept = read_receipt(folder, file.name)
    if kept is not None and target.is_file() and target.stat().st_size == kept.size:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in file.urls:
        try:
            with urllib.request.urlopen(url) as response:
                content = response.read()
        except OSError as error:
            failures.append(f"  {url}: {error}")
            continue
        digest = hashlib.sha256(content).hexdigest()
        if file.sha256 not in (None, digest):
            failures.append(f"  {url}: SHA-256 is {digest}, not {file.sha256}")
            continue
        target.write_bytes(content)
        receipt = Receipt(file.name, len(content), digest, url, file.sha256 is not None)
        write_receipt(folder, receipt)
        if progress:
            progress(len(content), len(content))
        return receipt
    raise DownloadError("\n".join([f"{file.name} cannot be had; put it at {target}", *failures]))


def download_all(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    parallel: int = 4,
    progress: Progress | None = None,
) -> list[Receipt]:
    """Several files."""
    return [download(file, folder, progress=progress) for file in files]


def verify(file: RemoteFile, folder: Path, *, progress: Progress | None = None) -> Receipt:
    """Read a file again and compare it with its digest."""
    kept = read_receipt(folder, file.name)
    content = (folder / file.name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    expected = file.sha256 or (kept.sha256 if kept else None)
    if expected not in (None, digest):
        raise ChecksumError(f"{folder / file.name}: SHA-256 is {digest}, not {expected}")
    return kept or Receipt(file.name, len(content), digest, "", file.sha256 is not None)
