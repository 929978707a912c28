"""From a data expression to values: reads the store, folds rows into lines, consolidates.

A query's step may be a multiple of the store's. Sums and counts are folded over series first and
over time second, which reads every datapoint once; a minimum of maxima and its like have to be
consolidated series by series, in slices of rows so that memory stays bounded.
"""

import time
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryLimitError, QueryTimeoutError
from breakwater.metrics.language.expressions import All, DataExpression, GroupBy
from breakwater.metrics.plan import Plan, Planner
from breakwater.metrics.store import SeriesStore
from breakwater.metrics.window import Window

Array = NDArray[np.float64]

_SLICE_VALUES: Final = 4_000_000
_MOST_FOLDED: Final = 50_000_000
"""Values of all lines at the store's own step, before they are consolidated: 800 MB of sums and
counts. An empty series over decades would else ask for more memory than the machine has."""
_BUCKETS_PER_POINT: Final = 40


class Deadline:
    """When a query has to be done; checked between blocks and between parts of a program."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end_s = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise QueryTimeoutError when it has passed."""
        if self._end_s is not None and time.monotonic() > self._end_s:
            raise QueryTimeoutError(
                f"the query took longer than {self._seconds} s; narrow it or its window"
            )


class Reader:
    """Reads data expressions from one store."""

    def __init__(self, store: SeriesStore, planner: Planner) -> None:
        self._store = store
        self._planner = planner
        self._settings = store.settings

    def read(
        self, expression: DataExpression | GroupBy, window: Window, deadline: Deadline
    ) -> tuple[Plan, Array]:
        """The plan of the lines and their values, float64 [lines, points]."""
        plan = self._planner.plan(expression, deadline.check)
        data = expression.inner if isinstance(expression, GroupBy) else expression
        is_buckets = isinstance(expression, GroupBy) and "percentile" in expression.keys
        self._check_size(plan, window, "bucket counts" if is_buckets else "datapoints")
        shifted = window.shifted(data.offset_ms)
        return plan, self._values(data, plan, shifted, deadline)

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
        self, data: DataExpression, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        kind, by = data.kind, data.consolidated_by
        if isinstance(data, All):
            values = self._gathered(plan, slice(None), window, deadline)
            return consolidated(values, window.multiple, by, plan.is_gauge)
        if window.multiple == 1 or by == kind:
            folded, _ = self._folded(kind, plan, window, deadline)
            return consolidated(folded, window.multiple, by)
        if kind in ("sum", "count") and by in ("sum", "avg"):
            return self._summed_over_time(kind, by, plan, window, deadline)
        return self._by_series(kind, by, plan, window, deadline)

    def _summed_over_time(
        self, kind: str, by: str, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        gauge_rows = np.flatnonzero(plan.is_gauge)
        if by == "sum" or not len(gauge_rows):
            folded, _ = self._folded(kind, plan, window, deadline)
            return consolidated(folded, window.multiple, by)
        gauges, _ = self._folded(kind, plan, window, deadline, chosen=gauge_rows)
        averaged = consolidated(gauges, window.multiple, by, np.ones(len(gauges), dtype=np.bool_))
        if len(gauge_rows) == len(plan.rows):
            return averaged
        rest = np.flatnonzero(~plan.is_gauge)
        rates, _ = self._folded(kind, plan, window, deadline, chosen=rest)
        return _added(averaged, consolidated(rates, window.multiple, by))

    def _folded(
        self,
        kind: str,
        plan: Plan,
        window: Window,
        deadline: Deadline,
        *,
        chosen: NDArray[np.intp] | None = None,
    ) -> tuple[Array, Array]:
        """Rows folded into lines at the store's own step, [lines, points * multiple]."""
        kernels = load_kernels()
        rows = plan.rows if chosen is None else plan.rows[chosen]
        groups = plan.groups if chosen is None else plan.groups[chosen]
        first, last = window.grid()
        shape = (len(plan.tags), last - first + 1)
        folded = np.full(shape, _START[kind])
        seen = np.zeros(shape if kind in ("sum", "count") else (0, 0))
        for part in self._store.stretches(rows, first, last):
            deadline.check()
            owners = groups[part.owners]
            if kind == "min":
                kernels.least_of_rows(
                    part.data, part.rows, owners, part.first, part.last, folded, part.at
                )
            elif kind == "max":
                kernels.greatest_of_rows(
                    part.data, part.rows, owners, part.first, part.last, folded, part.at
                )
            else:
                kernels.add_rows(
                    part.data, part.rows, owners, part.first, part.last, folded, seen, part.at
                )
        if kind == "count":
            return np.where(seen > 0, seen, np.nan), seen
        if kind == "sum":
            folded[seen == 0] = np.nan
        else:
            folded[np.isinf(folded)] = np.nan
        return folded, seen

    def _by_series(
        self, kind: str, by: str, plan: Plan, window: Window, deadline: Deadline
    ) -> Array:
        kernels = load_kernels()
        shape = (len(plan.tags), window.points)
        folded, seen = np.full(shape, _START[kind]), np.zeros(shape)
        width = window.points * window.multiple
        at_once = max(_SLICE_VALUES // width, 1)
        for start in range(0, len(plan.rows), at_once):
            taken = slice(start, start + at_once)
            gathered = self._gathered(plan, taken, window, deadline)
            values = consolidated(gathered, window.multiple, by)
            rows = np.arange(len(values))
            groups = plan.groups[taken]
            if kind == "min":
                kernels.least_of_rows(values, rows, groups, 0, window.points, folded, 0)
            elif kind == "max":
                kernels.greatest_of_rows(values, rows, groups, 0, window.points, folded, 0)
            else:
                kernels.add_rows(values, rows, groups, 0, window.points, folded, seen, 0)
        if kind == "count":
            return np.where(seen > 0, seen, np.nan)
        folded[(seen == 0) if kind == "sum" else np.isinf(folded)] = np.nan
        return folded

    def _gathered(self, plan: Plan, taken: slice, window: Window, deadline: Deadline) -> Array:
        """A copy of rows at the store's own step, [rows, points * multiple]."""
        kernels = load_kernels()
        rows = plan.rows[taken]
        first, last = window.grid()
        values = np.full((len(rows), last - first + 1), np.nan)
        places = np.arange(len(rows))
        for part in self._store.stretches(rows, first, last):
            deadline.check()
            kernels.copy_rows(
                part.data, part.rows, part.first, part.last, values, places[part.owners], part.at
            )
        return values


_START: Final = {"sum": 0.0, "count": 0.0, "min": np.inf, "max": -np.inf}


def load_kernels() -> ModuleType:
    """The compiled loops; numba is imported when they are first needed."""
    from breakwater.metrics import kernels  # noqa: PLC0415 - numba costs 0.6 s to import

    return kernels


def consolidated(
    values: Array, multiple: int, by: str, is_gauge: NDArray[np.bool_] | None = None
) -> Array:
    """Each `multiple` datapoints of a line made one, [lines, n * multiple] → [lines, n].

    NaN only where there was no value at all. An average divides by the number of datapoints for
    rates, where a missing one means nothing happened, and by the number of values for gauges.
    """
    if multiple == 1:
        return values
    parts = values.reshape(len(values), values.shape[1] // multiple, multiple)
    count = (~np.isnan(parts)).sum(axis=2)
    with np.errstate(all="ignore"):
        if by == "min":
            result = np.where(np.isnan(parts), np.inf, parts).min(axis=2, initial=np.inf)
        elif by == "max":
            result = np.where(np.isnan(parts), -np.inf, parts).max(axis=2, initial=-np.inf)
        else:
            result = np.where(np.isnan(parts), 0.0, parts).sum(axis=2)
        if by == "avg":
            divisor = np.full(count.shape, float(multiple))
            if is_gauge is not None:
                divisor[is_gauge] = count[is_gauge]
            result = result / divisor
    return np.where(count > 0, result, np.nan)


def _added(left: Array, right: Array) -> Array:
    both = np.isnan(left) & np.isnan(right)
    return np.where(both, np.nan, np.nan_to_num(left, nan=0.0) + np.nan_to_num(right, nan=0.0))
