"""Words that compute on lines, point by point or all lines into one."""

import math

from breakwater.metrics.language.expressions import (
    Aggregate,
    Binary,
    Clamp,
    Constant,
    Expression,
    LineAggregate,
    Unary,
    check_joinable,
)
from breakwater.metrics.language.operators import BINARY, UNARY
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.wrapped import Renamed


@word("const", "value:Double -- Expr")
def const(value: float) -> Expression:
    """One number at every point."""
    return Constant(value)


@word("pi", "-- Expr")
def pi() -> Expression:
    """The circle's number."""
    return Constant(math.pi)


def transform(lines: Expression, name: str) -> Expression:
    """An expression by a unary word; a constant becomes another one at once."""
    if isinstance(lines, Constant) and name in UNARY:
        return Constant(float(UNARY[name](lines.value)))
    return Unary(lines, name)


def _declare_unary(name: str) -> None:
    @word(name, "lines:Expr -- Expr")
    def unary(lines: Expression) -> Expression:
        """Transform each value."""
        return transform(lines, name)


for _name in UNARY:
    _declare_unary(_name)
_declare_unary("per-step")


def combine(left: Expression, right: Expression, name: str) -> Expression:
    """Two expressions by a binary word; two constants become one at once.

    Raises QueryValueError when neither is grouped by some of the other's keys.
    """
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Constant(float(BINARY[name](left.value, right.value)))
    check_joinable(left.grouping, right.grouping)
    return Binary(left, right, name)


def _declare_binary(name: str) -> None:
    @word(name, "left:Expr right:Expr -- Expr")
    def binary(left: Expression, right: Expression) -> Expression:
        """Combine two expressions line by line and point by point."""
        return combine(left, right, name)


for _name in BINARY:
    _declare_binary(_name)


def _declare_clamp(name: str) -> None:
    @word(name, "lines:Expr bound:Double -- Expr")
    def clamp(lines: Expression, bound: float) -> Expression:
        """Hold values at or above (clamp-min) or at or below (clamp-max) a bound."""
        return Clamp(lines, bound, name)


for _name in ("clamp-min", "clamp-max"):
    _declare_clamp(_name)


def fold(lines: Expression, function: str) -> Expression:
    """Fold lines into one; folding the one line of an aggregate changes nothing but its count."""
    if isinstance(lines, Aggregate) and function != "count":
        return lines
    return LineAggregate(lines, function)


def _declare_fold(name: str) -> None:
    @word(name, "lines:Expr -- Expr")
    def line_aggregate(lines: Expression) -> Expression:
        """Fold all lines into one."""
        return fold(lines, name)


for _name in ("sum", "count", "min", "max"):
    _declare_fold(_name)


def _sine(lines: Expression) -> Expression:
    return transform(lines, "sin")


def _cosine(lines: Expression) -> Expression:
    return _sine(combine(Constant(math.pi / 2), lines, "sub"))


@word("cos", "lines:Expr -- Expr")
def cos(lines: Expression) -> Expression:
    """The cosine of each value, in radians."""
    return _cosine(lines)


@word("tan", "lines:Expr -- Expr")
def tan(lines: Expression) -> Expression:
    """The tangent of each value, in radians."""
    return combine(_sine(lines), _cosine(lines), "div")


@word("cot", "lines:Expr -- Expr")
def cot(lines: Expression) -> Expression:
    """The cotangent of each value, in radians."""
    return combine(_cosine(lines), _sine(lines), "div")


@word("sec", "lines:Expr -- Expr")
def sec(lines: Expression) -> Expression:
    """The reciprocal of the cosine of each value, in radians."""
    return combine(Constant(1.0), _cosine(lines), "div")


@word("csc", "lines:Expr -- Expr")
def csc(lines: Expression) -> Expression:
    """The reciprocal of the sine of each value, in radians."""
    return combine(Constant(1.0), _sine(lines), "div")


@word("as", "lines:Expr original:String replacement:String -- Expr")
def as_(lines: Expression, original: str, replacement: str) -> Expression:
    """Call a tag key of the lines differently."""
    return Renamed(lines, original, replacement)
