"""The datapoints of every series in a ring of blocks, and the rows that series live in.

A series owns a row in every block while it has a value anywhere in the retention window; then its
row is retired and, one block later, given to another series. A handle is the row together with
the row's generation, so that a handle that outlived its series is noticed instead of obeyed.
"""

import threading
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.blocks import SEGMENT_ROWS, Array, PackedBlock, RawBlock, SegmentCache
from breakwater.metrics.errors import SeriesLimitError
from breakwater.metrics.index import IndexImage, Rows, TagIndex
from breakwater.metrics.records import Definition
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


class Recorder(Protocol):
    """Who keeps a record of what a store takes; called by the writer, so it must not block."""

    def define(self, serial: int, last_slot: int, tags: Mapping[str, str]) -> None:
        """There is a new series, to be called `serial` from now on."""
        ...

    def put(self, serials: Handles, slots: Handles | int, values: Array) -> None:
        """These values were stored in these slots of the step grid."""
        ...


class StoreImage(NamedTuple):
    """A store as it was at one moment; `serials` and `last_slots` belong to `tags.rows`.

    Blocks from `newest - 1` on still take writes while the image is in use: what is in them for
    rows of the image is as new as its reader, other rows of theirs mean nothing.
    """

    newest: int
    next_serial: int
    tags: IndexImage
    serials: Handles
    last_slots: Handles
    blocks: dict[int, RawBlock | PackedBlock]


