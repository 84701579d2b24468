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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the one before may have deleted the file between the two calls
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None
