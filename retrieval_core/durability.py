"""What has to survive a power cut."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Have a file's content, or a folder's list of names, on the disk before going on.

    Raises:
        OSError: it is not there, or the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
