"""Evaluates expression trees: every kind of expression to lines, whole arrays at a time."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from breakwater.metrics.classes.tiers import Readable
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import QueryLimitError, QueryValueError
from breakwater.metrics.evaluation.evaluators import buckets, data, generated, math, selection
from breakwater.metrics.evaluation.lines import Array, Lines, Run, relabelled
from breakwater.metrics.evaluation.memory import Memory
from breakwater.metrics.evaluation.whole import Intervals, Summary
from breakwater.metrics.grid.window import Window
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
from breakwater.metrics.reading.plan import Plan

__all__ = ["Evaluation", "Lines"]

_KEPT_ANSWERS: Final = 60

Evaluator = Callable[[Run, Any], Lines]

EVALUATORS: Final[dict[type[Expression], Evaluator]] = {
    Aggregate: data.aggregate,
    GroupBy: data.group_by,
    All: data.every_series,
    Constant: math.constant,
    Unary: math.unary,
    Clamp: math.clamp,
    Binary: math.binary,
    NamedRewrite: math.named,
    LineAggregate: math.line_aggregate,
    LineGroupBy: math.line_group_by,
    Renamed: math.renamed,
    Random: generated.random,
    Time: generated.time,
    TimeSpan: generated.time_span,
    Percentiles: buckets.percentiles,
    Distinct: buckets.distinct,
    Stateful: selection.stateful,
    Statistic: selection.statistic,
    StatisticOf: selection.unbound,
    Filtered: selection.filtered,
    Ranked: selection.ranked,
    Consolidated: selection.consolidated,
}
"""How each kind of expression is evaluated."""


class Evaluation:
    """One run of a program over one window; what is used twice is worked out once and kept.

    The window may be a stretch of a longer one, `whole`; then `memory` carries the state of the
    stretches before, and `gathered` holds what was said of lines over the whole window.
    What is kept is bounded at `_KEPT_ANSWERS` answers of `max_points` values each.
    """

    def __init__(
        self,
        reader: Readable,
        window: Window,
        deadline: Deadline,
        max_points: int,
        *,
        now_ms: int | None = None,
        whole: Window | None = None,
        memory: Memory | None = None,
        gathered: "Mapping[Expression, Summary | Intervals] | None" = None,
    ) -> None:
        self._reader = reader
        self._deadline = deadline
        self.window = window
        self.whole = whole or window
        self.now_ms = self.whole.last_ms if now_ms is None else now_ms
        self._memory = memory or Memory()
        self._gathered = dict(gathered or {})
        self._done: dict[Expression, Lines] = {}
        self._room = self._most_kept = _KEPT_ANSWERS * max_points

    def lines(self, expression: Expression) -> Lines:
        """Evaluate; raises QueryError."""
        found = self._done.get(expression)
        if found is None:
            self._deadline.check()
            found = self._done[expression] = EVALUATORS[type(expression)](self, expression)
            self._room -= found.values.size
            if self._room < 0:
                raise QueryLimitError(
                    "points on the way to the answer",
                    self._most_kept - self._room,
                    self._most_kept,
                )
        return found

    def read(self, expression: DataExpression | GroupBy) -> tuple[Plan, Array]:
        """The plan of the lines of a data expression, and their values."""
        plan, values = self._reader.read(expression.selection, self.window, self._deadline)
        self._deadline.fetched(len(plan.rows), len(values), values.size)
        return plan, values

    def advance(self, expression: Stateful, lines: Lines) -> Lines:
        """The lines after a stateful expression has seen them."""
        values = self._memory.advance(expression, lines.keys(), lines.values, self.window)
        return relabelled(expression.word, lines, values)

    def summary(self, expression: Expression) -> Summary:
        """Statistics of a part's lines over the whole window."""
        found = self._gathered.get(expression)
        if found is None:
            self._check_whole(expression)
            found = self._gathered[expression] = Summary()
            lines = self.lines(expression)
            found.take(lines.keys(), lines.values)
        assert isinstance(found, Summary)
        return found

    def intervals(self, expression: Consolidated) -> Intervals:
        """What a part's lines come to in each interval of the whole window."""
        found = self._gathered.get(expression)
        if found is None:
            self._check_whole(expression)
            found = self._gathered[expression] = intervals_of(expression, self.whole)
            lines = self.lines(expression.inner)
            found.take(lines.keys(), lines.values, self.window)
        assert isinstance(found, Intervals)
        return found

    def _check_whole(self, expression: Expression) -> None:
        if self.window != self.whole:
            raise QueryValueError(
                f"'{expression.text()}' has to be seen over the whole window before the word "
                "that follows it can be answered"
            )


def intervals_of(expression: Consolidated, whole: Window) -> Intervals:
    """An empty record of intervals for a consolidation, its length rounded up to the step."""
    return Intervals(whole, max(-(-expression.length_ms // whole.step_ms), 1))
