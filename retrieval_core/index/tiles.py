"""Products of matrices in the processor's tiles (Intel AMX), from compiled loops.

A tile holds 16 rows of 64 bytes. One instruction multiplies two tiles of bfloat16 and adds the
products to one of float32. A library's product of matrices writes its result to memory before
anybody can look at it; here a block of 32 descriptors is looked at while it is in the nearest
cache, which takes a third of the time.
"""

import ctypes
import platform
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor

Array = npt.NDArray[Any]

# rows of a tile; columns of float32, and of bfloat16, in it
ROWS, WIDE, SHORT = 16, 16, 32
# descriptors, and words, that are multiplied at a time
BLOCK = 2 * ROWS
TILE_BYTES, ROW_BYTES = 1024, 64

# Linux lends the state of the tiles to a process that asks for it
ASK_FOR_STATE, REQUEST, STATE_OF_TILES = 158, 0x1023, 18

BYTE, INT64, NOTHING = ir.IntType(8), ir.IntType(64), ir.VoidType()
POINTER = BYTE.as_pointer()


@cache
def has_tiles() -> bool:
    """Whether this process may multiply tiles of bfloat16."""
    if platform.system() != "Linux" or not binding.get_host_cpu_features().get("amx-bf16"):
        return False
    return int(ctypes.CDLL(None).syscall(ASK_FOR_STATE, REQUEST, STATE_OF_TILES)) == 0


def pack_words(words: Tensor) -> Array:
    """Words in the order in which tiles take the right side of a product.

    Args:
        words: (w, d) bfloat16, w and d multiples of 32.

    Returns:
        (w / 16, d / 32, 16, 32) uint16, the bits: of 16 words, pairs of dimensions in turn.
    """
    size, dim = words.shape
    bits = words.view(torch.uint16).numpy()
    pairs = bits.reshape(size // WIDE, WIDE, dim // SHORT, ROWS, 2).transpose(0, 2, 3, 1, 4)
    return np.ascontiguousarray(pairs).reshape(size // WIDE, dim // SHORT, ROWS, SHORT)


def tile_shapes() -> Array:
    """What `multiply_block` needs to know of its eight tiles: (64,) uint8."""
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1  # the only palette there is
    shapes[16:32].view(np.uint16)[:] = ROW_BYTES
    shapes[48:56] = ROWS
    return shapes


def _emit(name: str, tiles: tuple[Any, ...], *operands: Any) -> tuple[Any, Any]:
    """Signature and generator of an instruction on tiles of these numbers."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        numbers = [BYTE(tile.literal_value) for tile in tiles]
        following = [
            builder.inttoptr(value, POINTER) if operand is POINTER else value
            for value, operand in zip(values[len(tiles) :], operands, strict=True)
        ]
        kind = ir.FunctionType(NOTHING, [BYTE] * len(tiles) + list(operands))
        module, full_name = builder.module, f"llvm.x86.{name}"
        function = module.globals.get(full_name) or ir.Function(module, kind, full_name)
        builder.call(function, numbers + following)
        return context.get_dummy_value()

    return types.void(*tiles, *[types.int64] * len(operands)), generate


@intrinsic(prefer_literal=True)
def _configure(_context: Any, _shapes: Any) -> Any:
    return _emit("ldtilecfg", (), POINTER)


@intrinsic(prefer_literal=True)
def _release(_context: Any) -> Any:
    return _emit("tilerelease", ())


@intrinsic(prefer_literal=True)
def _clear(_context: Any, tile: Any) -> Any:
    return _emit("tilezero", (tile,))


@intrinsic(prefer_literal=True)
def _load(_context: Any, tile: Any, _address: Any, _step: Any) -> Any:
    return _emit("tileloadd64", (tile,), POINTER, INT64)


@intrinsic(prefer_literal=True)
def _store(_context: Any, tile: Any, _address: Any, _step: Any) -> Any:
    return _emit("tilestored64", (tile,), POINTER, INT64)


@intrinsic(prefer_literal=True)
def _multiply_add(_context: Any, total: Any, left: Any, right: Any) -> Any:
    return _emit("tdpbf16ps", (total, left, right))


# the decorator keeps the signature of the code generator, not that of the function it makes
configure: Any = _configure
release: Any = _release
clear: Any = _clear
load: Any = _load
store: Any = _store
multiply_add: Any = _multiply_add


@numba.njit(cache=True, nogil=True)
def multiply_block(block: Array, packed: Array, products: Array, shapes: Array) -> None:
    """Multiply 32 descriptors with words.

    Args:
        block: (32, d) uint16, the bits of bfloat16.
        packed: of w words, from `pack_words`.
        products: (32, w) float32, written.
        shapes: from `tile_shapes`.
    """
    configure(shapes.ctypes.data)
    parts, width = packed.shape[1], np.int64(4 * products.shape[1])
    length = np.int64(2 * block.shape[1])
    left, right, result = block.ctypes.data, packed.ctypes.data, products.ctypes.data
    for pair in range(packed.shape[0] // 2):
        clear(0)
        clear(1)
        clear(2)
        clear(3)
        first = right + 2 * pair * parts * TILE_BYTES
        for part in range(parts):
            load(4, left + part * ROW_BYTES, length)
            load(5, left + part * ROW_BYTES + ROWS * length, length)
            load(6, first + part * TILE_BYTES, ROW_BYTES)
            load(7, first + (parts + part) * TILE_BYTES, ROW_BYTES)
            multiply_add(0, 4, 6)
            multiply_add(1, 4, 7)
            multiply_add(2, 5, 6)
            multiply_add(3, 5, 7)
        place = result + 2 * pair * ROW_BYTES
        store(0, place, width)
        store(1, place + ROW_BYTES, width)
        store(2, place + ROWS * width, width)
        store(3, place + ROWS * width + ROW_BYTES, width)
    release()
