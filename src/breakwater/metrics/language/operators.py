"""What the math words do with two values, and with one: on whole arrays, NaN = no value.

`add` and `sub` treat a missing value as nothing where the other side has one; `mul` and `div` do
not, and 0/0 is 0. Comparisons give 1 or 0 and never NaN. The `f` words are strict IEEE 754.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
SMALLEST_TRUE: Final = 1e-12


def _missing_as_zero(left: Array, right: Array) -> tuple[Array, Array]:
    is_left, is_right = ~np.isnan(left), ~np.isnan(right)
    return (
        np.where(is_right & ~is_left, 0.0, left),
        np.where(is_left & ~is_right, 0.0, right),
    )


def _add(left: Array, right: Array) -> Array:
    first, second = _missing_as_zero(left, right)
    return first + second


def _sub(left: Array, right: Array) -> Array:
    first, second = _missing_as_zero(left, right)
    return first - second


def _div(left: Array, right: Array) -> Array:
    quotient = np.asarray(left / right)
    return np.where(right == 0.0, np.where(left == 0.0, 0.0, np.nan), quotient)


def _is_true(values: Array) -> NDArray[np.bool_]:
    return np.abs(values) >= SMALLEST_TRUE


def _quiet(function: Callable[..., ArrayLike]) -> Callable[..., Array]:
    def run(*operands: ArrayLike) -> Array:
        with np.errstate(all="ignore"):
            arrays = [np.asarray(operand, dtype=np.float64) for operand in operands]
            return np.asarray(function(*arrays), dtype=np.float64)

    return run


BINARY: Final[dict[str, Callable[..., Array]]] = {
    "add": _quiet(_add),
    "sub": _quiet(_sub),
    "mul": _quiet(np.multiply),
    "div": _quiet(_div),
    "pow": _quiet(np.power),
    "fadd": _quiet(np.add),
    "fsub": _quiet(np.subtract),
    "fmul": _quiet(np.multiply),
    "fdiv": _quiet(np.divide),
    "gt": _quiet(np.greater),
    "ge": _quiet(np.greater_equal),
    "lt": _quiet(np.less),
    "le": _quiet(np.less_equal),
    "and": _quiet(lambda left, right: _is_true(left) & _is_true(right)),
    "or": _quiet(lambda left, right: _is_true(left) | _is_true(right)),
}
"""Functions of two arrays that broadcast against each other."""

UNARY: Final[dict[str, Callable[..., Array]]] = {
    "abs": _quiet(np.abs),
    "neg": _quiet(np.negative),
    "sqrt": _quiet(np.sqrt),
    "sin": _quiet(np.sin),
}
"""Functions of one array."""

CLAMP: Final[dict[str, Callable[..., Array]]] = {
    "clamp-min": _quiet(np.maximum),
    "clamp-max": _quiet(np.minimum),
}
"""Functions of an array and a bound; a missing value stays missing."""
