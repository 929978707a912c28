"""Words that compute on lines."""

import math
from collections.abc import Callable

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.escapes import number_text
from breakwater.metrics.language.expressions import (
    Aggregate,
    Binary,
    Clamp,
    Constant,
    Expression,
    GroupBy,
    LineAggregate,
    Percentiles,
    Unary,
)
from breakwater.metrics.language.query import Equal, In, Query, both
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import PROGRAMS, add_keys, group_by, named
from breakwater.metrics.language.words.data import checked_keys
from breakwater.metrics.operators import BINARY, UNARY


@word("const", "value:Double -- Expr")
def const(value: float) -> Expression:
    """One number at every point."""
    return Constant(value)


@word("pi", "-- Expr")
def pi() -> Expression:
    """The circle's number."""
    return Constant(math.pi)


def _declare_unary(name: str) -> None:
    @word(name, "lines:Expr -- Expr")
    def unary(lines: Expression) -> Expression:
        if isinstance(lines, Constant) and name != "per-step":
            return Constant(float(UNARY[name](lines.value)))
        return Unary(lines, name)


for _name in UNARY:
    _declare_unary(_name)
_declare_unary("per-step")


def _declare_binary(name: str) -> None:
    @word(name, "left:Expr right:Expr -- Expr")
    def binary(left: Expression, right: Expression) -> Expression:
        if isinstance(left, Constant) and isinstance(right, Constant):
            return Constant(float(BINARY[name](left.value, right.value)))
        return Binary(left, right, name)


for _name in BINARY:
    _declare_binary(_name)


def _declare_clamp(name: str) -> None:
    @word(name, "lines:Expr bound:Double -- Expr")
    def clamp(lines: Expression, bound: float) -> Expression:
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
        return fold(lines, name)


for _name in ("sum", "count", "min", "max"):
    _declare_fold(_name)


@word("by", "lines:Expr keys:StringList -- Expr")
def by(lines: Expression, keys: list[str]) -> Expression:
    """Group an expression that is more than an aggregate."""
    return group_by(lines, checked_keys(keys))


@word("cg", "lines:Expr keys:StringList -- Expr")
def cg(lines: Expression, keys: list[str]) -> Expression:
    """Add keys to every grouping of an expression."""
    widened = add_keys(lines, checked_keys(keys))
    assert isinstance(widened, Expression)
    return widened


def _average(original: Query | Expression) -> Expression:
    if isinstance(original, Query):
        return Binary(Aggregate(original), Aggregate(original, function="count"), "div")
    return Binary(fold(original, "sum"), fold(original, "count"), "div")


def _share(original: Query | Expression) -> Expression:
    lines = Aggregate(original) if isinstance(original, Query) else original
    return Binary(Binary(lines, fold(lines, "sum"), "div"), Constant(100.0), "mul")


def _mean_amount(original: Query | Expression) -> Expression:
    assert isinstance(original, Query)
    totals = both(In("statistic", ("totalTime", "totalAmount")), original)
    counts = both(Equal("statistic", "count"), original)
    return Binary(Aggregate(totals), Aggregate(counts), "div")


def _greatest_amount(original: Query | Expression) -> Expression:
    assert isinstance(original, Query)
    return Aggregate(both(Equal("statistic", "max"), original), function="max")


def _declare_named(
    name: str, signature: str, program: Callable[[Query | Expression], Expression]
) -> None:
    PROGRAMS[name] = program

    @word(name, signature)
    def apply(operand: Query | Expression) -> Expression:
        return named(name, operand)


_declare_named("avg", "query:Query -- Expr", _average)
_declare_named("avg", "lines:Expr -- Expr", _average)
_declare_named("pct", "lines:Expr -- Expr", _share)
_declare_named("dist-avg", "query:Query -- Expr", _mean_amount)
_declare_named("dist-max", "query:Query -- Expr", _greatest_amount)


@word("percentiles", "data:GroupedData percents:StringList -- Expr")
def percentiles(data: Aggregate | GroupBy, percents: list[str]) -> Expression:
    """Estimate percentiles from bucket counts; group the data before, not after."""
    values = sorted({_percent(text) for text in percents})
    if not values:
        raise QueryValueError("the list of percentiles is empty; name at least one, 0 to 100")
    return _estimates(data, tuple(values))


def _estimates(data: Aggregate | GroupBy, percents: tuple[float, ...]) -> Expression:
    inner = data.inner if isinstance(data, GroupBy) else data
    keys = data.keys if isinstance(data, GroupBy) else ()
    summed = Aggregate(inner.query, inner.consolidation, inner.offset_ms)
    wider = (*(key for key in keys if key != "percentile"), "percentile")
    return Percentiles(GroupBy(summed, wider), percents)


@word("median", "data:GroupedData -- Expr")
def median(data: Aggregate | GroupBy) -> Expression:
    """The percentile 50."""
    return _estimates(data, (50.0,))


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise QueryValueError(f"'{text}' is not a percentile; expected 0 to 100") from error
    if not 0.0 <= value <= 100.0:
        raise QueryValueError(f"invalid percentile {number_text(value)}; expected 0 to 100")
    return value
