"""Instructions of the processor that numba has no function for."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

BIT32, POINTER = ir.IntType(32), ir.IntType(8).as_pointer()
TO_READ, SECOND_CACHE, OF_DATA = 0, 2, 1


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
def _narrow_like(_context: Any, number: Any, like: Any) -> Any:
    """The 16 bits of the float16 nearest to a float32; where it is like a float32, as it is."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if like != types.uint16:
            return arguments[0]
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return like(number, like), generate


@intrinsic
def _widen_short(_context: Any, value: Any) -> Any:
    """float32 of the 16 bits of a bfloat16; a float32 as it is."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value != types.uint16:
            return arguments[0]
        bits = builder.shl(builder.zext(arguments[0], BIT32), BIT32(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), generate


@intrinsic
def _fetch(_context: Any, _address: Any) -> Any:
    """Have the bytes at an address brought into the second cache, without waiting for them."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        module, name = builder.module, "llvm.prefetch.p0"
        kind = ir.FunctionType(ir.VoidType(), [POINTER, BIT32, BIT32, BIT32])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        place = builder.inttoptr(arguments[0], POINTER)
        builder.call(function, [place, BIT32(TO_READ), BIT32(SECOND_CACHE), BIT32(OF_DATA)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


# the decorator keeps the signature of the code generator, not that of the function it makes
count_ones: Any = _count_ones
widen_half: Any = _widen_half
narrow_like: Any = _narrow_like
widen_short: Any = _widen_short
fetch: Any = _fetch
