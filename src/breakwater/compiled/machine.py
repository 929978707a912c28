"""Single machine instructions that numba does not offer: memory by its address, and bits.

Packed rows lie at odd addresses of many arrays, and payloads are read byte by byte; a loop that
goes by addresses neither counts references nor checks bounds. So its caller compares with the size
of the data first, and keeps the arrays alive as long as anything reads at their addresses.

An address is a signed number of 64 bits, as `address_of` gives it: an unsigned one together with a
signed offset would become a float. A *number* is an int64, a *word* a uint64; a word in memory has
its lowest byte first. All of this can be called from loops only.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined] # it exports carray
from numba.extending import intrinsic
from numpy.typing import NDArray

from breakwater.compiled.loops import inlined

Number: TypeAlias = Any
"""A whole number of compiled code. It is an `int` when a constant and an `np.int64` when it comes
out of an array, which numba takes for the same and the stubs of numpy do not."""

_Built: TypeAlias = Any  # what LLVM and numba build code from; neither has types for it

_BIT: Final = ir.IntType(1)
_BYTE: Final = ir.IntType(8)
_FLAG: Final = ir.IntType(32)
_WORD: Final = ir.IntType(64)
_WIDE: Final = ir.IntType(128)
_DOUBLE: Final = ir.DoubleType()
_PREFETCH: Final = (0, 1, 1)  # to read; kept in the outer caches; data, not code

_spliced: Final = njit(nogil=True, error_model="numpy", inline="always")
"""For what returns an array: inlined before numba counts references to it."""


def _instruction(result: _Built, takes: tuple[_Built, ...], build: Callable[..., _Built]) -> _Built:
    """What loops may call, from a function of LLVM's builder and operands that gives the result."""

    def generate(context: _Built, builder: _Built, _: _Built, operands: _Built) -> _Built:
        built = build(builder, *operands)
        return context.get_dummy_value() if result is types.void else built

    signature = result(*takes)
    if len(takes) == 1:
        return intrinsic(lambda typing, one: (signature, generate))  # noqa: ARG005 - numba reads the names of the arguments
    return intrinsic(lambda typing, one, other: (signature, generate))  # noqa: ARG005 - as above


def _pointer(builder: _Built, address: _Built, kind: _Built = _WORD) -> _Built:
    return builder.inttoptr(address, kind.as_pointer())


def _load_byte(builder: _Built, address: _Built) -> _Built:
    return builder.zext(builder.load(_pointer(builder, address, _BYTE), align=1), _WORD)


def _load(builder: _Built, address: _Built) -> _Built:
    return builder.load(_pointer(builder, address), align=1)


def _store_byte(builder: _Built, address: _Built, word: _Built) -> None:
    builder.store(builder.trunc(word, _BYTE), _pointer(builder, address, _BYTE), align=1)


def _store_word(builder: _Built, address: _Built, word: _Built) -> None:
    builder.store(word, _pointer(builder, address), align=1)


def _prefetch(builder: _Built, address: _Built) -> None:
    byte = _BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _FLAG, _FLAG, _FLAG])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], fnty=kind)
    builder.call(function, [_pointer(builder, address, _BYTE), *map(_FLAG, _PREFETCH)])


def _high_product(builder: _Built, one: _Built, other: _Built) -> _Built:
    wide = builder.mul(builder.zext(one, _WIDE), builder.zext(other, _WIDE))
    return builder.trunc(builder.lshr(wide, _WIDE(64)), _WORD)


_ADDRESS, _NUM, _UNSIGNED = types.int64, types.int64, types.uint64

load_byte: Final = cast("Callable[[Number], int]", _instruction(_NUM, (_ADDRESS,), _load_byte))
"""The byte at an address, 0 to 255."""

load_number: Final = cast("Callable[[Number], Number]", _instruction(_NUM, (_ADDRESS,), _load))
"""The 8 bytes at an address, aligned or not, as a number."""

load_word: Final = cast(
    "Callable[[Number], np.uint64]", _instruction(_UNSIGNED, (_ADDRESS,), _load)
)
"""The 8 bytes at an address, aligned or not, as a word."""

store_byte: Final = cast(
    "Callable[[Number, np.uint64], None]",
    _instruction(types.void, (_ADDRESS, _UNSIGNED), _store_byte),
)
"""Write the lowest byte of a word to an address."""

store_word: Final = cast(
    "Callable[[Number, np.uint64], None]",
    _instruction(types.void, (_ADDRESS, _UNSIGNED), _store_word),
)
"""Write the 8 bytes of a word to an address, aligned or not."""

prefetch: Final = cast("Callable[[Number], None]", _instruction(types.void, (_ADDRESS,), _prefetch))
"""Have the memory at an address on its way before it is needed; any address will do."""

_points_to = cast("Callable[[_Built], _Built]", types.CPointer)  # it has no types
_float_pointer: Final = _instruction(
    _points_to(types.float64), (_ADDRESS,), lambda builder, at: _pointer(builder, at, _DOUBLE)
)
_number_pointer: Final = _instruction(_points_to(types.int64), (_ADDRESS,), _pointer)

high_product: Final = cast(
    "Callable[[np.uint64, np.uint64], np.uint64]",
    _instruction(_UNSIGNED, (_UNSIGNED, _UNSIGNED), _high_product),
)
"""The upper half of the product of two words."""

float_of: Final = cast(
    "Callable[[np.uint64], float]",
    _instruction(types.float64, (_UNSIGNED,), lambda builder, word: builder.bitcast(word, _DOUBLE)),
)
"""The float64 that has the bits of a word."""

bits_of: Final = cast(
    "Callable[[float], np.uint64]",
    _instruction(_UNSIGNED, (types.float64,), lambda builder, value: builder.bitcast(value, _WORD)),
)
"""The bits of a float64 as a word."""

trailing_zeros: Final = cast(
    "Callable[[np.uint64], int]",
    _instruction(_NUM, (_UNSIGNED,), lambda builder, word: builder.cttz(word, _BIT(0))),
)
"""How many of the lowest bits of a word are 0; 64 for 0."""

leading_zeros: Final = cast(
    "Callable[[np.uint64], int]",
    _instruction(_NUM, (_UNSIGNED,), lambda builder, word: builder.ctlz(word, _BIT(0))),
)
"""How many of the highest bits of a word are 0; 64 for 0."""

bit_length: Final = cast(
    "Callable[[np.uint64], int]",
    _instruction(
        _NUM,
        (_UNSIGNED,),
        lambda builder, word: builder.sub(_WORD(64), builder.ctlz(word, _BIT(0))),
    ),
)
"""How many bits a word takes; 0 for 0."""

ones_in: Final = cast(
    "Callable[[np.uint64], int]",
    _instruction(_NUM, (_UNSIGNED,), lambda builder, word: builder.ctpop(word)),
)
"""How many bits of a word are 1."""


@inlined
def address_of(array: NDArray[Any]) -> int:
    """Where the first byte of an array is, which the caller keeps alive."""
    return np.int64(array.ctypes.data)  # type: ignore[return-value]  # compiled, the two are the same


@_spliced
def floats_at(address: Number, size: Number) -> NDArray[np.float64]:
    """The memory at an address, a multiple of 8, as an array of float64."""
    return carray(_float_pointer(address), (size,))


@_spliced
def numbers_at(address: Number, size: Number) -> NDArray[np.int64]:
    """The memory at an address, a multiple of 8, as an array of int64."""
    return carray(_number_pointer(address), (size,))
