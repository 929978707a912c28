"""Words that change whole expressions, and words that stand for a longer program."""

from collections.abc import Callable

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import (
    Aggregate,
    Binary,
    Constant,
    Expression,
    Unary,
)
from breakwater.metrics.language.kinds import KINDS, Item
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.named import Meaning, NamedRewrite
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import add_keys, group_by, named
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.words.data import checked_keys
from breakwater.metrics.language.words.math import fold
from breakwater.metrics.selection.query import Equal, In, Query, both


@word("by", "lines:Expr keys:StringList -- Expr")
def by(lines: Expression, keys: list[str]) -> Expression:
    """Group an expression that is more than an aggregate."""
    return group_by(lines, checked_keys(keys))


@word("cg", "lines:Expr keys:StringList -- Expr")
def cg(lines: Expression, keys: list[str]) -> Expression | Styled:
    """Add keys to every grouping of an expression."""
    return add_keys(lines, checked_keys(keys))


@word("named-rewrite", "original:Any rewritten:Expr name:String -- Expr", needs_machine=True)
def named_rewrite(machine: Machine, original: Item, rewritten: Expression, name: str) -> Expression:
    """Let an expression print as `original,:name`; for words that are defined by other words."""
    if name not in machine.macros and not any(
        each.is_rewrite for each in machine.words.get(name, ())
    ):
        raise QueryValueError(
            f"'{name}' is neither the word being run nor one that prints as itself; "
            "only such a name can be read back"
        )
    bare = original.inner if isinstance(original, Styled) else original
    if not isinstance(bare, Query | Expression):
        bare = KINDS["Expr"](bare)
    if not isinstance(bare, Query | Expression):
        raise QueryValueError("the original must be a query or an expression")
    return NamedRewrite(Meaning(name), bare, rewritten)


def declare_named(
    name: str, signature: str, program: Callable[[Query | Expression], Expression]
) -> None:
    """Declare a word that prints as itself and is worked out as `program` says."""
    meaning = Meaning(name, program)

    def apply(operand: Query | Expression) -> Expression:
        return named(meaning, operand)

    apply.__doc__ = program.__doc__
    apply.__module__ = program.__module__
    word(name, signature, is_rewrite=True)(apply)


def declare_named_lines(name: str, program: Callable[[Query | Expression], Expression]) -> None:
    """Declare a named word that takes a bare query, which keeps its text, or lines."""
    declare_named(name, "query:Query -- Expr", program)
    declare_named(name, "lines:Expr -- Expr", program)


def lines_of(original: Query | Expression) -> Expression:
    """A query as its sum."""
    return Aggregate(original) if isinstance(original, Query) else original


def _average(original: Query | Expression) -> Expression:
    """Sum divided by count, over series or over lines."""
    if isinstance(original, Query):
        return Binary(Aggregate(original), Aggregate(original, function="count"), "div")
    return Binary(fold(original, "sum"), fold(original, "count"), "div")


def _deviation(original: Query | Expression) -> Expression:
    """Standard deviation of the lines at each point, as if they were all there are.

    (N * sum(x^2) - sum(x)^2) / N^2, square root taken; missing values stay missing.
    """
    lines = Binary(lines_of(original), Constant(0.0), "fadd")
    count = fold(lines, "count")
    squares = fold(Binary(lines, lines, "mul"), "sum")
    total = fold(lines, "sum")
    above = Binary(Binary(count, squares, "mul"), Binary(total, total, "mul"), "sub")
    return Unary(Binary(above, Binary(count, count, "mul"), "div"), "sqrt")


def _share(original: Query | Expression) -> Expression:
    """Each line as a percentage of the sum of all lines."""
    lines = lines_of(original)
    return Binary(Binary(lines, fold(lines, "sum"), "div"), Constant(100.0), "mul")


declare_named_lines("avg", _average)
declare_named_lines("stddev", _deviation)
declare_named_lines("pct", _share)


def _with_statistic(original: Query | Expression, *names: str) -> Query:
    assert isinstance(original, Query)
    wanted = In("statistic", names) if len(names) > 1 else Equal("statistic", names[0])
    return both(wanted, original)


def _mean_amount(original: Query | Expression) -> Expression:
    """Mean of what a timer or distribution summary measured."""
    totals = Aggregate(_with_statistic(original, "totalTime", "totalAmount"))
    return Binary(totals, Aggregate(_with_statistic(original, "count")), "div")


def _greatest_amount(original: Query | Expression) -> Expression:
    """Greatest amount a timer or distribution summary measured."""
    return Aggregate(_with_statistic(original, "max"), function="max")


def _deviation_of_amounts(original: Query | Expression) -> Expression:
    """Standard deviation of what a timer or distribution summary measured."""
    count = Aggregate(_with_statistic(original, "count"))
    squares = Aggregate(_with_statistic(original, "totalOfSquares"))
    total = Aggregate(_with_statistic(original, "totalAmount", "totalTime"))
    above = Binary(Binary(count, squares, "mul"), Binary(total, total, "mul"), "sub")
    return Unary(Binary(above, Binary(count, count, "mul"), "div"), "sqrt")


declare_named("dist-avg", "query:Query -- Expr", _mean_amount)
declare_named("dist-max", "query:Query -- Expr", _greatest_amount)
declare_named("dist-stddev", "query:Query -- Expr", _deviation_of_amounts)
