"""One process at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.1


@contextmanager
def exclusive(path: Path, wait: Callable[[float], None]) -> Iterator[None]:
    """Hold a lock file; others wait until it is released, or its holder has died.

    Args:
        path: of the lock file; it is there only while somebody holds it.
        wait: called with seconds while another one holds the lock; may raise.
    """
    while (descriptor := _take(path)) is None:
        wait(_PAUSE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _take(path: Path) -> int | None:
    """A descriptor that holds the lock; None while another one holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        # the one before has deleted the file between the two calls: it is free
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
