"""SHA-256 beside the reading instead of after it."""

import hashlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

_BLOCK = 1 << 20
_BATCH = 1 << 20
_WAITING = 4


class BackgroundDigest:
    """A SHA-256 that another thread computes while this one reads on.

    Hashing a large block releases the interpreter, so both run at once. Few bytes wait, so memory
    stays small when reading is faster, and blocks go over in batches, so that the two threads
    seldom wake each other.
    """

    def __init__(self) -> None:
        self._batches: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_WAITING)
        self._batch: list[bytes] = []
        self._batch_size = 0
        self._digest = hashlib.sha256()
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.put(None)
        self._thread.join()

    def update(self, block: bytes) -> None:
        """Append bytes; returns before they are hashed."""
        self._batch.append(block)
        self._batch_size += len(block)
        if self._batch_size >= _BATCH:
            self._hand_over()

    def restart(self) -> None:
        """Forget all bytes."""
        self._settle()
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """Of all bytes so far, in hexadecimal digits."""
        self._settle()
        return self._digest.hexdigest()

    def _hand_over(self) -> None:
        self._room.acquire()
        self._batches.put(self._batch)
        self._batch, self._batch_size = [], 0

    def _settle(self) -> None:
        self._hand_over()
        # whoever has all the room knows that nothing is waiting
        for _ in range(_WAITING):
            self._room.acquire()
        self._room.release(_WAITING)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            for block in batch:
                self._digest.update(block)
            self._room.release()


def file_digest(path: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """SHA-256 of a file on disk, in hexadecimal digits.

    Args:
        path: of the file.
        progress: called with the bytes done and their total.
    """
    digest, total, buffer = hashlib.sha256(), path.stat().st_size, bytearray(_BLOCK)
    done, view = 0, memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            digest.update(view[:size])
            done += size
            if progress:
                progress(done, total)
    return digest.hexdigest()
