"""Rolling up: the datapoints of one store made coarser and written to the store of a class.

Only steps are rolled up whose datapoints can no longer change. A pass takes a few steps of the
class, target by target, and ends with a mark in the class's own log; after a crash the first step
without a mark is rolled up again, to the same values in the same places. Work is cut into pieces
of a few milliseconds, so that whoever calls may stop at any of them.
"""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.classes.policy import AGGREGATE, KINDS, ClassPolicy
from breakwater.metrics.classes.rollup_rows import Ordinals, RowMap, Targets
from breakwater.metrics.selection.query import Equal, Query, both
from breakwater.metrics.series.rows import Handles, Rows
from breakwater.metrics.store.series_store import SeriesStore

Array = NDArray[np.float64]

MARK: Final = {"name": "breakwater.rolled.up", AGGREGATE: "mark"}
"""The series of a class that has a value at every step up to which all of them were rolled up."""

_SLICE_VALUES: Final = 1_000_000
_MOST_POINTS: Final = 240
"""Steps of the source that one pass takes, unless one step of the class is longer."""


class RollupStats(msgspec.Struct, frozen=True, kw_only=True):
    """What was rolled up since the start. steps: of the class; series: targets known now.

    until_ms: the newest stamp that is done, 0 for none. missed_steps: steps that the source had
    already forgotten. refused_series: targets the class had no room for.
    """

    until_ms: int
    steps: int
    datapoints: int
    missed_steps: int
    series: int
    refused_series: int
    busy_s: float


class _Part(msgspec.Struct, frozen=True, eq=False):
    """Rows of a source, ordered by target, all of one kind; "" for rows never rolled up before."""

    kind: str
    rows: Rows
    ordinals: Ordinals


