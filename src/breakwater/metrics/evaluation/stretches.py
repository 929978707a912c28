"""A window evaluated stretch by stretch: the numbers of the whole, in bounded memory.

Words with state carry it from one stretch to the next. Words that need a line's every point
(`stat`, `filter`, `topk`, `consolidate`) are prepared first: for each, innermost first, the
window is walked once and only what they need is kept, a few numbers for each line. So a program
costs one walk for itself and one for each such word.
"""

from collections.abc import Iterator

from breakwater.metrics.classes.tiers import Readable
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.evaluation.evaluate import Evaluation, intervals_of
from breakwater.metrics.evaluation.lines import Lines
from breakwater.metrics.evaluation.memory import Memory
from breakwater.metrics.evaluation.whole import Intervals, Summary
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.wrapped import Consolidated, Filtered, Ranked, Statistic

MOST_POINTS = 100_000
"""Points of one stretch at most."""


NeedsWhole = Statistic | Filtered | Ranked | Consolidated
"""Expressions that need every point of their lines before they can say anything."""


class Stretches:
    """One program over one window, `points` at a time."""

    def __init__(
        self,
        reader: Readable,
        whole: Window,
        deadline: Deadline,
        max_points: int,
        *,
        points: int,
        now_ms: int,
    ) -> None:
        if not 1 <= points <= MOST_POINTS:
            raise QueryValueError(f"a stretch has 1 to {MOST_POINTS} points, not {points}")
        self._reader = reader
        self._whole = whole
        self._deadline = deadline
        self._max_points = max_points
        self._points = points
        self._now_ms = now_ms
        self._gathered: dict[Expression, Summary | Intervals] = {}

    def run(self, program: tuple[Styled, ...]) -> Iterator[tuple[Window, list[Lines]]]:
        """Each stretch and the lines of each expression in it; raises QueryError."""
        for styled in program:
            for part in needing_whole(styled.inner):
                self._gather(part)
        for evaluation in self._evaluations():
            yield evaluation.window, [evaluation.lines(styled.inner) for styled in program]

    def _gather(self, part: NeedsWhole) -> None:
        if isinstance(part, Consolidated):
            if part not in self._gathered:
                intervals = intervals_of(part, self._whole)
                for evaluation in self._evaluations():
                    lines = evaluation.lines(part.inner)
                    intervals.take(lines.keys(), lines.values, evaluation.window)
                self._gathered[part] = intervals
            return
        seen = part.bound() if isinstance(part, Filtered) else part.inner
        if seen not in self._gathered:
            summary = Summary()
            for evaluation in self._evaluations():
                lines = evaluation.lines(seen)
                summary.take(lines.keys(), lines.values)
            self._gathered[seen] = summary

    def _evaluations(self) -> Iterator[Evaluation]:
        memory = Memory()
        for start in range(0, self._whole.points, self._points):
            yield Evaluation(
                self._reader,
                self._whole.stretch(start, self._points),
                self._deadline,
                self._max_points,
                now_ms=self._now_ms,
                whole=self._whole,
                memory=memory,
                gathered=self._gathered,
            )


def needing_whole(expression: Expression) -> list[NeedsWhole]:
    """Parts that need every point of their lines, so that each follows those it contains."""
    found: dict[NeedsWhole, None] = {}

    def walk(part: Expression) -> None:
        inside = [part.bound()] if isinstance(part, Filtered) else []
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, Expression) and name not in ("condition", "original"):
                inside.append(value)
        for each in inside:
            walk(each)
        if isinstance(part, NeedsWhole):
            found.setdefault(part)

    walk(expression)
    return list(found)
