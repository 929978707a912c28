"""Changes to whole expressions: group, restrict, shift in time, consolidate, add keys.

A named word (`:avg`, `:pct`, `:dist-avg`) prints as it was written and stands for a longer
program; a change is made to what it was applied to, and the program is made again.
"""

from collections.abc import Callable

import msgspec

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import (
    Aggregate,
    DataExpression,
    Expression,
    GroupBy,
    LineAggregate,
    LineGroupBy,
    Rewrite,
    check_subset,
)
from breakwater.metrics.language.named import Meaning, NamedRewrite
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.selection.query import Query, both

QueryChange = Callable[[Query], Query]


def named(meaning: Meaning, original: Query | Expression, *arguments: str) -> NamedRewrite:
    """Apply a named word that can be made from its operand."""
    assert meaning.make is not None
    return NamedRewrite(meaning, original, meaning.make(original, *arguments), arguments)


def group_by(expression: Expression, keys: tuple[str, ...]) -> Expression:
    """Group an expression: data by tags, lines that are grouped already by some of their keys."""
    if isinstance(expression, NamedRewrite):
        return _group_named(expression, keys)
    if isinstance(expression, LineAggregate):
        inner = expression.inner.grouping
        if not inner:
            raise QueryValueError(
                f":{expression.function} over lines can be grouped only where the lines are "
                "grouped already; put a :by before it"
            )
        check_subset(keys, inner)
        return LineGroupBy(expression, keys)
    if expression.grouping:
        check_subset(keys, expression.grouping)
        return LineGroupBy(LineAggregate(expression, "sum"), keys)
    if isinstance(expression, Aggregate):
        return GroupBy(expression, keys)

    def change(part: Expression) -> Expression | None:
        if isinstance(part, Aggregate | LineAggregate | NamedRewrite):
            return group_by(part, keys)
        return None

    return expression.rewrite(change)


def add_keys(item: Expression | Styled, keys: tuple[str, ...]) -> Expression | Styled:
    """Add keys to every grouping inside an expression."""

    def change(part: Expression) -> Expression | None:
        if isinstance(part, NamedRewrite):
            widened = part.evaluated.rewrite(change)
            return msgspec.structs.replace(part, evaluated=widened, keys=widened.grouping)
        if isinstance(part, GroupBy):
            return msgspec.structs.replace(part, keys=_joined(part.keys, keys))
        if isinstance(part, LineGroupBy):
            folded = LineAggregate(part.inner.inner.rewrite(change), part.inner.function)
            return LineGroupBy(folded, _joined(part.keys, keys))
        if isinstance(part, LineAggregate) and part.inner.grouping:
            return LineGroupBy(LineAggregate(part.inner.rewrite(change), part.function), keys)
        if isinstance(part, Aggregate):
            return GroupBy(part, keys)
        return None

    return _apply(item, change)


def _joined(keys: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    return (*keys, *(key for key in added if key not in keys))


def restrict(item: Expression | Styled, query: Query) -> Expression | Styled:
    """AND `query` into every query of an expression."""
    return rewrite_queries(item, lambda known: both(known, query))


def rewrite_queries(item: Expression | Styled, change_query: QueryChange) -> Expression | Styled:
    """Replace every query of an expression by what `change_query` makes of it."""

    def change(part: Expression) -> Expression | None:
        if isinstance(part, NamedRewrite):
            original = part.original
            changed = (
                change_query(original) if isinstance(original, Query) else original.rewrite(change)
            )
            return _remade(part, changed, change)
        if isinstance(part, DataExpression):
            return msgspec.structs.replace(part, query=change_query(part.query))
        return None

    return _apply(item, change)


def shift(item: Expression | Styled, offset_ms: int) -> Expression | Styled:
    """Read all data of an expression so much earlier; replaces earlier offsets."""

    def change(part: Expression) -> Expression | None:
        if isinstance(part, NamedRewrite):
            return _shift_named(part, offset_ms, change)
        return part.with_offset(offset_ms) if isinstance(part, DataExpression) else None

    return _apply(item, change)


def _shift_named(part: NamedRewrite, offset_ms: int, change: Rewrite) -> NamedRewrite:
    moved = part.evaluated.rewrite(change)
    if isinstance(part.original, Query):
        return msgspec.structs.replace(part, evaluated=moved, offset_ms=offset_ms)
    return msgspec.structs.replace(part, evaluated=moved, original=part.original.rewrite(change))


def consolidate_by(expression: Expression, name: str) -> Expression:
    """Set how datapoints become one in all data of an expression; named words are spelled out."""

    def change(part: Expression) -> Expression | None:
        if isinstance(part, NamedRewrite):
            return part.evaluated.rewrite(change)
        if isinstance(part, DataExpression):
            return msgspec.structs.replace(part, consolidation=name)
        return None

    return expression.rewrite(change)


def _group_named(expression: NamedRewrite, keys: tuple[str, ...]) -> Expression:
    meaning, original = expression.meaning, expression.original
    if isinstance(original, Expression) and not original.grouping and meaning.make is not None:
        return _remade(expression, group_by(original, keys), lambda _: None)
    if expression.keys:
        check_subset(keys, expression.grouping)
        return LineGroupBy(LineAggregate(expression, "sum"), keys)
    if meaning.group is None:
        grouped = group_by(expression.evaluated, keys)
    else:
        grouped = _at_offset(meaning.group(original, keys), expression.offset_ms)
    return msgspec.structs.replace(expression, evaluated=grouped, keys=keys)


def _remade(expression: NamedRewrite, original: Query | Expression, change: Rewrite) -> Expression:
    meaning = expression.meaning
    if meaning.make is None:
        changed = expression.evaluated.rewrite(change)
        return msgspec.structs.replace(expression, original=original, evaluated=changed)
    made: Expression = named(meaning, original, *expression.arguments)
    if expression.offset_ms:
        made = _at_offset(made, expression.offset_ms)
    return group_by(made, expression.keys) if expression.keys else made


def _at_offset(expression: Expression, offset_ms: int) -> Expression:
    shifted = shift(expression, offset_ms)
    assert isinstance(shifted, Expression)
    return shifted


def _apply(item: Expression | Styled, change: Rewrite) -> Expression | Styled:
    if isinstance(item, Styled):
        return Styled(item.inner.rewrite(change), item.settings)
    return item.rewrite(change)
