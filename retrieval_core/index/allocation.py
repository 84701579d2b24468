"""Room for large arrays that are about to be filled."""

import errno
import math
import mmap
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import StorageError

LARGE = 1 << 22
# what file systems answer that cannot set room aside
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def new_array(
    shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
) -> npt.NDArray[Any]:
    """An array of any content.

    Args:
        shape: of the array.
        dtype: of the array.
        folder: where it is put in a nameless file that the system writes out when it needs the
            memory; None: in memory.

    Raises:
        StorageError: the folder's disk has no room for it, or nothing can be written there.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is not None and size:
        try:
            with TemporaryFile(dir=folder) as file:
                _set_aside(file.fileno(), size)
                return np.asarray(np.memmap(file, dtype, "w+", shape=shape))
        except OSError as error:
            raise StorageError(
                f"cannot put {size} bytes into {folder}: {error}; make room there or name another "
                "folder"
            ) from error
    if size < LARGE:
        return np.empty(shape, dtype)
    # NumPy asks for huge pages, which the system may take seconds to make where memory is in
    # pieces, as it is after some hours
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return np.ndarray(shape, dtype, buffer=mmap.mmap(-1, size, flags=flags))


def _set_aside(descriptor: int, size: int) -> None:
    """Make a file so long; a mapped file that finds the disk full later ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
