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
from breakwater.metrics.reading.plan import Plan, tags_label
from breakwater.metrics.reading.reader import Reader, consolidated
from breakwater.metrics.selection.query import Equal, Query, both, negated
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check, TagIndex
from breakwater.metrics.series.kinds import KIND_TAG

Array = NDArray[np.float64]

_GAUGE: Final = Equal(KIND_TAG, "gauge")


class ClassReader:
    """Reads selections from the store of a class; has the shape of `Reader.read`.

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

    def missing_keys(self, selection: Selection) -> list[str]:
        """Keys the selection asks for that are not kept here, sorted."""
        return missing_keys(selection, self._dropped)

    def count(self, selection: Selection, check: Check) -> int:
        """How many stored series `read` would read, at most."""
        if self.missing_keys(selection):
            return 0
        kinds = sorted(kinds_read(selection))
        asked = (both(selection.query, Equal(AGGREGATE, kind)) for kind in kinds)
        return sum(len(self._index.rows_of(query, check)) for query in asked)

    def read(self, selection: Selection, window: Window, deadline: Deadline) -> tuple[Plan, Array]:
        """The plan of the lines and their values, float64 [lines, points].

        There are no lines when the selection asks for keys that are not kept.
        """
        if self.missing_keys(selection):
            plan = no_lines(selection)
            return plan, np.full((len(plan.tags), window.points), np.nan)
        reading = _Reading(self._reader, selection, window.shifted(selection.offset_ms), deadline)
        steps = window.primary_ms // self._base_ms
        if selection.consolidated_by == "sum":
            return reading.summed(steps)
        if selection.consolidated_by == "avg" and selection.kind in ("sum", "count", "all"):
            return reading.averaged(steps)
        return reading.extreme(steps)


def missing_keys(selection: Selection, dropped: frozenset[str]) -> list[str]:
    """Keys the selection asks for that are among the dropped ones, sorted."""
    return sorted(dropped & selection.asked_keys())


def kinds_read(selection: Selection) -> frozenset[str]:
    """Which kinds of kept series are read for a selection; those of KINDS."""
    kind, by = selection.kind, selection.consolidated_by
    if kind in ("sum", "count"):
        return frozenset((kind, "steps"))
    if kind in ("min", "max"):
        return frozenset((kind, by if by in ("min", "max") else kind))
    return frozenset((by,)) if by in ("min", "max") else frozenset(("sum", "steps"))


class _Reading:
    """One selection over one window, whose offset has been applied."""

    def __init__(
        self, reader: Reader, selection: Selection, window: Window, deadline: Deadline
    ) -> None:
        self._reader, self._window, self._deadline = reader, window, deadline
        self._selection = selection.without_offset()
        self._kind = selection.kind

    def summed(self, steps: int) -> tuple[Plan, Array]:
        """Added up over time; a least or greatest value counts for all `steps` it was that of."""
        if self._kind in ("min", "max"):
            plan, values = self._read(self._kind, self._selection.query, by="sum")
            return plan, values * steps
        return self._read(
            "count" if self._kind == "count" else "sum", self._selection.query, by="sum"
        )

    def extreme(self, steps: int) -> tuple[Plan, Array]:
        """The least or greatest over time, or the average of least or greatest values."""
        by = self._selection.consolidated_by
        if self._kind in ("sum", "count"):
            plan, values = self._read(self._kind, self._selection.query, by=by)
            return plan, values / steps
        kept = by if by in ("min", "max") else self._kind
        return self._read(kept, self._selection.query, by=by)

    def averaged(self, steps: int) -> tuple[Plan, Array]:
        """Sums or counts averaged over time: of rates over all steps, of gauges over some."""
        kept = "count" if self._kind == "count" else "sum"
        query = self._selection.query
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
        kind = _FOLDS[self._kind]
        if kept == "steps" and not self._selection.keeps_series:
            kind = "max"
        asked = msgspec.structs.replace(
            self._selection,
            query=both(query, Equal(AGGREGATE, kept)),
            kind=kind,
            consolidated_by=by,
        )
        plan, values = self._reader.read(asked, window, self._deadline)
        return self._shown(plan), values

    def _shown(self, plan: Plan) -> Plan:
        """The plan without what only this module knows of."""
        if self._selection.keeps_series:
            tags = [{k: v for k, v in line.items() if k != AGGREGATE} for line in plan.tags]
            labels = [tags_label(line) for line in tags]
            return msgspec.structs.replace(plan, tags=tags, labels=labels)
        exact = self._selection.query.exact_tags()
        keys = self._selection.keys or ()
        tags = [{**exact, **{key: line[key] for key in keys}} for line in plan.tags]
        return msgspec.structs.replace(plan, tags=tags)


_FOLDS: Final = {"sum": "sum", "count": "sum", "min": "min", "max": "max", "all": "all"}
"""How kept series of a kind are folded: counts are added up."""


def line_keys(plan: Plan) -> list[tuple[tuple[str, str], ...]]:
    """What tells each line of a plan from the others."""
    return [tuple(sorted(tags.items())) for tags in plan.tags]


def aligned(plan: Plan, values: Array, others: Plan) -> Array:
    """The values of a plan for the lines of another; NaN for a line the plan does not have."""
    places = {key: place for place, key in enumerate(line_keys(plan))}
    padded = np.concatenate([values, np.full((1, values.shape[1]), np.nan)])
    return padded[[places.get(key, len(values)) for key in line_keys(others)]]


def no_lines(selection: Selection) -> Plan:
    """The plan of a selection that nothing matches."""
    none = np.empty(0, dtype=np.int64)
    is_gauge = np.empty(0, dtype=np.bool_)
    if selection.is_one_line:
        return Plan(none, none, is_gauge, [selection.query.exact_tags()], [""])
    return Plan(none, none, is_gauge, [], [])


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
