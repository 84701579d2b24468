"""The pickles that benchmarks ship, read without running anything that they ask for."""

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_core.errors import DatasetError, UnsafePickleError

MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
# where numpy 1 and 2, Python 2 and 3 say that their things are made
MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
BUILTINS = ("__builtin__", "builtins")


class _Array(np.ndarray[Any, Any]):
    """An array whose content must be as large as its shape says, before memory is taken."""

    __slots__ = ()

    def __setstate__(self, state: Any, /) -> None:
        _version, shape, dtype, _order, content = state
        size = math.prod(shape) * (1 if dtype.char == "O" else dtype.itemsize)
        if len(content) != size:
            raise ValueError(f"an array of shape {shape} comes with {len(content)} items")
        super().__setstate__(state)


class _Maker:
    """Stands for a callable that pickles of numbers and arrays name; cannot be altered by them."""

    __slots__ = ()


class _EmptyArray(_Maker):
    """`numpy`'s `_reconstruct`: always an empty array, to be filled by `__setstate__`."""

    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array(0)


class _ArrayOfBuffer(_Maker):
    """`numpy`'s `_frombuffer`, of pickles of protocol 5."""

    __slots__ = ()

    def __call__(self, buffer: bytes, dtype: Any, shape: Any, order: Any) -> Any:
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)


class _Scalar(_Maker):
    """`numpy`'s `scalar`: a single number."""

    __slots__ = ()

    def __call__(self, dtype: Any, content: Any) -> Any:
        data = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(data, dtype, count=1)[0]


class _Encode(_Maker):
    """`_codecs.encode`: bytes, in pickles that Python 2 can read."""

    __slots__ = ()

    def __call__(self, text: str, _: object) -> bytes:
        return text.encode("latin1")


class _EmptyBytes(_Maker):
    """`bytes`, which the same pickles name where there are none."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): _Maker(),  # only ever an argument of _reconstruct
    ("_codecs", "encode"): _Encode(),
    **{(numpy, "_reconstruct"): _EmptyArray() for numpy in MULTIARRAY},
    **{(numpy, "scalar"): _Scalar() for numpy in MULTIARRAY},
    **{(numpy, "_frombuffer"): _ArrayOfBuffer() for numpy in NUMERIC},
    **{(builtins, "bytes"): _EmptyBytes() for builtins in BUILTINS},
    **{(builtins, "set"): set for builtins in BUILTINS},
    **{(builtins, "frozenset"): frozenset for builtins in BUILTINS},
}
"""All that a pickle may name; numbers, strings and other containers need no name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise UnsafePickleError(f"it asks for {module}.{name}") from None


def read_pickle(path: Path) -> Any:
    """The numbers, strings, containers and numpy arrays in a file; nothing else is ever made.

    Pickles of Python 2 are read, too: their strings become Latin-1 text.

    Args:
        path: local file of any pickle protocol.

    Raises:
        UnsafePickleError: the file names a callable or class; nothing of it was run.
        DatasetError: the file is missing, truncated or no pickle.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    try:
        _check_memo(content)
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path} is not only data: {error}. It was not run; delete the file and get the "
            "published one"
        ) from None
    except Exception as error:  # damaged pickles raise nearly anything
        raise DatasetError(
            f"{path} is truncated or no pickle ({type(error).__name__}: {error}); delete it and "
            "get it again"
        ) from error


def _check_memo(content: bytes) -> None:
    """Refuse slots beyond the file's length: the table of slots would fill the memory."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in MEMO_OPCODES and int(argument or 0) > len(content):
            raise ValueError(f"memo slot {argument} in {len(content)} bytes")
