"""The types a word can ask for, and how an item of the stack becomes one.

A stack holds literals (str), lists, queries, expressions and styled expressions. A number is a
literal until a word wants a number or an expression; a query becomes its sum where an expression
is wanted; an expression becomes a styled one where style is set. A word that computes on styled
lines computes on what is styled, and its result wears the style.
"""

from collections.abc import Callable
from typing import Any, Final

from breakwater.metrics.errors import InvalidTimeError
from breakwater.metrics.grid.durations import parse_duration
from breakwater.metrics.language.expressions import (
    Aggregate,
    All,
    Constant,
    DataExpression,
    Expression,
    GroupBy,
)
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.selection.escapes import unescape
from breakwater.metrics.selection.query import Query

Item = Any  # an element of the stack: str, list, Query, Expression or Styled
NO_MATCH: Final = object()


def _string(item: Item) -> Item:
    return item if isinstance(item, str) else NO_MATCH


def _list(item: Item) -> Item:
    return item if isinstance(item, list) else NO_MATCH


def _string_list(item: Item) -> Item:
    if not isinstance(item, list) or not all(isinstance(part, str) for part in item):
        return NO_MATCH
    return [unescape(part) for part in item]


def _int(item: Item) -> Item:
    if not isinstance(item, str):
        return NO_MATCH
    try:
        return int(item)
    except ValueError:
        return NO_MATCH


def _double(item: Item) -> Item:
    if isinstance(item, Constant):
        return item.value
    if not isinstance(item, str) or "_" in item:
        return NO_MATCH
    try:
        return float(item)
    except ValueError:
        return NO_MATCH


def _duration(item: Item) -> Item:
    if not isinstance(item, str):
        return NO_MATCH
    try:
        return parse_duration(item)
    except InvalidTimeError:
        return NO_MATCH


def _query(item: Item) -> Item:
    return item if isinstance(item, Query) else NO_MATCH


def _aggregate(item: Item) -> Item:
    if isinstance(item, Query):
        return Aggregate(item)
    return item if isinstance(item, Aggregate) else NO_MATCH


def _grouped_data(item: Item) -> Item:
    if isinstance(item, Query):
        return Aggregate(item)
    return item if isinstance(item, Aggregate | GroupBy) else NO_MATCH


def _data(item: Item) -> Item:
    if isinstance(item, Query):
        return Aggregate(item)
    return item if isinstance(item, DataExpression | GroupBy | All) else NO_MATCH


def _expression(item: Item) -> Item:
    if isinstance(item, Styled):
        return item.inner
    if isinstance(item, Expression):
        return item
    if isinstance(item, Query):
        return Aggregate(item)
    number = _double(item)
    return NO_MATCH if number is NO_MATCH else Constant(number)


def _styled(item: Item) -> Item:
    if isinstance(item, Styled):
        return item
    expression = _expression(item)
    return NO_MATCH if expression is NO_MATCH else Styled(expression)


KINDS: Final[dict[str, Callable[[Item], Item]]] = {
    "Any": lambda item: item,
    "String": _string,
    "List": _list,
    "StringList": _string_list,
    "Int": _int,
    "Double": _double,
    "Duration": _duration,
    "Query": _query,
    "Aggregate": _aggregate,
    "GroupedData": _grouped_data,
    "Data": _data,
    "Expr": _expression,
    "Styled": _styled,
}
"""How each type named in a word's signature is matched; NO_MATCH when the item is not one."""


def name_of(item: Item) -> str:
    """What to call an item of the stack in a message."""
    if isinstance(item, str):
        shown = item if len(item) <= 40 else f"{item[:40]}..."
        return f"String({shown})"
    return "List" if isinstance(item, list) else type(item).__name__


def shown(item: Item) -> str | list[Any]:
    """An item of the stack as its canonical text; lists keep their shape."""
    if isinstance(item, str):
        return item
    if isinstance(item, list):
        return [shown(part) for part in item]
    text: str = item.text()
    return text
