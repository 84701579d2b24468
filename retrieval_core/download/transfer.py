"""Downloads that go on where they stopped."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from retrieval_core.download.answers import PATIENCE, Patience
from retrieval_core.download.digest import file_digest
from retrieval_core.download.fetching import Fetch, Progress
from retrieval_core.download.files import Receipt, RemoteFile, read_receipt, write_receipt
from retrieval_core.errors import ChecksumError, DownloadError, RetrievalError, StorageError
from retrieval_core.locking import exclusive


def download(
    file: RemoteFile,
    folder: Path,
    *,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Receipt:
    """A file from the first mirror that has it whole and right.

    What an interrupted attempt has left is continued. A finished file with its receipt is neither
    fetched nor read again; a file without one, put there by hand, is read once and gets one. What
    `file.check` refuses is not kept, and the next mirror is asked. Of
    several processes that want the same file one fetches it and the others wait.

    Args:
        file: that is wanted.
        folder: that it comes into; created if need be.
        progress: called with the bytes here and their total (0 when unknown).
        patience: with each mirror.

    Returns:
        What was received.

    Raises:
        ChecksumError: the bytes of a mirror, or of the file that is there, are not the published.
        DownloadError: no mirror has the file, each listed with its reason; or the one that is
            there is something else.
        StorageError: the disk is full; what has arrived is kept.
    """
    return _download(file, folder, progress or _nothing, patience, threading.Event())


def download_all(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    parallel: int = 4,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> list[Receipt]:
    """Several files at once; one that cannot be had does not stop the others.

    Args:
        files: that are wanted.
        folder: that they come into.
        parallel: files at a time.
        progress: called with the bytes of all files here and their total (0 until all are known).
        patience: with each mirror.

    Returns:
        One receipt per file, in their order.

    Raises:
        DownloadError: names all files that cannot be had (`ChecksumError` when each of them has
            wrong bytes).
        StorageError: the disk is full.
    """
    stop, shown = threading.Event(), _SharedProgress(files, progress or _nothing)

    def run(number: int) -> Receipt:
        try:
            return _download(files[number], folder, shown.of(number), patience, stop)
        except StorageError:
            stop.set()
            raise

    with ThreadPoolExecutor(max(1, parallel), thread_name_prefix="download") as pool:
        running = [pool.submit(run, number) for number in range(len(files))]
        try:
            failures = [task.exception() for task in running]
        except BaseException:
            stop.set()
            raise
    _raise_worst([error for error in failures if error is not None])
    return [task.result() for task in running]


def verify(file: RemoteFile, folder: Path, *, progress: Progress | None = None) -> Receipt:
    """Read a file again and compare it with the published digest, or with the received one.

    Args:
        file: to look at.
        folder: that it is in.
        progress: called with the bytes read and their total.

    Returns:
        Its receipt; a file without one gets it now.

    Raises:
        ChecksumError: the file is not what was published or received.
        DownloadError: there is no such file.
    """
    target, kept = folder / file.name, read_receipt(folder, file.name)
    if not target.is_file():
        raise DownloadError(f"{target} is missing: download it, or put a file of your own there")
    digest = _checked_digest(file, target, kept, progress)
    receipt = kept or Receipt(file.name, target.stat().st_size, digest, "", published=False)
    receipt = replace(receipt, published=file.sha256 is not None, sha256=digest)
    write_receipt(folder, receipt)
    return receipt


class _StoppedError(Exception):
    """Another file's failure, or the user, has ended this download; never leaves this module."""


class _SharedProgress:
    """Bytes of several downloads as one number."""

    def __init__(self, files: Sequence[RemoteFile], progress: Progress) -> None:
        self._done = [0] * len(files)
        self._totals = [file.size or 0 for file in files]
        self._progress, self._lock = progress, threading.Lock()

    def of(self, number: int) -> Progress:
        """The progress of one of them."""

        def show(done: int, total: int) -> None:
            with self._lock:
                self._done[number], self._totals[number] = done, total
                known = all(self._totals)
                self._progress(sum(self._done), sum(self._totals) if known else 0)

        return show


def _download(
    file: RemoteFile,
    folder: Path,
    progress: Progress,
    patience: Patience,
    stop: threading.Event,
) -> Receipt:
    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise _StoppedError

    def show(done: int, total: int) -> None:
        if stop.is_set():
            raise _StoppedError
        progress(done, total)

    wait(0)
    folder.mkdir(parents=True, exist_ok=True)
    receipt = _received(file, folder)
    if receipt is None:
        with exclusive(folder / f".lock-{file.name}", wait):
            receipt = _received(file, folder)
            if receipt is None and (folder / file.name).exists():
                receipt = _brought(file, folder, show)
            if receipt is None:
                fetch = Fetch(file, folder, patience=patience, progress=show, wait=wait)
                return fetch.run()
    progress(receipt.size, receipt.size)
    return receipt


def _brought(file: RemoteFile, folder: Path, progress: Progress) -> Receipt:
    """The receipt of a file that somebody put there, or that was changed since it came."""
    target = folder / file.name
    if file.check is not None and read_receipt(folder, file.name) is None:
        try:
            file.check(target)
        except StorageError:
            raise
        except RetrievalError as error:
            raise DownloadError(
                f"{target} is not {file.name}: {error}\nPut a right one there, or delete it and it "
                "is downloaded"
            ) from error
    return verify(file, folder, progress=progress)


def _received(file: RemoteFile, folder: Path) -> Receipt | None:
    kept, target = read_receipt(folder, file.name), folder / file.name
    if kept is None or not target.is_file() or target.stat().st_size != kept.size:
        return None
    if file.sha256 is None:
        return kept
    return replace(kept, published=True) if kept.sha256 == file.sha256.lower() else None


def _checked_digest(
    file: RemoteFile, target: Path, kept: Receipt | None, progress: Progress | None
) -> str:
    size, digest = target.stat().st_size, file.sha256
    expected_size, source = file.size, "published"
    if digest is None and kept is not None:
        expected_size, digest, source = kept.size, kept.sha256, "received"
    if expected_size not in {None, size}:
        raise _altered(target, f"{size} bytes, {source} were {expected_size}")
    actual = file_digest(target, progress)
    if digest is not None and actual != digest.lower():
        raise _altered(target, f"SHA-256 {actual}, {source} was {digest}")
    return actual


def _altered(target: Path, difference: str) -> ChecksumError:
    return ChecksumError(f"{target} has {difference}; delete it and download it again")


def _raise_worst(failures: Sequence[BaseException]) -> None:
    for error in failures:
        if not isinstance(error, DownloadError | _StoppedError):
            raise error
    lost = [error for error in failures if isinstance(error, DownloadError)]
    if len(lost) == 1:
        raise lost[0]
    if lost:
        kind = ChecksumError if all(isinstance(e, ChecksumError) for e in lost) else DownloadError
        raise kind("\n".join([f"{len(lost)} files cannot be had.", *map(str, lost)]))


def _nothing(done: int, total: int) -> None:
    """Progress that nobody looks at."""
