"""Words that look at whole lines: statistics, filters, the first by a statistic, consolidation."""

from typing import Final

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.wrapped import (
    Consolidated,
    Filtered,
    Ranked,
    Statistic,
    StatisticOf,
)

STATISTICS: Final = ("avg", "max", "min", "last", "total", "count")
FUNCTIONS: Final = ("avg", "sum", "min", "max")


@word("stat", "lines:Expr statistic:String -- Expr")
def stat(lines: Expression, name: str) -> Expression:
    """One statistic of each line over the whole window, at every point."""
    return Statistic(lines, _one_of(name, STATISTICS, "statistic"))


def _declare_placeholder(name: str) -> None:
    @word(f"stat-{name}", "-- Expr")
    def placeholder() -> Expression:
        """Stand for a statistic of what the next filter is applied to."""
        return StatisticOf(name)


for _name in STATISTICS:
    _declare_placeholder(_name)


def _declare_legacy(name: str) -> None:
    @word(f"stat-{name}-mf", "lines:Expr -- Expr")
    def legacy(lines: Expression) -> Expression:
        """Give one statistic of each line; an older name of `stat`."""
        return Statistic(lines, name)


for _name in ("min", "max", "avg"):
    _declare_legacy(_name)


@word("filter", "lines:Expr condition:Expr -- Expr")
def filter_(lines: Expression, condition: Expression) -> Expression:
    """Keep the lines for which the condition is true at any point."""
    filtered = Filtered(lines, condition)
    if not lines.grouping and filtered.bound().grouping:
        raise QueryValueError(
            "the condition is grouped and what it filters is not; group both by the same keys"
        )
    return filtered


def _declare_ranking(name: str, others: str) -> None:
    end = f"-others-{others}" if others else ""

    @word(f"{name}{end}", "lines:Expr statistic:String k:Int -- Expr")
    def rank(lines: Expression, statistic: str, count: int) -> Expression:
        """Keep the k lines with the highest (topk) or lowest (bottomk) statistic."""
        _one_of(statistic, STATISTICS, "statistic")
        if count <= 0:
            raise QueryValueError(f"k must be positive, is {count}")
        return Ranked(lines, name == "topk", statistic, count, others)


for _name in ("topk", "bottomk"):
    for _others in ("", *FUNCTIONS):
        _declare_ranking(_name, _others)


@word("consolidate", "lines:Expr function:String length:Duration -- Expr")
def consolidate(lines: Expression, function: str, length_ms: int) -> Expression:
    """Make the points of each interval of a length one, repeated over the interval."""
    return Consolidated(lines, _one_of(function, FUNCTIONS, "function"), length_ms)


def _one_of(text: str, allowed: tuple[str, ...], what: str) -> str:
    if text not in allowed:
        raise QueryValueError(f"unknown {what} '{text}'; allowed: {', '.join(allowed)}")
    return text
