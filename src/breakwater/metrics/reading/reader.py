"""From a selection to values: reads the store, folds rows into lines, consolidates.

A query's step may be a multiple of the store's. Sums and counts are folded over series first and
over time second, which reads every datapoint once; a minimum of maxima and its like have to be
consolidated series by series, in slices of rows so that memory stays bounded.
"""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.grid.window import Window
from breakwater.metrics.reading.plan import Plan, Planner
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.blocks import Directory, load_kernels
from breakwater.metrics.store.parallel import fold
from breakwater.metrics.store.ports import Watcher
from breakwater.metrics.store.spans import ADD, COPY, FOLDS, plain_span

Array = NDArray[np.float64]

_SLICE_VALUES: Final = 4_000_000
_MOST_FOLDED: Final = 50_000_000
"""Values of all lines at the store's own step, before they are consolidated: 800 MB of sums and
counts. An empty series over decades would else ask for more memory than the machine has."""
_BUCKETS_PER_POINT: Final = 40


class Stored(Protocol):
    """What is read: a store, or what was read from elsewhere; rows are those of the planner."""

    @property
    def settings(self) -> MetricsSettings:
        """Its step, and how much a query may ask for."""
        ...

    @property
    def watcher(self) -> Watcher | None:
        """Who knows what is to be said of rows that are read."""
        ...

    def directory(self) -> Directory:
        """Where the slots of all rows lie now."""
        ...


class Reader:
    """Reads selections from one store."""

    def __init__(self, store: Stored, planner: Planner) -> None:
        self._store = store
        self._planner = planner
        self._settings = store.settings

    def read(self, selection: Selection, window: Window, deadline: Deadline) -> tuple[Plan, Array]:
        """The plan of the lines and their values, float64 [lines, points]."""
        plan = self._planner.plan(selection, deadline.check)
        watcher = self._store.watcher
        if watcher is not None and (text := watcher.notice(plan.rows)):
            deadline.notice(text)
        is_buckets = "percentile" in (selection.keys or ())
        self._check_size(plan, window, "bucket counts" if is_buckets else "datapoints")
        shifted = window.shifted(selection.offset_ms)
        return plan, self._values(selection, plan, shifted, deadline)

    def _check_size(self, plan: Plan, window: Window, what: str) -> None:
        asked = len(plan.rows) * window.points * window.multiple
        if asked > self._settings.max_input_points:
            raise QueryLimitError("input datapoints", asked, self._settings.max_input_points)
        answered = len(plan.tags) * window.points
        limit = self._settings.max_points
        if what == "bucket counts":
            limit *= _BUCKETS_PER_POINT
        if answered > limit:
            raise QueryLimitError(what, answered, limit)
        folded = answered * window.multiple
        if folded > _MOST_FOLDED:
            raise QueryLimitError("values of lines before consolidation", folded, _MOST_FOLDED)

    def _values(
        self, selection: Selection, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        kind, by = selection.kind, selection.consolidated_by
        if selection.keeps_series:
            values = self._gathered(plan, slice(None), window, deadline)
            return consolidated(values, window.multiple, by, plan.is_gauge)
        if window.multiple == 1 or by == kind:
            folded = self._folded(kind, plan, window, deadline)
            return consolidated(folded, window.multiple, by)
        if kind in ("sum", "count") and by in ("sum", "avg"):
            return self._summed_over_time(kind, by, plan, window, deadline)
        return self._by_series(kind, by, plan, window, deadline)

    def _summed_over_time(
        self, kind: str, by: str, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        gauge_rows = np.flatnonzero(plan.is_gauge)
        if by == "sum" or not len(gauge_rows):
            folded = self._folded(kind, plan, window, deadline)
            return consolidated(folded, window.multiple, by)
        gauges = self._folded(kind, plan, window, deadline, chosen=gauge_rows)
        averaged = consolidated(gauges, window.multiple, by, np.ones(len(gauges), dtype=np.bool_))
        if len(gauge_rows) == len(plan.rows):
            return averaged
        rest = np.flatnonzero(~plan.is_gauge)
        rates = self._folded(kind, plan, window, deadline, chosen=rest)
        return _added(averaged, consolidated(rates, window.multiple, by))

    def _folded(
        self,
        kind: str,
        plan: Plan,
        window: Window,
        deadline: Deadline,
        *,
        chosen: NDArray[np.intp] | None = None,
    ) -> Array:
        """Rows folded into lines at the store's own step, [lines, points * multiple]."""
        rows = plan.rows if chosen is None else plan.rows[chosen]
        groups = plan.groups if chosen is None else plan.groups[chosen]
        first, last = window.grid()
        folded = np.full((len(plan.tags), last - first + 1), np.nan)
        directory = self._store.directory()
        fold(FOLDS[kind], directory, rows, groups, (first, last), folded, deadline)
        return folded

    def _by_series(
        self, kind: str, by: str, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        folded = np.full((len(plan.tags), window.points), np.nan)
        width = window.points * window.multiple
        at_once = max(_SLICE_VALUES // width, 1)
        for start in range(0, len(plan.rows), at_once):
            taken = slice(start, start + at_once)
            gathered = self._gathered(plan, taken, window, deadline)
            values = consolidated(gathered, window.multiple, by)
            fold_lines(FOLDS[kind], values, plan.groups[taken], folded)
        return folded

    def _gathered(self, plan: Plan, taken: slice, window: Window, deadline: Deadline) -> Array:
        """A copy of rows at the store's own step, [rows, points * multiple]."""
        rows = plan.rows[taken]
        first, last = window.grid()
        values = np.full((len(rows), last - first + 1), np.nan)
        directory = self._store.directory()
        fold(COPY, directory, rows, np.arange(len(rows)), (first, last), values, deadline)
        return values


def fold_lines(how: int, values: Array, groups: NDArray[np.int64], out: Array) -> None:
    """Fold lines [n, points] into those of `out` that `groups` names; NaN there is no value yet."""
    values = np.ascontiguousarray(values)
    spans = np.array([plain_span(values)])
    rows = np.arange(len(values))
    load_kernels().fold_spans(how, spans, rows, groups, 0, values.shape[1] - 1, 0, out)


def consolidated(
    values: Array, multiple: int, by: str, is_gauge: NDArray[np.bool_] | None = None
) -> Array:
    """Each `multiple` datapoints of a line made one, [lines, n * multiple] → [lines, n].

    NaN only where there was no value at all. An average divides by the number of datapoints for
    rates, where a missing one means nothing happened, and by the number of values for gauges.
    """
    if multiple == 1:
        return values
    out = np.empty((len(values), values.shape[1] // multiple))
    by_count = np.zeros(len(values), dtype=np.bool_) if is_gauge is None else is_gauge
    how = FOLDS.get(by, ADD)
    values = np.ascontiguousarray(values)
    load_kernels().consolidate(values, multiple, how, by == "avg", by_count, out)
    return out


def _added(left: Array, right: Array) -> Array:
    both = np.isnan(left) & np.isnan(right)
    return np.where(both, np.nan, np.nan_to_num(left, nan=0.0) + np.nan_to_num(right, nan=0.0))
