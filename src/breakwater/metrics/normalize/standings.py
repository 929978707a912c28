"""Where the normalisation of each series stands: what its stored datapoints do not say.

For every row the stamp it has got to. Totals, and rates whose stamps are off the grid, need more:
the sum of the step under way, the last total and its stamp; those have a place in `extras`. Rows
whose stamps are on the grid cost 12 bytes. All of it comes back after a restart: a snapshot holds
it, and the log holds how it moved wherever the datapoints beside it do not tell.
"""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.normalize.standing import COUNTER_MS, EXTRAS, PARTIAL, Standing
from breakwater.metrics.series.rows import ROW_BITS, ROW_MASK, reserved

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.int32]

LENT_BIT: Final = 61
"""A handle with this bit is lent: it stands for one of the sources of a rolled-up series."""
LENT_GENERATIONS: Final = 1 << (LENT_BIT - ROW_BITS)
ROLLED: Final = -1
"""In `places`: many sources write to this row, and nothing is kept of them. Also what a standing
says in the place of a stamp."""

_GROWTH: Final = 1024
_MOST_LENT: Final = 1 << 16
_IDLE_MS: Final = 600_000
_SWEEP_MS: Final = 60_000

_Number = TypeVar("_Number", np.float64, np.int64, np.int32)


LAST_MS: Final = EXTRAS
"""Column of `Standings.lent` beside those of the extras: the stamp a source has got to."""

# Columns of `Standings.lent_for`.
TARGET: Final = 0
"""The handle of the rolled-up series that a lent one stands for."""
GENERATION: Final = 1
"""Whose turn it is to have the lent handle."""