class Rollup:
    """Feeds `target` from `source`; both by one thread, the only one that writes to `target`.

    ready: the last slot of the source whose values are final, called before each pass. begun,
    done: the first and the last step that was rolled up, -1 before any was.
    """

    def __init__(
        self,
        source: SeriesStore,
        target: SeriesStore,
        policy: ClassPolicy,
        *,
        ready: Callable[[], int],
    ) -> None:
        self._source, self._target = source, target
        self._ready = ready
        self.step_ms = policy.kept.step_ms
        self.multiple = self.step_ms // source.settings.step_ms
        self._targets = Targets(target)
        self._maps = {
            kind: RowMap(source, _of_kind(policy.where, kind), policy.dropped, self._targets)
            for kind in (KINDS if policy.is_rolled else ("",))
        }
        self.begun, self.done = self._recovered()
        self._work: Iterator[None] | None = None
        self._steps = self._datapoints = self._missed = 0
        self._is_fed = False
        self.busy_s = 0.0

    def advance(self, is_over: Callable[[], bool]) -> bool:
        """Roll up until nothing is left or `is_over`; True when nothing is left."""
        while not is_over():
            if self._work is None:
                span = self._next_span()
                if span is None:
                    return True
                self._work = self._pass(*span)
            if next(self._work, _END) is _END:
                self._work = None
        return False

    def skip_stop(self) -> None:
        """Nobody was there to send anything: steps before the next pass are not missed ones."""
        self._is_fed = False

    def rewind(self) -> None:
        """The end of what was rolled up is gone: go on behind what is left."""
        self._work = None
        self._is_fed = False
        self.begun, self.done = self._recovered()

    def stats(self) -> RollupStats:
        """Counts since the start."""
        return RollupStats(
            until_ms=max(self.done, 0) * self.step_ms,
            steps=self._steps,
            datapoints=self._datapoints,
            missed_steps=self._missed,
            series=self._targets.count,
            refused_series=self._targets.refused,
            busy_s=self.busy_s,
        )

    @property
    def size_bytes(self) -> int:
        """Memory of the table of targets and of the maps to it."""
        return self._targets.size_bytes + sum(each.size_bytes for each in self._maps.values())

    def _recovered(self) -> tuple[int, int]:
        """The first and the last step that was rolled up before a restart; -1 without any."""
        row = self._target.index.row_of(MARK)
        held = self._target.held_slots()
        if row is None or held is None:
            return -1, -1
        first, last = held
        marks = gathered(self._target, np.array([row]), first, last)[0]
        marked = np.flatnonzero(~np.isnan(marks))
        return (first + int(marked[0]), first + int(marked[-1])) if len(marked) else (-1, -1)

    def _next_span(self) -> tuple[int, int] | None:
        """The steps of the class to be rolled up next, both included."""
        held = self._source.held_slots()
        if held is None:
            return None
        last = self._ready() // self.multiple
        begins = -(-held[0] // self.multiple)
        first = max(self.done + 1, begins)
        if self._is_cut(first):
            first += 1
        if first > last:
            return None
        if self.done >= 0:
            if self._is_fed:
                self._missed += first - self.done - 1
            self.done = first - 1
        most = min(max(_MOST_POINTS // self.multiple, 1), self._target.settings.block_slots)
        return first, min(last, first + most - 1)

    def _is_cut(self, step: int) -> bool:
        """Whether the source has forgotten the beginning of a step: half a sum is none."""
        return (step - 1) * self.multiple + 1 < self._source.settled_slots()[0]

    def _mark(self) -> Handles:
        """The handle of the mark, none when it has been retired and there is no room."""
        handles = self._target.resolve_all([MARK]).handles
        return handles[handles >= 0]

    def _pass(self, first: int, last: int) -> Iterator[None]:
        self._mark()  # it comes first, while there is room
        for each in self._maps.values():
            yield from each.update()
        parts = [
            _part(kind, each.rows, each.ordinals)
            for kind, each in self._maps.items()
            if len(each.rows)
        ]
        is_stale = False
        for part in parts:
            for taken in _slices(part.ordinals, _rows_at_once(last - first + 1, self.multiple)):
                is_stale |= self._roll(part, taken, first, last)
                yield
        if is_stale:
            self._targets.forget()
            for each in self._maps.values():
                each.forget()
            return  # the same steps once more, with handles that are valid
        mark = self._mark()
        for step in range(first, last + 1):
            self._target.write(mark, step * self.step_ms, np.ones(len(mark)))
        self._steps += last - first + 1
        self._is_fed = True
        self.begun = first if self.begun < 0 else self.begun
        self.done = last

    def _roll(self, part: _Part, taken: slice, first: int, last: int) -> bool:
        """Roll up some targets and write them; True when a handle was no longer valid."""
        rows, ordinals = part.rows[taken], part.ordinals[taken]
        begins = (first - 1) * self.multiple + 1
        values = gathered(self._source, rows, begins, last * self.multiple)
        starts = np.flatnonzero(np.diff(ordinals, prepend=-1))
        bounds = np.append(starts, len(rows))
        owners = ordinals[starts]
        if part.kind:
            kinds = [KINDS.index(part.kind)]
            rolled = merged_rows(part.kind, values, bounds, self.multiple)[:, np.newaxis]
        else:
            kinds = list(range(len(KINDS)))
            rolled = np.empty((len(owners), len(KINDS), last - first + 1))
            load_rollup().roll_rows(values, bounds, self.multiple, rolled)
        handles = self._targets.handles[kinds][:, owners].T
        is_stale = False
        for step in range(first, last + 1):
            is_stale |= self._write(handles, step * self.step_ms, rolled[:, :, step - first])
        return is_stale

    def _write(self, handles: NDArray[np.int64], stamp_ms: int, values: Array) -> bool:
        is_kept = (handles >= 0) & np.isfinite(values)
        chosen, kept = handles[is_kept], values[is_kept]
        if not len(chosen):
            return False
        self._datapoints += len(chosen)
        return len(self._target.write(chosen, stamp_ms, kept)) > 0


_END: Final = object()


def load_rollup() -> ModuleType:
    """The compiled loop; numba is imported when it is first needed."""
    from breakwater.metrics.classes import kernels as rollup_kernels  # noqa: PLC0415 - numba costs 0.6 s to import

    return rollup_kernels


def gathered(store: SeriesStore, rows: Rows, first: int, last: int) -> Array:
    """A copy of slots [first, last] of rows, float64 [rows, slots], NaN where there is no value."""
    values = np.empty((len(rows), last - first + 1))
    order = np.argsort(rows, kind="stable")
    values[order] = store.values(rows[order], first, last)
    return values


def merged_rows(kind: str, values: Array, starts: NDArray[np.int64], multiple: int) -> Array:
    """Roll up what was rolled up before: rows of one of KINDS to [targets, n].

    values: [rows, n * multiple], rows of a target next to each other, none without rows. How
    many steps of a target had a value is the most that any of its rows had.
    """
    by_target = _merged("max" if kind == "steps" else kind, values, starts[:-1], axis=0)
    steps = np.arange(0, values.shape[1], multiple)
    merged = _merged("sum" if kind == "steps" else kind, by_target, steps, axis=1)
    load_rollup().snap(merged.reshape(-1))
    return merged


def _merged(how: str, values: Array, starts: NDArray[np.int64], *, axis: int) -> Array:
    """Stretches of an axis made one: least, greatest or sum; NaN where there is no value."""
    merged: Array
    if how == "min":
        merged = np.fmin.reduceat(values, starts, axis=axis)
    elif how == "max":
        merged = np.fmax.reduceat(values, starts, axis=axis)
    else:
        is_missing = np.isnan(values)
        total = np.add.reduceat(np.where(is_missing, 0.0, values), starts, axis=axis)
        is_empty = np.logical_and.reduceat(is_missing, starts, axis=axis)
        merged = np.where(is_empty, np.nan, total)
    return merged


def _of_kind(query: Query, kind: str) -> Query:
    return both(query, Equal(AGGREGATE, kind)) if kind else query


def _part(kind: str, rows: Rows, ordinals: Ordinals) -> _Part:
    order = np.argsort(ordinals, kind="stable")
    return _Part(kind, rows[order], ordinals[order])


def _rows_at_once(steps: int, multiple: int) -> int:
    return max(_SLICE_VALUES // (steps * multiple), 1)


def _slices(ordinals: Ordinals, at_once: int) -> Iterator[slice]:
    """Rows in pieces of at least `at_once` that keep the rows of a target together."""
    start = 0
    while start < len(ordinals):
        stop = min(start + at_once, len(ordinals))
        stop = int(np.searchsorted(ordinals, ordinals[stop - 1], side="right"))
        yield slice(start, stop)
        start = stop
