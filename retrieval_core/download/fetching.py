"""One file from its mirrors, in as many attempts as it takes."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from retrieval_core.download.answers import (
    BLOCK,
    Answer,
    MirrorError,
    Patience,
    RangeError,
    WrongBytesError,
    WrongContentError,
    check_start,
)
from retrieval_core.download.digest import BackgroundDigest
from retrieval_core.download.files import Receipt, RemoteFile, write_receipt
from retrieval_core.download.mirrors import ask
from retrieval_core.download.pace import steady
from retrieval_core.download.part import PartFile
from retrieval_core.download.times import backoff
from retrieval_core.errors import ChecksumError, DownloadError, RetrievalError, StorageError

Progress = Callable[[int, int], None]

# an attempt that brings less has brought nothing: a mirror may not cut off, or trickle, for ever
_WORTHWHILE = 1 << 16


class Fetch:
    """The fetching of one file, alone in its folder under that name.

    Args:
        file: that is wanted.
        folder: that it comes into.
        patience: with each mirror.
        progress: called with the bytes here and their total (0 when unknown).
        wait: called with the seconds between two attempts.
    """

    def __init__(
        self,
        file: RemoteFile,
        folder: Path,
        *,
        patience: Patience,
        progress: Progress,
        wait: Callable[[float], None],
    ) -> None:
        self._file, self._target = file, folder / file.name
        self._patience, self._progress, self._wait = patience, progress, wait
        self._part = PartFile(file, folder)
        self._digest = BackgroundDigest()

    def run(self) -> Receipt:
        """The receipt of the whole file, now in its folder.

        Raises:
            ChecksumError: no mirror has it, and one sent bytes with another digest.
            DownloadError: no mirror has it.
            StorageError: the disk is full.
        """
        with self._part, self._digest:
            self._read_part()
            failures: dict[str, MirrorError] = {}
            for url in self._file.urls:
                try:
                    return self._from_mirror(url)
                except MirrorError as error:
                    failures[url] = error
        raise _all_failed(self._file, self._target, failures)

    def _read_part(self) -> None:
        if self._part.total is not None and self._part.size > self._part.total:
            self._restart()
        total, done = self._part.total or 0, 0
        with self._part.path.open("rb", buffering=0) as stream:
            while block := stream.read(BLOCK):
                self._digest.update(block)
                done += len(block)
                self._progress(done, total)

    def _from_mirror(self, url: str) -> Receipt:
        furthest, fruitless = 0, 0
        while True:
            start = self._part.size
            try:
                return self._attempt(url)
            except MirrorError as error:
                gained = self._part.size - max(furthest, min(start, self._part.size))
                furthest = max(furthest, self._part.size)
                fruitless = 0 if gained >= _WORTHWHILE else fruitless + 1
                if isinstance(error, RangeError):
                    self._restart()
                if not error.again or fruitless >= self._patience.attempts:
                    raise
                self._wait(self._seconds(error, fruitless))

    def _seconds(self, error: MirrorError, fruitless: int) -> float:
        if error.wait is not None:
            return error.wait
        if fruitless == 0:
            return 0.0
        return backoff(fruitless, self._patience.first_wait, self._patience.longest_wait)

    def _attempt(self, url: str) -> Receipt:
        if not self._part.is_whole():
            start, validator = self._part.continuation(url)
            answer = ask(
                url, self._file.name, start=start, validator=validator, patience=self._patience
            )
            with closing(answer):
                self._receive(url, answer)
        return self._finish(url)

    def _receive(self, url: str, answer: Answer) -> None:
        blocks = steady(answer.blocks(), self._patience)
        first = next(blocks, b"")
        if answer.start == 0:
            check_start(first, self._file.name)
        if None not in {self._file.size, answer.total} and self._file.size != answer.total:
            raise MirrorError(f"has {answer.total} bytes, published are {self._file.size}")
        if answer.start == 0:
            self._digest.restart()
        self._part.accept(url, answer)
        self._keep(first)
        for block in blocks:
            self._keep(block)
        self._check_length()

    def _keep(self, block: bytes) -> None:
        self._part.append(block)
        self._digest.update(block)
        self._progress(self._part.size, self._part.total or 0)
        if self._file.size is not None and self._part.size > self._file.size:
            self._restart()
            raise MirrorError(f"sends more than the published {self._file.size} bytes")

    def _check_length(self) -> None:
        size, total = self._part.size, self._part.total
        if size == 0 and self._file.size != 0:
            raise MirrorError("sends nothing", again=True)
        if total is not None and size != total:
            raise MirrorError(f"ends after {size} of {total} bytes", again=True)

    def _finish(self, url: str) -> Receipt:
        digest, expected = self._digest.hexdigest(), self._file.sha256
        origin = self._part.origin
        if expected is not None and digest != expected.lower():
            joined = self._part.is_joined
            self._restart()
            raise WrongBytesError(digest, expected, again=joined)
        self._check_content()
        receipt = Receipt(
            name=self._file.name,
            size=self._part.size,
            sha256=digest,
            url=origin.url if origin else url,
            published=expected is not None,
        )
        # before the file has its name: a finished file always has a receipt
        write_receipt(self._target.parent, receipt)
        self._part.finish(self._target)
        return receipt

    def _check_content(self) -> None:
        if self._file.check is None:
            return
        self._part.sync()
        try:
            self._file.check(self._part.path)
        except StorageError:
            raise
        except RetrievalError as error:
            joined = self._part.is_joined
            self._restart()
            # the part's own name means nothing to people
            reason = str(error).replace(str(self._part.path), self._file.name)
            raise WrongContentError(reason, again=joined) from error

    def _restart(self) -> None:
        self._part.restart()
        self._digest.restart()


def _all_failed(file: RemoteFile, target: Path, failures: dict[str, MirrorError]) -> DownloadError:
    wrong = any(isinstance(error, WrongBytesError) for error in failures.values())
    lines = [f"  {url}: {error}" for url, error in failures.items()]
    if not lines:
        lines = ["  there is no public mirror"]
    facts = [f"{file.size} bytes"] if file.size is not None else []
    facts += [f"SHA-256 {file.sha256}"] if file.sha256 is not None else []
    known = f" ({', '.join(facts)})" if facts else ""
    return (ChecksumError if wrong else DownloadError)(
        "\n".join(
            [
                f"{file.name} cannot be downloaded:",
                *lines,
                f"Run again later, or put a file of your own{known} at {target}",
            ]
        )
    )
