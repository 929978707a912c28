"""The datapoints of every series in a ring of blocks, and the rows that series live in.

A series owns a row in every block while it has a value anywhere in the retention window; then its
row is retired and, one block later, given to another series. A handle is the row together with
the row's generation, so that a handle that outlived its series is noticed instead of obeyed.
"""

import threading
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.blocks import SEGMENT_ROWS, Array, PackedBlock, RawBlock, SegmentCache
from breakwater.metrics.errors import SeriesLimitError
from breakwater.metrics.index import Rows, TagIndex
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.steps import check_primary_step
from breakwater.model import Clock

Handles = NDArray[np.int64]

_ROW_BITS: Final = 32
_ROW_MASK: Final = (1 << _ROW_BITS) - 1
_NO_STALE: Final = np.empty(0, dtype=np.intp)
_CACHE_BYTES: Final = 128 << 20


class Stretch(NamedTuple):
    """Part of a window: `rows` of `data`, slots [first, last), landing at point `at`.

    `owners` are the positions, in the rows that were asked for, of the rows given here.
    """

    data: Array
    rows: Rows
    owners: slice
    first: int
    last: int
    at: int


class SeriesStore:
    """Takes columns of (handle, value), keeps `retention_s` of them, gives windows of rows.

    One thread writes; any thread may read. A datapoint is kept when it falls into the newest
    block or the one before it; what is older, or further ahead of the clock than
    `max_ahead_steps`, is counted in `dropped`. Memory: 8 bytes a slot and row in raw blocks,
    about 1 in packed ones, and about 700 bytes for the tags of a series with one tag of its own.
    """

    def __init__(self, settings: MetricsSettings, clock: Clock) -> None:
        check_primary_step(settings.step_ms)
        self.settings = settings
        self.index = TagIndex(max_values_per_regex=settings.max_values_per_regex)
        self.dropped: Tally[str] = Tally()
        self.writes = self.datapoints = self.new_series = self.retired_series = 0
        self._clock = clock
        self._step_ms = settings.step_ms
        self._slots = settings.block_slots
        span = self._slots * self._step_ms
        self._ring = max(-(-settings.retention_s * 1000 // span) + 1, 2)
        self._blocks: dict[int, RawBlock | PackedBlock] = {}
        self._newest = -1
        self._seal_lock = threading.Lock()
        self._segments = SegmentCache(_CACHE_BYTES)
        self._row_count = 0
        self._free: list[int] = []
        self._resting: list[int] = []
        self._generation = np.zeros(1024, dtype=np.int64)
        self._last = np.zeros(1024, dtype=np.int64)

    def resolve(self, tags: Mapping[str, str]) -> int:
        """Handle of the series with these tags; raises SeriesLimitError when there is no room."""
        row = self.index.row_of(tags)
        if row is None:
            row = self._take_row()
            self._last[row] = self._slot_of(self._clock.now_ms())
            self.index.add(row, tags)
            self.new_series += 1
        return (int(self._generation[row]) << _ROW_BITS) | row

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Array
    ) -> NDArray[np.intp]:
        """Store a column; returns the positions of handles whose series has been retired."""
        self.writes += 1
        rows = handles & _ROW_MASK
        is_fresh = self._generation[rows] == handles >> _ROW_BITS
        is_kept = is_fresh & np.isfinite(values)
        infinite = int(np.isinf(values).sum())
        if infinite:
            self.dropped["infinite"] += infinite
        if isinstance(timestamps_ms, int):
            slot = self._slot_of(timestamps_ms)
            is_kept &= self._is_in_reach(slot, int(is_kept.sum()))
            self._put(slot // self._slots, rows[is_kept], slot, values[is_kept])
        else:
            self._write_scattered(rows, timestamps_ms, values, is_kept)
        return _NO_STALE if is_fresh.all() else np.flatnonzero(~is_fresh)

    def stretches(self, rows: Rows, first: int, last: int) -> Iterator[Stretch]:
        """The stored parts of grid points [first, last] of `rows`, which must ascend.

        A grid point is a timestamp divided by the step; point `first` lands at 0.
        """
        for number in range(first // self._slots, last // self._slots + 1):
            block = self._blocks.get(number)
            if block is None:
                continue
            origin = number * self._slots
            low, high = max(first - origin, 0), min(last - origin + 1, self._slots)
            at = origin + low - first
            if isinstance(block, RawBlock):
                count = int(np.searchsorted(rows, block.rows))
                if count:
                    yield Stretch(block.data, rows[:count], slice(0, count), low, high, at)
            else:
                for data, local, owners in self._unpacked(block, rows):
                    yield Stretch(data, local, owners, low, high, at)

    def seal(self) -> bool:
        """Pack the oldest block that takes no more writes; False when there is none.

        May run in another thread than the writer's. Takes about 20 ns a value.
        """
        if not self.settings.is_compressed or not self._seal_lock.acquire(blocking=False):
            return False
        try:
            block = self._oldest_raw()
            if block is None:
                return False
            packed = PackedBlock(block)
            if block.number in self._blocks:
                self._blocks[block.number] = packed
            return True
        finally:
            self._seal_lock.release()

    @property
    def row_count(self) -> int:
        """Rows in use, resting ones included."""
        return self._row_count - len(self._free)

    @property
    def block_counts(self) -> tuple[int, int]:
        """How many blocks there are, and how many of them are packed."""
        blocks = list(self._blocks.values())
        return len(blocks), sum(isinstance(block, PackedBlock) for block in blocks)

    @property
    def size_bytes(self) -> int:
        """Memory of blocks, unpacked segments and the row table."""
        blocks = sum(block.size_bytes for block in list(self._blocks.values()))
        return blocks + self._segments.size_bytes + self.index.size_bytes

    def _slot_of(self, timestamp_ms: int) -> int:
        return -(-timestamp_ms // self._step_ms)

    def _is_in_reach(self, slot: int, count: int) -> bool:
        number = slot // self._slots
        if slot > self._furthest():
            self.dropped["ahead_of_clock"] += count
            return False
        self._advance(number)
        if number < self._newest - 1:
            self.dropped["late"] += count
            return False
        return True

    def _furthest(self) -> int:
        return self._slot_of(self._clock.now_ms()) + self.settings.max_ahead_steps

    def _write_scattered(
        self, rows: Rows, timestamps: Handles, values: Array, is_kept: NDArray[np.bool_]
    ) -> None:
        slots = -(-timestamps // self._step_ms)
        is_ahead = slots > self._furthest()
        if is_ahead.any():
            self.dropped["ahead_of_clock"] += int((is_kept & is_ahead).sum())
            is_kept &= ~is_ahead
        if not is_kept.any():
            return
        numbers = slots // self._slots
        self._advance(int(numbers[is_kept].max()))
        is_late = numbers < self._newest - 1
        if is_late.any():
            self.dropped["late"] += int((is_kept & is_late).sum())
            is_kept &= ~is_late
        for number in (self._newest - 1, self._newest):
            chosen = np.flatnonzero(is_kept & (numbers == number))
            if len(chosen):
                self._put(number, rows[chosen], slots[chosen], values[chosen])

    def _put(self, number: int, rows: Rows, slots: Handles | int, values: Array) -> None:
        if not len(rows):
            return
        block = self._blocks.get(number)
        if block is None:
            block = self._new_block(number)
        assert isinstance(block, RawBlock), "only sealed blocks are packed, and they take no writes"
        block.fit(self._row_count)
        block.data[rows, slots - number * self._slots] = values
        self._last[rows] = np.maximum(self._last[rows], slots)
        self.datapoints += len(rows)

    def _new_block(self, number: int) -> RawBlock:
        block = RawBlock(number, max_rows=self.settings.max_series, slots=self._slots)
        self._blocks[number] = block
        return block

    def _advance(self, number: int) -> None:
        if number <= self._newest:
            return
        self._newest = number
        oldest = number - self._ring + 1
        for passed in [n for n in self._blocks if n < oldest]:
            del self._blocks[passed]
        raw = sum(isinstance(block, RawBlock) for block in self._blocks.values())
        if raw > self.settings.raw_blocks + 2:
            self.seal()
        self._retire(oldest * self._slots)

    def _retire(self, oldest_slot: int) -> None:
        self._free.extend(self._resting)
        self._resting = []
        silent = np.flatnonzero(self._last[: self._row_count] < oldest_slot)
        in_use = self.index.rows_in_use
        for row in map(int, silent):
            if row not in in_use:
                continue
            self.index.remove(row)
            self._generation[row] += 1
            self._resting.append(row)
            self.retired_series += 1

    def _oldest_raw(self) -> RawBlock | None:
        limit = self._newest - max(self.settings.raw_blocks, 2)
        sealable = [
            block
            for block in list(self._blocks.values())
            if isinstance(block, RawBlock) and block.number <= limit
        ]
        return min(sealable, key=lambda block: block.number, default=None)

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        row = self._row_count
        if row >= self.settings.max_series:
            raise SeriesLimitError(row, self.settings.max_series)
        if row >= len(self._generation):
            self._generation = np.concatenate([self._generation, np.zeros_like(self._generation)])
            self._last = np.concatenate([self._last, np.zeros_like(self._last)])
        self._row_count += 1
        return row

    def _unpacked(self, block: PackedBlock, rows: Rows) -> Iterator[tuple[Array, Rows, slice]]:
        count = int(np.searchsorted(rows, block.rows))
        start = 0
        while start < count:
            segment = int(rows[start]) // SEGMENT_ROWS
            stop = int(np.searchsorted(rows[:count], (segment + 1) * SEGMENT_ROWS))
            data = self._segments.get(block, segment)
            if data is not None:
                yield data, rows[start:stop] - segment * SEGMENT_ROWS, slice(start, stop)
            start = stop
