"""Room for large arrays that are about to be filled."""

import math
import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE = 1 << 22


def new_array(
    shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
) -> npt.NDArray[Any]:
    """An array of any content.

    Args:
        shape: of the array.
        dtype: of the array.
        folder: where it is put in a nameless file that the system writes out when it needs the
            memory; None: in memory.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is not None and size:
        with TemporaryFile(dir=folder) as file:
            return np.asarray(np.memmap(file, dtype, "w+", shape=shape))
    if size < LARGE:
        return np.empty(shape, dtype)
    # NumPy asks for huge pages, which the system may take seconds to make where memory is in
    # pieces, as it is after some hours
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return np.ndarray(shape, dtype, buffer=mmap.mmap(-1, size, flags=flags))
