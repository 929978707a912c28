"""Expressions: what is computed from the datapoints, as a tree that can be printed and rewritten.

Data expressions (Aggregate, GroupBy, All) say what is read; the others combine lines. `text` is
the canonical program, `grouping` the keys that tell the lines of the result apart.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Self

import msgspec

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.selection.escapes import keys_text, number_text
from breakwater.metrics.selection.query import Query
from breakwater.metrics.selection.selection import DEFAULT_CONSOLIDATION, Selection

Rewrite = Callable[["Expression"], "Expression | None"]


class Expression(msgspec.Struct, frozen=True):
    """Something that evaluates to lines."""

    def text(self) -> str:
        """The canonical program that builds this expression."""
        raise NotImplementedError

    @property
    def grouping(self) -> tuple[str, ...]:
        """Keys that tell the lines apart; empty when there is one line."""
        return ()

    def rewrite(self, change: Rewrite) -> "Expression":
        """A copy where `change` replaced every topmost part it gave an answer for."""
        replaced = change(self)
        if replaced is not None:
            return replaced
        changes = {}
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, Expression):
                changed = value.rewrite(change)
                if changed is not value:
                    changes[field] = changed
        return msgspec.structs.replace(self, **changes) if changes else self

    def parts(self) -> "Iterator[Expression]":
        """This expression and everything in it, outermost first."""
        yield self
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, Expression):
                yield from value.parts()


class DataExpression(Expression, frozen=True, dict=True):
    """What is read from the store."""

    query: Query
    consolidation: str | None = None
    offset_ms: int = 0

    @property
    def kind(self) -> str:
        """The aggregate: sum, count, min, max or all."""
        raise NotImplementedError

    @property
    def consolidated_by(self) -> str:
        """How datapoints become one when the query's step is longer than the store's."""
        return self.consolidation or DEFAULT_CONSOLIDATION[self.kind]

    @cached_property
    def selection(self) -> Selection:
        """What is read, for those who know no language; made once."""
        return Selection(
            query=self.query,
            kind=self.kind,
            consolidated_by=self.consolidated_by,
            offset_ms=self.offset_ms,
        )

    def text(self) -> str:
        """The canonical program."""
        return self.selection.text()

    def with_offset(self, offset_ms: int) -> Self:
        """The same data, so much earlier; replaces an earlier offset."""
        return msgspec.structs.replace(self, offset_ms=offset_ms)

    def label_suffix(self) -> str:
        """What an offset adds to labels."""
        return f" (offset={duration_text(self.offset_ms)})" if self.offset_ms else ""


class All(DataExpression, frozen=True):
    """Every series on its own line."""

    @property
    def kind(self) -> str:
        """Always `all`."""
        return "all"


class Aggregate(DataExpression, frozen=True):
    """All matching series folded into one line by `function`: sum, count, min or max."""

    function: str = "sum"

    @property
    def kind(self) -> str:
        """The function."""
        return self.function

    def label(self) -> str:
        """The readable form."""
        return f"{self.function}({self.query.label()}){self.label_suffix()}"


class GroupBy(Expression, frozen=True, dict=True):
    """An aggregate for each combination of the values of `keys`."""

    inner: Aggregate
    keys: tuple[str, ...]

    @cached_property
    def selection(self) -> Selection:
        """What is read, for those who know no language; made once."""
        return msgspec.structs.replace(self.inner.selection, keys=self.keys)

    def text(self) -> str:
        """The canonical program."""
        return self.selection.text()

    @property
    def grouping(self) -> tuple[str, ...]:
        """The keys."""
        return self.keys


class Constant(Expression, frozen=True):
    """One number at every point."""

    value: float

    def text(self) -> str:
        """The canonical program."""
        return f"{number_text(self.value)},:const"


class Unary(Expression, frozen=True):
    """A function of each value: abs, neg, sqrt, per-step."""

    inner: Expression
    word: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},:{self.word}"

    @property
    def grouping(self) -> tuple[str, ...]:
        """That of the inner expression."""
        return self.inner.grouping


class Clamp(Expression, frozen=True):
    """Values held above (`clamp-min`) or below (`clamp-max`) a bound."""

    inner: Expression
    bound: float
    word: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{number_text(self.bound)},:{self.word}"

    @property
    def grouping(self) -> tuple[str, ...]:
        """That of the inner expression."""
        return self.inner.grouping


class Binary(Expression, frozen=True):
    """Two expressions combined line by line and point by point."""

    left: Expression
    right: Expression
    word: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.left.text()},{self.right.text()},:{self.word}"

    @property
    def grouping(self) -> tuple[str, ...]:
        """The larger one of the two."""
        left, right = self.left.grouping, self.right.grouping
        return left if len(left) >= len(right) else right


class LineAggregate(Expression, frozen=True):
    """All lines of an expression folded into one: sum, count, min or max."""

    inner: Expression
    function: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},:{self.function}"


class LineGroupBy(Expression, frozen=True):
    """Lines folded into one for each combination of the values of some of their keys."""

    inner: LineAggregate
    keys: tuple[str, ...]

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{keys_text(self.keys)},:by"

    @property
    def grouping(self) -> tuple[str, ...]:
        """The keys."""
        return self.keys


class Percentiles(Expression, frozen=True):
    """Estimates from bucket counts; `inner` is grouped by its own keys and `percentile`."""

    inner: GroupBy
    percents: tuple[float, ...]

    @property
    def own_keys(self) -> tuple[str, ...]:
        """The keys the user grouped by."""
        return tuple(key for key in self.inner.keys if key != "percentile")

    def text(self) -> str:
        """The canonical program."""
        keys = self.own_keys
        by = f",{keys_text(keys)},:by" if keys else ""
        data = self.inner.inner.text().replace(",:sum", "", 1)
        listed = ",".join(number_text(percent) for percent in self.percents)
        return f"{data}{by},(,{listed},),:percentiles"

    @property
    def grouping(self) -> tuple[str, ...]:
        """The user's keys and `percentile`."""
        return self.inner.keys


def check_subset(keys: tuple[str, ...], of: tuple[str, ...]) -> None:
    """Raise QueryValueError unless every one of `keys` is among the inner grouping."""
    if not set(keys) <= set(of):
        raise QueryValueError(f"{keys_text(keys)} is not a subset of {keys_text(of)}")


def check_joinable(left: tuple[str, ...], right: tuple[str, ...]) -> None:
    """Raise QueryValueError unless one grouping, or none, holds all keys of the other."""
    if not (set(left) <= set(right) or set(right) <= set(left)):
        raise QueryValueError(
            f"both sides must be grouped by the same keys or one by some of the other's: "
            f"{keys_text(left)} and {keys_text(right)}"
        )