class SeriesStore:
    """Takes columns of (handle, value), keeps `retention_s` of them, gives windows of rows.

    One thread writes; any thread may read. A datapoint is kept when it falls into the newest
    block or the one before it; what is older, or further ahead of the clock than
    `max_ahead_steps`, is counted in `dropped`. `mutex` is held while anything is written; whoever
    needs the store to stand still for a moment takes it. Memory: 8 bytes a slot and row in raw
    blocks, about 1 in packed ones, and about 700 bytes for the tags of a series with one tag of
    its own.
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
        self.mutex = threading.Lock()
        self.recorder: Recorder | None = None
        self.keeps_retired_rows = False
        self._max_rows = settings.max_series
        self._next_serial = 1
        self._serial = np.zeros(1024, dtype=np.int64)
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
            with self.mutex:
                row = self._add(tags, self._next_serial, self._slot_of(self._clock.now_ms()))
                if self.recorder is not None:
                    self.recorder.define(self._next_serial - 1, int(self._last[row]), tags)
        return self._handle(row)

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Array
    ) -> NDArray[np.intp]:
        """Store a column; returns the positions of handles whose series has been retired."""
        with self.mutex:
            return self._write(handles, timestamps_ms, values)

    def replay(self, handles: Handles, slots: Handles, values: Array) -> int:
        """Store again what was stored before a restart, whatever the clock says now.

        Returns how many datapoints had a series and a block that are still there.
        """
        before = self.datapoints
        self._write_slots(handles, slots, values, self._is_fresh(handles))
        return self.datapoints - before

    def redefine(self, definition: Definition) -> int:
        """Handle of a series that was defined before a restart; raises SeriesLimitError."""
        serial, last_slot, tags = definition
        row = self.index.row_of(tags)
        if row is None:
            row = self._add(tags, serial, last_slot)
        self._serial[row] = serial
        self._last[row] = max(int(self._last[row]), last_slot)
        self.skip_serials(serial)
        return self._handle(row)

    def skip_serials(self, serial: int) -> None:
        """Never give this serial, or a smaller one, to a new series."""
        self._next_serial = max(self._next_serial, serial + 1)

    def catch_up(self, now_ms: int) -> None:
        """Recovery is over: forget what has left the retention by now, and count from here on."""
        if self._newest >= 0:
            self._advance(self._slot_of(now_ms) // self._slots)
        self.dropped.clear()
        self.writes = self.datapoints = self.new_series = self.retired_series = 0

    def image(self) -> StoreImage:
        """What there is now; the caller holds `mutex`. About 100 ns a series, blocks not copied.

        As long as the image is in use, `keeps_retired_rows` must be true.
        """
        tags = self.index.image()
        return StoreImage(
            newest=self._newest,
            next_serial=self._next_serial,
            tags=tags,
            serials=self._serial[tags.rows],
            last_slots=self._last[tags.rows],
            blocks=dict(self._blocks),
        )

    def restore(self, image: StoreImage) -> None:
        """Take over an image, into a store that is still empty.

        Blocks that still take writes are unpacked, blocks that are older than the retention are
        left out. Handles given out by the former store mean nothing in this one.
        """
        rows = image.tags.rows
        count = int(rows[-1]) + 1 if len(rows) else 0
        self._max_rows = max(self._max_rows, count)
        while len(self._last) < count:
            self._grow_rows()
        self.index.restore(image.tags)
        self._row_count = count
        self._free = np.setdiff1d(np.arange(count), rows)[::-1].tolist()
        self._last[rows] = image.last_slots
        self._serial[rows] = image.serials
        self.skip_serials(image.next_serial - 1)
        self._newest = image.newest
        for number, block in image.blocks.items():
            if number > image.newest - self._ring:
                is_open = number >= image.newest - 1 and isinstance(block, PackedBlock)
                self._blocks[number] = self._opened(block, rows) if is_open else block

    def _opened(self, packed: PackedBlock | RawBlock, rows: Rows) -> RawBlock:
        """A packed block as one that takes writes; rows without a series hold no value."""
        assert isinstance(packed, PackedBlock)
        block = RawBlock(packed.number, max_rows=self._max_rows, slots=self._slots)
        block.fit(self._row_count)
        has_series = np.zeros(block.rows, dtype=np.bool_)
        has_series[rows] = True
        for segment in range(min(len(packed.segments), block.rows // SEGMENT_ROWS)):
            values = packed.unpack(segment)
            if values is not None:
                first = segment * SEGMENT_ROWS
                chosen = np.flatnonzero(has_series[first : first + SEGMENT_ROWS])
                block.data[first + chosen] = values[chosen]
        return block

    def _add(self, tags: Mapping[str, str], serial: int, last_slot: int) -> int:
        row = self._take_row()
        self._last[row] = last_slot
        self._serial[row] = serial
        self.index.add(row, tags)
        self.skip_serials(serial)
        self.new_series += 1
        return row

    def _handle(self, row: int) -> int:
        return (int(self._generation[row]) << _ROW_BITS) | row

    def _write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Array
    ) -> NDArray[np.intp]:
        self.writes += 1
        retired = self.retired_series
        is_fresh = self._is_fresh(handles)
        is_kept = is_fresh & np.isfinite(values)
        infinite = int(np.isinf(values).sum())
        if infinite:
            self.dropped["infinite"] += infinite
        if isinstance(timestamps_ms, int):
            slot = self._slot_of(timestamps_ms)
            is_kept &= self._is_in_reach(slot, int(is_kept.sum()))
            if self.retired_series != retired:
                is_kept &= self._is_fresh(handles)
            rows = handles[is_kept] & _ROW_MASK
            self._put(slot // self._slots, rows, slot, values[is_kept])
        else:
            self._write_scattered(handles, timestamps_ms, values, is_kept)
        if self.retired_series != retired:  # these very values have moved the window on
            is_fresh = self._is_fresh(handles)
        return _NO_STALE if is_fresh.all() else np.flatnonzero(~is_fresh)

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be kept now beside one of `newest_ms`."""
        furthest = self._furthest()
        newest = max(self._newest, min(self._slot_of(newest_ms), furthest) // self._slots)
        oldest = (newest - 1) * self._slots
        return (oldest - 1) * self._step_ms + 1, furthest * self._step_ms

    def stretches(self, rows: Rows, first: int, last: int) -> Iterator[Stretch]:
        """The stored parts of grid points [first, last] of `rows`, which must ascend.

        A grid point is a timestamp divided by the step; point `first` lands at 0.
        """
        oldest, newest = first // self._slots, last // self._slots
        # The ring is short, a window may be decades long: walk the ring.
        for number in sorted(held for held in list(self._blocks) if oldest <= held <= newest):
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
            packed = PackedBlock.of(block)
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

    def _is_fresh(self, handles: Handles) -> NDArray[np.bool_]:
        """Which handles still stand for the series they were given out for."""
        fresh: NDArray[np.bool_] = self._generation[handles & _ROW_MASK] == handles >> _ROW_BITS
        return fresh

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
        self, handles: Handles, timestamps: Handles, values: Array, is_kept: NDArray[np.bool_]
    ) -> None:
        slots = -(-timestamps // self._step_ms)
        is_ahead = slots > self._furthest()
        if is_ahead.any():
            self.dropped["ahead_of_clock"] += int((is_kept & is_ahead).sum())
            is_kept &= ~is_ahead
        self._write_slots(handles, slots, values, is_kept)

    def _write_slots(
        self, handles: Handles, slots: Handles, values: Array, is_kept: NDArray[np.bool_]
    ) -> None:
        if not is_kept.any():
            return
        numbers = slots // self._slots
        retired = self.retired_series
        self._advance(int(numbers[is_kept].max()))
        if self.retired_series != retired:
            is_kept &= self._is_fresh(handles)
        rows = handles & _ROW_MASK
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
        if self.recorder is not None:
            self.recorder.put(self._serial[rows], slots, values)

    def _new_block(self, number: int) -> RawBlock:
        block = RawBlock(number, max_rows=self._max_rows, slots=self._slots)
        self._blocks[number] = block
        return block

    def _advance(self, number: int) -> None:
        if number <= self._newest:
            return
        self._newest = number
        oldest = number - self._ring + 1
        for passed in [n for n in list(self._blocks) if n < oldest]:
            del self._blocks[passed]
        raw = sum(isinstance(block, RawBlock) for block in list(self._blocks.values()))
        if raw > self.settings.raw_blocks + 2:
            self.seal()
        self._retire(oldest * self._slots)

    def _retire(self, oldest_slot: int) -> None:
        if not self.keeps_retired_rows:
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
            self._grow_rows()
        self._row_count += 1
        return row

    def _grow_rows(self) -> None:
        self._generation = np.concatenate([self._generation, np.zeros_like(self._generation)])
        self._last = np.concatenate([self._last, np.zeros_like(self._last)])
        self._serial = np.concatenate([self._serial, np.zeros_like(self._serial)])

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
