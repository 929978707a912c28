"""Updates as they happened, made datapoints of the step grid, and stored.

The compiled loop is in `updates`, what it has to remember of each series in `standings`. An
update is kept like any datapoint: what it settled is logged, and beside it where its series
stands, wherever that cannot be told from the datapoints.
"""

from types import ModuleType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.normalize import outcomes
from breakwater.metrics.series.rows import Handles
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.metrics.store.spans import plain_column
from breakwater.model.normalization import counter_heartbeat_ms

_NO_STALE: Final = np.empty(0, dtype=np.intp)
_SLICE: Final = 16_384
_LEAST_FREE: Final = 64


class NormalizingStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of updates, counted since the start.

    settled: datapoints they came to. duplicate: said again for a stamp that was taken. late: out
    of order by more than Atlas takes, and taken: whole rates, which fill their slots where those
    are empty, and gauges and sums of steps before the last two; what of it the store takes no
    more is in `dropped` besides. passed_over: rates off the grid and totals that are older
    than the newest. no_value: NaN. pauses: silences longer than a value holds. resets: totals
    that fell. no_source: totals of rolled-up series that were lost, as no memory was left for
    their source. remembered: series of which more than a stamp is kept.
    """

    updates: int
    settled: int
    duplicate: int
    late: int
    passed_over: int
    no_value: int
    pauses: int
    resets: int
    no_source: int
    remembered: int
    size_bytes: int


class Normalizing:
    """Takes updates for a store; belongs to its writer.

    Some 25 ns an update whose stamp is on the grid, storing it included, and twice that off it.
    """

    def __init__(self, store: SeriesStore) -> None:
        self._store = store
        self._updates = 0
        self._counts = np.zeros(outcomes.COUNTS, dtype=np.int64)
        step_ms = self._step_ms = store.settings.step_ms
        self._counter_ms = counter_heartbeat_ms(step_ms)
        self._most = self._counter_ms // step_ms + 2

    def record(
        self, handles: Handles, timestamps_ms: Handles, values: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Store what updates come to; returns positions of handles whose series was retired."""
        store = self._store
        retired = store.retired_series
        self._updates += len(handles)
        handles, values = plain_column(handles, np.int64), plain_column(values, np.float64)
        timestamps_ms = plain_column(timestamps_ms, np.int64)
        is_any_stale = False
        for first in range(0, len(handles), _SLICE):
            part = slice(first, first + _SLICE)
            is_any_stale |= self._record(handles[part], timestamps_ms[part], values[part])
        if not is_any_stale and store.retired_series == retired:
            return _NO_STALE
        return np.flatnonzero(~store.rows.is_fresh(store.standings.targets(handles)))

    def stats(self) -> NormalizingStats:
        """Counts since the start."""
        counts = self._counts
        return NormalizingStats(
            updates=self._updates,
            settled=int(counts[outcomes.SETTLED]),
            duplicate=int(counts[outcomes.DUPLICATE]),
            late=int(counts[outcomes.LATE]),
            passed_over=int(counts[outcomes.PASSED_OVER]),
            no_value=int(counts[outcomes.NO_VALUE]),
            pauses=int(counts[outcomes.PAUSE]),
            resets=int(counts[outcomes.RESET]),
            no_source=int(counts[outcomes.NO_SOURCE]),
            remembered=self._store.standings.extra_count,
            size_bytes=self._store.standings.size_bytes,
        )

    def _record(
        self, handles: Handles, timestamps_ms: Handles, values: NDArray[np.float64]
    ) -> bool:
        """Store what some updates come to; returns whether a handle was stale."""
        at = stale = 0
        while at < len(handles):
            counts = np.zeros(outcomes.COUNTS, dtype=np.int64)
            with self._store.mutex:
                at = self._pass(at, handles, timestamps_ms, values, counts)
            self._count(counts)
            stale += int(counts[outcomes.STALE])
        return stale > 0

    def _pass(
        self,
        at: int,
        handles: Handles,
        timestamps_ms: Handles,
        values: NDArray[np.float64],
        counts: NDArray[np.int64],
    ) -> int:
        """Store what updates from `at` on come to, as far as there is room; where that ends."""
        store, standings = self._store, self._store.standings
        standings.fit(store.rows.count)
        if standings.free_count < _LEAST_FREE:
            standings.fit_extras()
        counts[outcomes.FREE] = standings.free_count
        size = len(handles) - at
        out = np.empty((3, size + self._most), dtype=np.int64)
        settled = np.empty(size + self._most)
        moved = np.empty(size, dtype=np.int64)
        at = load_updates().settle(
            at,
            (handles, timestamps_ms, values),
            (store.rows.generation, store.rows.kind, standings.last_ms, standings.places),
            (standings.extras, standings.free, standings.lent, standings.lent_for),
            (out, settled, moved),
            counts,
            (self._step_ms, self._counter_ms, store.reach_ms(0)[1], self._most),
        )
        standings.free_count = int(counts[outcomes.FREE])
        count = int(counts[outcomes.SETTLED])
        if count:
            ops = out[2, :count].astype(np.uint8)
            store.fold_held(out[0, :count], out[1, :count], settled[:count], ops)
        if counts[outcomes.MOVED] and store.recorder is not None:
            rows = moved[: counts[outcomes.MOVED]]
            store.recorder.stand(standings.of(rows)._replace(keys=store.rows.serial[rows]))
        return at

    def _count(self, counts: NDArray[np.int64]) -> None:
        for place, reason in ((outcomes.AHEAD, "ahead_of_clock"), (outcomes.INFINITE, "infinite")):
            if counts[place]:
                self._store.dropped[reason] += int(counts[place])
        self._counts += counts


def load_updates() -> ModuleType:
    """The compiled loop over updates; numba is imported when it is first needed."""
    from breakwater.metrics.normalize import updates  # noqa: PLC0415 - numba costs 0.6 s to import

    return updates
