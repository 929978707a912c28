"""The few machine instructions that numba does not offer by itself.

An address is that of the first byte of an array (`array.ctypes.data`); nothing here checks bounds,
so every caller compares its offset with the size of the data first. Numba reads the names of the
arguments, and has no types for any of this: the casts say what compiled code may call.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it has no types
from numba import types
from numba.extending import intrinsic

_BYTE: Final = ir.IntType(8)
_WORD: Final = ir.IntType(64)
_WIDE: Final = ir.IntType(128)
_ZERO_IS_FINE: Final = ir.Constant(ir.IntType(1), 0)

_Build = Any  # LLVM's builder, its values, and numba's types


def _byte_at(_: _Build, address: _Build, offset: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        pointer = builder.inttoptr(builder.add(*args), _BYTE.as_pointer())
        return builder.zext(builder.load(pointer, align=1), _WORD)

    return types.int64(types.uintp, types.int64), code


def _word_at(_: _Build, address: _Build, offset: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        pointer = builder.inttoptr(builder.add(*args), _WORD.as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(types.uintp, types.int64), code


def _high_product(_: _Build, one: _Build, other: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        wide = builder.mul(builder.zext(args[0], _WIDE), builder.zext(args[1], _WIDE))
        return builder.trunc(builder.lshr(wide, ir.Constant(_WIDE, 64)), _WORD)

    return types.uint64(types.uint64, types.uint64), code


def _low_zeros(_: _Build, word: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        return builder.cttz(args[0], _ZERO_IS_FINE)

    return types.int64(types.uint64), code


def _high_zeros(_: _Build, word: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        return builder.ctlz(args[0], _ZERO_IS_FINE)

    return types.int64(types.uint64), code


def _double_of(_: _Build, word: _Build) -> _Build:  # noqa: ARG001 - see above
    def code(_: _Build, builder: _Build, __: _Build, args: _Build) -> _Build:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), code


byte_at: Final = cast("Callable[[int, int], int]", intrinsic(_byte_at))
"""The byte at an address and offset, as an int64."""

word_at: Final = cast("Callable[[int, int], np.uint64]", intrinsic(_word_at))
"""The eight bytes from an address and offset on, the first of them lowest; aligned or not."""

high_product: Final = cast("Callable[[np.uint64, np.uint64], np.uint64]", intrinsic(_high_product))
"""The upper half of the product of two words."""

low_zeros: Final = cast("Callable[[np.uint64], int]", intrinsic(_low_zeros))
"""How many of the lowest bits are zero, before the first that is not."""

high_zeros: Final = cast("Callable[[np.uint64], int]", intrinsic(_high_zeros))
"""How many of the highest bits are zero, before the first that is not."""

double_of: Final = cast("Callable[[np.uint64], float]", intrinsic(_double_of))
"""The double that has these bits."""
