"""An expression as a formula, the way people write one down.

`sum by (nf.app) {name = "errors"} / sum by (nf.app) {name = "requests"} * 100`: for reading, not
for asking; the language has no parser for it. Parentheses stand only where they are needed.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.language.expressions import (
    Aggregate,
    All,
    Binary,
    Clamp,
    Constant,
    DataExpression,
    Expression,
    GroupBy,
    LineAggregate,
    LineGroupBy,
    Percentiles,
    Unary,
)
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.wrapped import (
    Consolidated,
    Distinct,
    Filtered,
    Ranked,
    Renamed,
    Stateful,
    Statistic,
    StatisticOf,
)
from breakwater.metrics.selection.query import (
    And,
    Compare,
    Equal,
    HasKey,
    In,
    Not,
    Or,
    Query,
    Regex,
)
from breakwater.metrics.selection.selection import DEFAULT_CONSOLIDATION

_OPERATORS: Final = {
    "or": ("or", 1),
    "and": ("and", 2),
    "gt": (">", 3),
    "ge": (">=", 3),
    "lt": ("<", 3),
    "le": ("<=", 3),
    "add": ("+", 4),
    "sub": ("-", 4),
    "mul": ("*", 5),
    "div": ("/", 5),
    "pow": ("^", 7),
}
"""Binary words with a sign of their own, and how strongly it binds; the others are functions."""

_NEGATION: Final = 6
_ATOM: Final = 9
_SIGNS: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class Formula(msgspec.Struct, frozen=True):
    """Part of a formula and how strongly what stands outermost in it binds."""

    text: str
    binds: int = _ATOM

    def within(self, binds: int) -> str:
        """The text, in parentheses where it binds less than its surroundings."""
        return self.text if self.binds >= binds else f"({self.text})"


def infix(item: Styled | Expression) -> str:
    """The formula of an expression, a styled one with its style behind bars."""
    if isinstance(item, Styled):
        style = [f" | {name} {quoted(value)}" for name, value in sorted(item.settings)]
        return formula(item.inner).text + "".join(style)
    return formula(item).text


def condition(query: Query) -> Formula:
    """A query as conditions joined by `and` and `or`."""
    match query:
        case And(left, right):
            return Formula(f"{condition(left).within(2)} and {condition(right).within(2)}", 2)
        case Or(left, right):
            return Formula(f"{condition(left).within(1)} or {condition(right).within(1)}", 1)
        case Not(inner):
            return Formula(f"not {condition(inner).within(3)}", 3)
        case _:
            return Formula(_about_a_key(query))


def _about_a_key(query: Query) -> str:
    match query:
        case Equal(key, value):
            return f"{key} = {quoted(value)}"
        case Compare(key, value, word):
            return f"{key} {_SIGNS[word]} {quoted(value)}"
        case Regex(key, pattern):
            sign = "~*" if pattern.ignores_case else "~"
            return f"{key} {sign} {quoted('^' + pattern.source)}"
        case In(key, values):
            return f"{key} in ({', '.join(map(quoted, values))})"
        case HasKey(key):
            return f"has {key}"
        case _:
            return query.label()


def quoted(text: str) -> str:
    """Text between quotation marks, as JSON writes it."""
    return msgspec.json.encode(text).decode()


def plain(number: float) -> str:
    """A number as people write it: whole ones without a point."""
    return repr(float(number)).removesuffix(".0")


def formula(part: Expression) -> Formula:
    """An expression as a formula."""
    return _FORMS[type(part)](part)


def _data(part: DataExpression) -> Formula:
    return Formula(f"{part.kind} {{{condition(part.query).text}}}{_when(part)}")


def _group_by(part: GroupBy) -> Formula:
    data = part.inner
    keys = ", ".join(part.keys)
    return Formula(f"{data.kind} by ({keys}) {{{condition(data.query).text}}}{_when(data)}")


def _when(part: DataExpression) -> str:
    suffix = ""
    if part.consolidated_by != DEFAULT_CONSOLIDATION[part.kind]:
        suffix += f" over time {part.consolidated_by}"
    return suffix + (f" offset {duration_text(part.offset_ms)}" if part.offset_ms else "")


def _constant(part: Constant) -> Formula:
    text = plain(part.value)
    return Formula(text, _NEGATION if text.startswith("-") else _ATOM)


def _unary(part: Unary) -> Formula:
    if part.word == "neg":
        return Formula(f"-{formula(part.inner).within(_NEGATION)}", _NEGATION)
    return _call(part.word, part.inner)


def _binary(part: Binary) -> Formula:
    known = _OPERATORS.get(part.word)
    if known is None:
        return _call(part.word, part.left, part.right)
    sign, binds = known
    left, right = formula(part.left), formula(part.right)
    # `a - (b - c)` is not `a - b - c`: on its right side an operator needs something stronger.
    return Formula(f"{left.within(binds)} {sign} {right.within(binds + 1)}", binds)


def _named(part: NamedRewrite) -> Formula:
    by = f" by ({', '.join(part.keys)})" if part.keys else ""
    when = f" offset {duration_text(part.offset_ms)}" if part.offset_ms else ""
    if isinstance(part.original, Query):
        return Formula(f"{part.name}{by} {{{condition(part.original).text}}}{when}")
    given = ", ".join((formula(part.original).text, *part.arguments))
    return Formula(f"{part.name}{by} ({given}){when}")


def _line_group_by(part: LineGroupBy) -> Formula:
    inner = formula(part.inner.inner).text
    return Formula(f"{part.inner.function} by ({', '.join(part.keys)}) ({inner})")


def _percentiles(part: Percentiles) -> Formula:
    listed = ", ".join(map(plain, part.percents))
    data = part.inner.inner
    by = f" by ({', '.join(part.own_keys)})" if part.own_keys else ""
    return Formula(f"percentiles [{listed}]{by} {{{condition(data.query).text}}}{_when(data)}")


def _filtered(part: Filtered) -> Formula:
    return Formula(f"{formula(part.inner).within(1)} where {formula(part.condition).within(1)}", 0)


def _ranked(part: Ranked) -> Formula:
    return _call(part.word, part.inner, str(part.count), part.statistic)


def _consolidated(part: Consolidated) -> Formula:
    return _call("consolidate", part.inner, part.function, duration_text(part.length_ms))


def _stateful(part: Stateful) -> Formula:
    return _call(part.word, part.inner, *map(str, part.arguments))


def _call(name: str, *given: Expression | str) -> Formula:
    shown = [each if isinstance(each, str) else formula(each).text for each in given]
    return Formula(f"{name}({', '.join(shown)})")


_FORMS: Final[dict[type[Expression], Callable[[Any], Formula]]] = {
    Aggregate: _data,
    All: _data,
    GroupBy: _group_by,
    Constant: _constant,
    Unary: _unary,
    Clamp: lambda part: _call(part.word, part.inner, plain(part.bound)),
    Binary: _binary,
    NamedRewrite: _named,
    LineAggregate: lambda part: _call(part.function, part.inner),
    LineGroupBy: _line_group_by,
    Percentiles: _percentiles,
    Distinct: lambda part: _call("approx-distinct", part.inner),
    Renamed: lambda part: _call("as", part.inner, part.original, part.replacement),
    Random: lambda part: Formula(f"random({'' if part.seed is None else part.seed})"),
    Time: lambda part: Formula(f"time({part.mode})"),
    TimeSpan: lambda part: Formula(f"time-span({part.start}, {part.end})"),
    Stateful: _stateful,
    Statistic: lambda part: _call("stat", part.inner, part.name),
    StatisticOf: lambda part: Formula(f"stat-{part.name}"),
    Filtered: _filtered,
    Ranked: _ranked,
    Consolidated: _consolidated,
}
