"""Reading and writing memory by its address, inside compiled loops.

Packed rows lie at odd addresses of many arrays; a loop that is handed a table of addresses walks
all of them in one call. Whoever makes such a table keeps the arrays alive while it is in use.
Each function here is one instruction of the machine. Addresses and numbers are int64, words are
uint64.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from llvmlite import ir  # type: ignore[import-untyped] # it carries no types
from numba import types
from numba.extending import intrinsic

Number = Any
"""An integer of compiled code, which has some of its own."""
Loaded = Callable[[Any], Any]

_WORD: Final = ir.IntType(64)
_NO: Final = ir.IntType(1)(0)
_FLOATS: Final[Any] = types.CPointer(types.float64)  # type: ignore[no-untyped-call] # as above
_NUMBERS: Final[Any] = types.CPointer(types.int64)  # type: ignore[no-untyped-call] # as above
_PREFETCH: Final = (0, 1, 1)  # to read; kept in the outer caches; data, not code


def _pointer(builder: Any, address: Any, kind: Any = _WORD) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def _load(_typing: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        word = builder.load(_pointer(builder, operands[0]))
        word.align = 1
        return word

    return types.uint64(types.int64), generate


load_word = cast("Loaded", _load)
"""The 8 bytes at any address as a word."""


@intrinsic
def _load_number(_typing: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        number = builder.load(_pointer(builder, operands[0]))
        number.align = 1
        return number

    return types.int64(types.int64), generate


load_number = cast("Loaded", _load_number)
"""The 8 bytes at any address as a number."""


@intrinsic
def _store(_typing: Any, _address: Any, _word: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        stored = builder.store(operands[1], _pointer(builder, operands[0]))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


store_word = cast("Callable[[Any, Any], None]", _store)
"""Write a word to any address."""


@intrinsic
def _prefetch(_typing: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], fnty=kind)
        flags = [flag(each) for each in _PREFETCH]
        builder.call(function, [_pointer(builder, operands[0], ir.IntType(8)), *flags])
        return context.get_dummy_value()

    return types.void(types.int64), generate


prefetch = cast("Loaded", _prefetch)
"""Have the memory at an address on its way before it is needed."""


@intrinsic
def _floats(_typing: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return _pointer(builder, operands[0], ir.DoubleType())

    return _FLOATS(types.int64), generate


float_pointer = cast("Loaded", _floats)
"""An address as what `numba.carray` takes for an array of float64."""


@intrinsic
def _numbers(_typing: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return _pointer(builder, operands[0])

    return _NUMBERS(types.int64), generate


number_pointer = cast("Loaded", _numbers)
"""An address as what `numba.carray` takes for an array of int64."""


@intrinsic
def _float_of(_typing: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.bitcast(operands[0], ir.DoubleType())

    return types.float64(types.int64), generate


float_of = cast("Loaded", _float_of)
"""The float64 that has the bits of a number."""


@intrinsic
def _bits_of(_typing: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.bitcast(operands[0], _WORD)

    return types.int64(types.float64), generate


bits_of = cast("Loaded", _bits_of)
"""The bits of a float64 as a number."""


@intrinsic
def _bit_length(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.sub(_WORD(64), builder.ctlz(operands[0], _NO))

    return types.int64(types.uint64), generate


bit_length = cast("Loaded", _bit_length)
"""How many bits a word takes; 0 for 0."""


@intrinsic
def _trailing(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.cttz(operands[0], _NO)

    return types.int64(types.uint64), generate


trailing_zeros = cast("Loaded", _trailing)
"""How many of the lowest bits of a word are 0; 64 for 0."""


@intrinsic
def _ones(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        return builder.ctpop(operands[0])

    return types.int64(types.uint64), generate


ones_in = cast("Loaded", _ones)
"""How many bits of a word are 1."""
