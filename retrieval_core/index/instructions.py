"""Instructions of the processor that numba has no function for."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

BIT32 = ir.IntType(32)


@intrinsic
def _count_ones(_context: Any, _bits: Any) -> Any:
    """Number of ones among 64 bits."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def _widen_half(_context: Any, _half: Any) -> Any:
    """float32 of the 16 bits of a float16, which the compiler does not know as a type."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def _widen_short(_context: Any, value: Any) -> Any:
    """float32 of the 16 bits of a bfloat16; a float32 as it is."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value != types.uint16:
            return arguments[0]
        bits = builder.shl(builder.zext(arguments[0], BIT32), BIT32(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), generate


# the decorator keeps the signature of the code generator, not that of the function it makes
count_ones: Any = _count_ones
widen_half: Any = _widen_half
widen_short: Any = _widen_short