class Standings:
    """The standing of every row; belongs to the writer of the store, like the rows."""

    def __init__(self, limit: int) -> None:
        self.last_ms = reserved(limit, np.int64)
        self.places = reserved(limit, np.int32)
        self._used = 0
        self.extras = np.zeros((1, EXTRAS))
        self.free = np.zeros(0, dtype=np.int32)
        self.free_count = 0
        self.rolled = 0
        self.lent = np.zeros((0, LAST_MS + 1))
        self.lent_for = np.zeros((0, GENERATION + 1), dtype=np.int64)
        self._unlent: list[int] = []
        self._sweep_ms = 0

    @property
    def extra_count(self) -> int:
        """Rows with more than a stamp."""
        return len(self.extras) - 1 - self.free_count

    @property
    def size_bytes(self) -> int:
        """Memory that is really in use."""
        columns = (self.free, self.extras, self.lent, self.lent_for)
        return 12 * self._used + sum(int(column.nbytes) for column in columns)

    def fit(self, rows: int) -> None:
        """So many rows may be in use."""
        self._used = max(self._used, rows)
        if rows > len(self.last_ms):
            self.last_ms = _copied(self.last_ms, reserved(rows, np.int64))
            self.places = _copied(self.places, reserved(rows, np.int32))

    def fit_extras(self) -> None:
        """Have more free places; what there is of them grows by half."""
        size = len(self.extras)
        larger = max(size + size // 2, _GROWTH)
        self.extras = _longer(self.extras, larger)
        added = np.arange(larger - 1, size - 1, -1, dtype=np.int32)  # 0 is nobody's
        self.free = _longer(self.free, larger)
        self.free[self.free_count : self.free_count + len(added)] = added
        self.free_count += len(added)

    def clear(self, rows: Ints) -> None:
        """These rows belong to nobody any more."""
        rows = rows[rows < len(self.places)]
        places = self.places[rows]
        self.rolled -= int((places == ROLLED).sum())
        self._give_back(places[places > 0])
        self.last_ms[rows] = 0
        self.places[rows] = 0

    def roll_up(self, row: int) -> None:
        """From now on many sources write to this row."""
        self.fit(row + 1)
        if self.places[row] != ROLLED:
            self.clear(np.array([row]))
            self.places[row] = ROLLED
            self.rolled += 1

    def rolled_rows(self) -> Ints:
        """Rows that many sources write to, ascending."""
        if not self.rolled:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.places[: self._used] == ROLLED)

    def is_rolled(self, rows: Ints) -> NDArray[np.bool_]:
        """Which rows are written to by many sources."""
        found = np.zeros(len(rows), dtype=np.bool_)
        is_inside = rows < len(self.places)
        found[is_inside] = self.places[rows[is_inside]] == ROLLED
        return found

    def reach(self, rows: Ints, stamps_ms: Ints) -> None:
        """Datapoints with these stamps were stored before a restart; what was later stays."""
        if not len(rows):
            return
        self.fit(int(rows.max()) + 1)
        is_later = stamps_ms > self.last_ms[rows]
        rows, stamps_ms = rows[is_later], stamps_ms[is_later]
        np.maximum.at(self.last_ms, rows, stamps_ms)
        places = self.places[rows]
        self.extras[places[places > 0], PARTIAL] = 0.0

    def rewind(self, last_ms: int) -> None:
        """Forget what was said of times after a stamp: the next update there is a first one."""
        stamps, places = self.last_ms[: self._used], self.places[: self._used]
        is_late = stamps > last_ms
        has_late_total = self.extras[np.maximum(places, 0), COUNTER_MS] > last_ms
        reset = places[is_late | has_late_total]
        self.extras[reset[reset > 0]] = 0.0
        stamps[is_late] = 0
        self.lent[(self.lent[:, [COUNTER_MS, LAST_MS]] > last_ms).any(axis=1)] = 0.0
        self._sweep_ms = 0

    def of(self, rows: Ints) -> Standing:
        """Where these rows stand; rows that were never updated may be among them."""
        self.fit(int(rows.max(initial=-1)) + 1)
        places = self.places[rows]
        is_extra = places > 0
        last_ms = np.where(places == ROLLED, ROLLED, self.last_ms[rows])
        return Standing(rows, last_ms, is_extra, self.extras[places[is_extra]])

    def restore(self, standing: Standing) -> None:
        """Have rows stand where they stood."""
        rows = standing.keys
        self.fit(int(rows.max(initial=-1)) + 1)
        self.last_ms[rows] = np.maximum(standing.last_ms, 0)
        for row in rows[standing.last_ms == ROLLED].tolist():
            self.roll_up(row)
        with_extras = rows[standing.is_extra]
        self._give_places(with_extras)
        places = self.places[with_extras]
        self.extras[places[places > 0]] = standing.extras[places > 0]
        places = self.places[rows[~standing.is_extra]]  # of those that had more before
        self.extras[places[places > 0]] = 0.0

    def lend(self, target: int, now_ms: int) -> int:
        """A handle for one source of the rolled-up series `target`; `target` if none is left.

        At most 65,536 are lent; one that was silent for ten minutes may be lent again, and is
        then found stale by whoever had it.
        """
        if not self._unlent:
            self._find_unlent(now_ms)
        if not self._unlent:
            return target
        source = self._unlent.pop()
        generation = (int(self.lent_for[source, GENERATION]) + 1) % LENT_GENERATIONS
        self.lent[source] = 0.0
        self.lent_for[source] = target, generation
        return (1 << LENT_BIT) | (generation << ROW_BITS) | source

    def targets(self, handles: Ints) -> Ints:
        """The handles with lent ones replaced by what they stand for, -1 where that is over."""
        is_lent = (handles >= 0) & ((handles >> LENT_BIT) & 1 == 1)  # -1 has every bit
        if not is_lent.any():
            return handles
        found = handles.copy()
        sources = handles[is_lent] & ROW_MASK
        generations = (handles[is_lent] >> ROW_BITS) % LENT_GENERATIONS
        lent_for = self.lent_for[sources]
        is_same = lent_for[:, GENERATION] == generations
        found[is_lent] = np.where(is_same, lent_for[:, TARGET], -1)
        return found

    def _find_unlent(self, now_ms: int) -> None:
        """Have sources to lend: new ones, else those that were silent for long."""
        size = len(self.lent)
        if size < _MOST_LENT:
            larger = min(max(2 * size, _GROWTH), _MOST_LENT)
            self.lent = _longer(self.lent, larger)
            self.lent_for = _longer(self.lent_for, larger)
            self._unlent = list(range(larger - 1, size - 1, -1))
        elif now_ms >= self._sweep_ms:
            self._sweep_ms = now_ms + _SWEEP_MS
            self._unlent = np.flatnonzero(self.lent[:, COUNTER_MS] < now_ms - _IDLE_MS).tolist()

    def _give_places(self, rows: Ints) -> None:
        rows = np.unique(rows[self.places[rows] == 0])
        while self.free_count < len(rows):
            self.fit_extras()
        self.free_count -= len(rows)
        self.places[rows] = self.free[self.free_count : self.free_count + len(rows)]

    def _give_back(self, places: Places) -> None:
        self.extras[places] = 0.0
        self.free[self.free_count : self.free_count + len(places)] = places
        self.free_count += len(places)


def _longer(column: NDArray[_Number], size: int) -> NDArray[_Number]:
    return _copied(column, np.zeros((size, *column.shape[1:]), dtype=column.dtype))


def _copied(column: NDArray[_Number], into: NDArray[_Number]) -> NDArray[_Number]:
    into[: len(column)] = column
    return into
