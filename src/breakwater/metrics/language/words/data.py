"""Words that say what is read: the aggregate, its grouping, its consolidation, its offset."""

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import (
    Aggregate,
    All,
    Expression,
    GroupBy,
)
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import consolidate_by, shift
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.selection.query import Query


@word("all", "query:Query -- Expr")
def all_(query: Query) -> Expression:
    """Every series on its own line."""
    return All(query)


def _declare_aggregate(name: str) -> None:
    @word(name, "query:Query -- Expr")
    def aggregate(query: Query) -> Expression:
        """Fold all matching series into one line."""
        return Aggregate(query, function=name)


for _name in ("sum", "count", "min", "max"):
    _declare_aggregate(_name)


@word("by", "data:Aggregate keys:StringList -- Expr")
def by(data: Aggregate, keys: list[str]) -> Expression:
    """One line for each combination of the values of the keys."""
    return GroupBy(data, checked_keys(keys))


def checked_keys(keys: list[str]) -> tuple[str, ...]:
    """Keys of a grouping, without repetitions; raises QueryValueError when there is none."""
    if not keys:
        raise QueryValueError("the list of keys is empty; name at least one tag key")
    return tuple(dict.fromkeys(keys))


def _declare_consolidation(name: str) -> None:
    @word(f"cf-{name}", "lines:Expr -- Expr")
    def consolidate(lines: Expression) -> Expression:
        """Say how datapoints become one where the step is longer than the stored one."""
        return consolidate_by(lines, name)


for _name in ("avg", "sum", "min", "max"):
    _declare_consolidation(_name)


@word("offset", "lines:Expr length:Duration -- Expr")
def offset(lines: Expression, length_ms: int) -> Expression | Styled:
    """Read the data of an expression so much earlier."""
    return shift(lines, length_ms)
