"""Reading a retention class: what is asked of series, answered from what is kept of targets.

A query never sees the tag that tells the kept series apart. Sums, counts, least and greatest
values and averages over time are those of the finer class, whatever step is asked for; other ways
to consolidate, such as the greatest sum within a step, are worked out from the steps of the class.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.classes.policy import AGGREGATE
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import Aggregate, All, DataExpression, GroupBy
from breakwater.metrics.reading.plan import Plan, tags_label
from breakwater.metrics.reading.reader import Reader, consolidated
from breakwater.metrics.selection.query import Equal, Query, both, keys_of, negated
from breakwater.metrics.series.index import Check, TagIndex
from breakwater.metrics.series.kinds import KIND_TAG

Array = NDArray[np.float64]

_GAUGE: Final = Equal(KIND_TAG, "gauge")


class ClassReader:
    """Reads data expressions from the store of a class; has the shape of `Reader.read`.

    dropped: keys its series no longer have. base_ms: the step at full resolution, by which a sum
    over time counts. reader: reads the stored series as they are; index: where their tags are.
    """

    def __init__(
        self, reader: Reader, index: TagIndex, *, dropped: frozenset[str], base_ms: int
    ) -> None:
        self._reader = reader
        self._index = index
        self._dropped = dropped
        self._base_ms = base_ms

    def missing_keys(self, expression: DataExpression | GroupBy) -> list[str]:
        """Keys the expression asks for that are not kept here, sorted."""
        return missing_keys(expression, self._dropped)

    def count(self, expression: DataExpression | GroupBy, check: Check) -> int:
        """How many stored series `read` would read, at most."""
        if self.missing_keys(expression):
            return 0
        data = expression.inner if isinstance(expression, GroupBy) else expression
        asked = (both(data.query, Equal(AGGREGATE, kind)) for kind in sorted(kinds_read(data)))
        return sum(len(self._index.rows_of(query, check)) for query in asked)

    def read(
        self, expression: DataExpression | GroupBy, window: Window, deadline: Deadline
    ) -> tuple[Plan, Array]:
        """The plan of the lines and their values, float64 [lines, points].

        There are no lines when the expression asks for keys that are not kept.
        """
        data = expression.inner if isinstance(expression, GroupBy) else expression
        if self.missing_keys(expression):
            return no_lines(expression), np.full((_line_count(expression), window.points), np.nan)
        reading = _Reading(self._reader, expression, window.shifted(data.offset_ms), deadline)
        steps = window.primary_ms // self._base_ms
        if data.consolidated_by == "sum":
            return reading.summed(steps)
        if data.consolidated_by == "avg" and data.kind in ("sum", "count", "all"):
            return reading.averaged(steps)
        return reading.extreme(steps)


def missing_keys(expression: DataExpression | GroupBy, dropped: frozenset[str]) -> list[str]:
    """Keys the expression asks for that are among the dropped ones, sorted."""
    keys = expression.keys if isinstance(expression, GroupBy) else ()
    data = expression.inner if isinstance(expression, GroupBy) else expression
    return sorted(dropped.intersection((*keys, *keys_of(data.query))))


def without_offset(expression: DataExpression | GroupBy) -> DataExpression | GroupBy:
    """The same expression of its own time."""
    if isinstance(expression, GroupBy):
        return GroupBy(expression.inner.with_offset(0), expression.keys)
    return expression.with_offset(0)


def kinds_read(data: DataExpression) -> frozenset[str]:
    """Which kinds of kept series are read for an expression; those of KINDS."""
    by = data.consolidated_by
    if data.kind in ("sum", "count"):
        return frozenset((data.kind, "steps"))
    if data.kind in ("min", "max"):
        return frozenset((data.kind, by if by in ("min", "max") else data.kind))
    return frozenset((by,)) if by in ("min", "max") else frozenset(("sum", "steps"))


class _Reading:
    """One expression over one window, whose offset has been applied."""

    def __init__(
        self,
        reader: Reader,
        expression: DataExpression | GroupBy,
        window: Window,
        deadline: Deadline,
    ) -> None:
        self._reader, self._window, self._deadline = reader, window, deadline
        self._expression = expression
        self._data = expression.inner if isinstance(expression, GroupBy) else expression
        self._kind = self._data.kind

    def summed(self, steps: int) -> tuple[Plan, Array]:
        """Added up over time; a least or greatest value counts for all `steps` it was that of."""
        if self._kind in ("min", "max"):
            plan, values = self._read(self._kind, self._data.query, by="sum")
            return plan, values * steps
        return self._read("count" if self._kind == "count" else "sum", self._data.query, by="sum")

    def extreme(self, steps: int) -> tuple[Plan, Array]:
        """The least or greatest over time, or the average of least or greatest values."""
        by = self._data.consolidated_by
        if self._kind in ("sum", "count"):
            plan, values = self._read(self._kind, self._data.query, by=by)
            return plan, values / steps
        kept = by if by in ("min", "max") else self._kind
        return self._read(kept, self._data.query, by=by)

    def averaged(self, steps: int) -> tuple[Plan, Array]:
        """Sums or counts averaged over time: of rates over all steps, of gauges over some."""
        kept = "count" if self._kind == "count" else "sum"
        query = self._data.query
        gauge_plan, totals = self._read(kept, both(query, _GAUGE), by="sum")
        if not len(gauge_plan.rows):
            plan, values = self._read(kept, query, by="avg")
            return plan, values / steps
        seen_plan, seen = self._read("steps", both(query, _GAUGE), by="max", step_by_step=True)
        seen = consolidated(seen, self._window.multiple, "sum")
        averages = totals / aligned(seen_plan, seen, gauge_plan)
        rate_plan, rates = self._read(kept, both(query, negated(_GAUGE)), by="avg")
        if not len(rate_plan.rows):
            return gauge_plan, averages
        return added((rate_plan, rates / steps), (gauge_plan, averages))

    def _read(
        self, kept: str, query: Query, *, by: str, step_by_step: bool = False
    ) -> tuple[Plan, Array]:
        """Read one kind of kept series, each line under the tags and the label it is known by."""
        window = self._window
        if step_by_step:
            points = window.points * window.multiple
            first_ms = window.first_ms - window.step_ms + window.primary_ms
            window = Window(first_ms, window.primary_ms, points, window.primary_ms)
        asked = both(query, Equal(AGGREGATE, kept))
        data: DataExpression
        if isinstance(self._data, All):
            data = All(asked, consolidation=by)
        else:
            function = "max" if kept == "steps" else _FOLDS.get(self._kind, "sum")
            data = Aggregate(asked, consolidation=by, function=function)
        keys = self._expression.keys if isinstance(self._expression, GroupBy) else None
        inner = GroupBy(data, keys) if keys is not None and isinstance(data, Aggregate) else data
        plan, values = self._reader.read(inner, window, self._deadline)
        return self._shown(plan), values

    def _shown(self, plan: Plan) -> Plan:
        """The plan without what only this module knows of."""
        if isinstance(self._data, All):
            tags = [{k: v for k, v in line.items() if k != AGGREGATE} for line in plan.tags]
            labels = [tags_label(line) for line in tags]
            return msgspec.structs.replace(plan, tags=tags, labels=labels)
        exact = self._data.query.exact_tags()
        keys = self._expression.keys if isinstance(self._expression, GroupBy) else ()
        tags = [{**exact, **{key: line[key] for key in keys}} for line in plan.tags]
        return msgspec.structs.replace(plan, tags=tags)


_FOLDS: Final = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}
"""How kept series of a kind are folded: counts are added up."""


def line_keys(plan: Plan) -> list[tuple[tuple[str, str], ...]]:
    """What tells each line of a plan from the others."""
    return [tuple(sorted(tags.items())) for tags in plan.tags]


def aligned(plan: Plan, values: Array, others: Plan) -> Array:
    """The values of a plan for the lines of another; NaN for a line the plan does not have."""
    places = {key: place for place, key in enumerate(line_keys(plan))}
    padded = np.concatenate([values, np.full((1, values.shape[1]), np.nan)])
    return padded[[places.get(key, len(values)) for key in line_keys(others)]]


def no_lines(expression: DataExpression | GroupBy) -> Plan:
    """The plan of an expression that nothing matches."""
    none = np.empty(0, dtype=np.int64)
    is_gauge = np.empty(0, dtype=np.bool_)
    if isinstance(expression, Aggregate):
        return Plan(none, none, is_gauge, [expression.query.exact_tags()], [""])
    return Plan(none, none, is_gauge, [], [])


def _line_count(expression: DataExpression | GroupBy) -> int:
    return 1 if isinstance(expression, Aggregate) else 0


def merged(plans: list[Plan]) -> tuple[Plan, list[NDArray[np.int64]]]:
    """One plan with the lines of all, in the order of their labels, and where each line went.

    Rows are those of different stores one after the other; only how many there are means
    anything.
    """
    lines: dict[tuple[tuple[str, str], ...], tuple[str, dict[str, str]]] = {}
    for plan in plans:
        for key, label, tags in zip(line_keys(plan), plan.labels, plan.tags, strict=True):
            lines.setdefault(key, (label, tags))
    order = sorted(lines, key=lambda key: (lines[key][0], key))
    place = {key: position for position, key in enumerate(order)}
    places = [np.array([place[k] for k in line_keys(p)], dtype=np.int64) for p in plans]
    groups = [where[plan.groups] for where, plan in zip(places, plans, strict=True)]
    return (
        Plan(
            np.concatenate([plan.rows for plan in plans]),
            np.concatenate(groups),
            np.concatenate([plan.is_gauge for plan in plans]),
            [lines[key][1] for key in order],
            [lines[key][0] for key in order],
        ),
        places,
    )


def added(*parts: tuple[Plan, Array]) -> tuple[Plan, Array]:
    """Lines of several reads of one window added up; NaN only where no part has a value."""
    plan, places = merged([each for each, _ in parts])
    total = np.full((len(plan.tags), parts[0][1].shape[1]), np.nan)
    for (_, values), place in zip(parts, places, strict=True):
        former = total[place]
        is_empty = np.isnan(former) & np.isnan(values)
        summed = np.nan_to_num(former, nan=0.0) + np.nan_to_num(values, nan=0.0)
        total[place] = np.where(is_empty, np.nan, summed)
    return plan, total


def joined(parts: list[tuple[Plan, Array]]) -> tuple[Plan, Array]:
    """Lines of several windows that follow each other; NaN where a line has no part."""
    if len(parts) == 1:
        return parts[0]
    plan, places = merged([each for each, _ in parts])
    points = sum(values.shape[1] for _, values in parts)
    whole = np.full((len(plan.tags), points), np.nan)
    at = 0
    for (_, values), place in zip(parts, places, strict=True):
        whole[place, at : at + values.shape[1]] = values
        at += values.shape[1]
    return plan, whole
