"""The datapoints of every series in a ring of blocks, and the rows that series live in.

A series owns a row in every block while it has a value anywhere in the retention window; then its
row is retired and, one block later, given to another series. A handle is the row together with
the row's generation, so that a handle that outlived its series is noticed instead of obeyed.
"""

import threading
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import SeriesLimitError
from breakwater.metrics.grid.steps import check_stored_step
from breakwater.metrics.normalize.standings import Standings
from breakwater.metrics.series.index import TagIndex
from breakwater.metrics.series.kinds import KIND_TAG, KINDS, RATE, REPLACE
from breakwater.metrics.series.rows import Handles, Rows, RowTable
from breakwater.metrics.series.rowtags import load_folding
from breakwater.metrics.series.table import SeriesTable, TagTable
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.blocks import (
    SEGMENT_ROWS,
    Array,
    Directory,
    PackedBlock,
    RawBlock,
    load_kernels,
    size_bytes,
)
from breakwater.metrics.store.discards import Discards
from breakwater.metrics.store.ports import Recorder, Resolved, StoreImage, Watcher
from breakwater.metrics.store.ring import Ring
from breakwater.metrics.store.spans import COPY, plain_column
from breakwater.model import Clock

Ops = NDArray[np.uint8]

_NO_STALE: Final = np.empty(0, dtype=np.intp)
_REPLACE: Final = np.array([REPLACE], dtype=np.uint8)
_ANY_SLOT: Final = 1 << 62
_RETIRED_AT_ONCE: Final = 4096
NO_BLOCK: Final = 1 << 62
"""A number no block has."""


class SeriesStore:
    """Takes columns of (handle, value), keeps `retention_s` of them, gives windows of rows.

    One thread writes; any thread may read. A datapoint is kept when it falls into the newest
    block or the one before it; what is older, or further ahead of the clock than
    `max_ahead_steps`, is counted in `dropped`. `mutex` is held while anything is written; whoever
    needs the store to stand still for a moment takes it. Memory: 8 bytes a slot and row in raw
    blocks, about 1 in packed ones, and about 80 bytes for a series with 8 tags that others share;
    200 more for each tag of its own.
    """

    def __init__(self, settings: MetricsSettings, clock: Clock) -> None:
        check_stored_step(settings.step_ms)
        self.settings = settings
        self.index = TagIndex(max_values_per_regex=settings.max_values_per_regex)
        self.dropped: Tally[str] = Tally()
        self.writes = self.datapoints = self.new_series = self.retired_series = self.kept_out = 0
        self._clock = clock
        self._step_ms = settings.step_ms
        self._slots = settings.block_slots
        self.ring = Ring(settings, clock)
        self.discards = Discards(settings.step_ms)
        self._latest = -1
        self._changed_from = NO_BLOCK
        self.rewinds = 0
        self.mutex = threading.Lock()
        self.recorder: Recorder | None = None
        self.watcher: Watcher | None = None
        self.keeps_retired_rows = False
        self.rows = RowTable(settings.max_series)
        self.standings = Standings(settings.max_series)
        self._next_serial = 1
        self._has_silent = False
        self._nowhere: Array = np.empty((0, self._slots))

    def resolve(self, tags: Mapping[str, str]) -> int:
        """Handle of the series with these tags; raises SeriesLimitError when there is no room."""
        handles, error = self.resolve_all([tags])
        if error is not None:
            raise error
        return int(handles[0])

    def resolve_all(self, tags: Sequence[Mapping[str, str]] | TagTable) -> Resolved:
        """Handles of the series with these (valid) tags; new series are made.

        A new series is a matter of 3 us, of less than 1 in a table.

        The same tags may come twice. When there is no more room, series that are known still
        get their handles.
        """
        with self.mutex:
            if isinstance(tags, TagTable):
                fresh = self.rows.offered(len(tags.lines))
                rows, added = self.index.add_table(tags, fresh)
            else:
                fresh = self.rows.offered(len(tags))
                rows, added = self.index.add_all(tags, fresh)
            if len(added):
                self._enter(added)
            handles = self.rows.handles(rows)
        is_full = bool((rows < 0).any())
        used = self.rows.in_use, self.rows.limit
        return Resolved(handles, SeriesLimitError(*used) if is_full else None)

    def _enter(self, rows: Rows) -> None:
        """Give series that are new serials, have them recorded, and let them be retired."""
        serial = self._next_serial
        slot = self._slot_of(self._clock.now_ms())
        self._take(rows, np.arange(serial, serial + len(rows)), slot // self._slots)
        if self.recorder is None:
            return
        if len(rows) == 1:
            self.recorder.define(serial, slot, self.index.tags_of(int(rows[0])))
        else:
            table = self.index.tag_table(rows)
            self.recorder.define_all(SeriesTable(serial, slot, table.pairs, table.lines))

    def _take(self, rows: Rows, serials: Handles, block: int | Handles) -> None:
        self.rows.take(rows)
        self.rows.serial[rows] = serials
        self.rows.last[rows] = block
        self._note_kinds(rows)
        self.skip_serials(int(serials.max()))
        self.new_series += len(rows)

    def _note_kinds(self, rows: Rows) -> None:
        codes, places = np.unique(self.index.codes(rows, KIND_TAG), return_inverse=True)
        values = [self.index.value_of(code) if code >= 0 else "" for code in codes.tolist()]
        kinds = np.array([KINDS.get(value, RATE) for value in values], dtype=np.uint8)
        self.rows.kind[rows] = kinds[places]

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Array
    ) -> NDArray[np.intp]:
        """Store a column; returns the positions of handles whose series has been retired.

        The last value written for a slot counts; NaN is no value.
        """
        slots: Handles | int
        if isinstance(timestamps_ms, int):
            slots = self._slot_of(timestamps_ms)
        else:
            slots = -(-timestamps_ms // self._step_ms)
        with self.mutex:
            return self._fold(handles, slots, values, _REPLACE, self._furthest())

    def fold(self, handles: Handles, slots: Handles, values: Array, ops: Ops) -> NDArray[np.intp]:
        """Like `write`, but what becomes of what a slot holds already is said by `ops`.

        slots: grid points, int64 [n]. ops: uint8 [n], or [1] for all, of `kinds`: REPLACE it, ADD
        to it, keep the MAXIMUM, or only FILL a slot that is empty (else it is counted in
        `kept_out`). Datapoints of one slot are taken in the order given. About 20 ns each.
        """
        with self.mutex:
            return self._fold(handles, slots, values, ops, self._furthest())

    def fold_held(
        self, handles: Handles, slots: Handles, values: Array, ops: Ops
    ) -> NDArray[np.intp]:
        """`fold` for a caller who holds `mutex`."""
        return self._fold(handles, slots, values, ops, self._furthest())

    def replay(self, handles: Handles, slots: Handles, values: Array) -> int:
        """Store again what was stored before a restart, whatever the clock says now.

        Returns how many datapoints had a series and a block that are still there.
        """
        before = self.datapoints
        self.ring.forget_time()
        self._fold(handles, slots, values, _REPLACE, _ANY_SLOT)
        return self.datapoints - before

    def redefine(
        self,
        serials: Handles,
        last_slots: Handles,
        tags: Sequence[Mapping[str, str]] | TagTable,
    ) -> Handles:
        """Handles of series that were defined before a restart, -1 where there is no room.

        serials, last_slots: int64 [n], beside `tags`.
        """
        fresh = self.rows.offered(len(serials))
        if isinstance(tags, TagTable):
            rows, added = self.index.add_table(tags, fresh)
        else:
            rows, added = self.index.add_all(tags, fresh)
        blocks = last_slots // self._slots
        if len(added):
            self._take(added, np.zeros(len(added), dtype=np.int64), 0)
        has_row = rows >= 0
        np.maximum.at(self.rows.serial, rows[has_row], serials[has_row])
        np.maximum.at(self.rows.last, rows[has_row], blocks[has_row])
        self.skip_serials(int(serials.max(initial=0)))
        return self.rows.handles(rows)

    def skip_serials(self, serial: int) -> None:
        """Never give this serial, or a smaller one, to a new series."""
        self._next_serial = max(self._next_serial, serial + 1)

    def catch_up(self, now_ms: int) -> None:
        """Recovery is over: forget what has left the retention by now, and count from here on."""
        self.ring.forget_time()
        if self.ring.newest >= 0:
            self._advance(self._slot_of(now_ms) // self._slots)
        while self._has_silent:
            self._retire(self.ring.newest)
        self.dropped.clear()
        self.writes = self.datapoints = self.new_series = self.retired_series = self.kept_out = 0

    def settle(self, now_ms: int, slots: int) -> bool:
        """Before `catch_up`: whether that would forget any of what took writes till the end.

        If so nothing of it takes writes any more, nor do the `slots` grid points behind it.
        """
        behind, now = -(-slots // self._slots), self._slot_of(now_ms) // self._slots
        newest, length = self.ring.newest, self.ring.length
        if newest < 0 or now - length < newest - 2 - behind:
            return False
        self._advance(min(now, newest + min(2 + behind, length - 1)))
        return True

    def image(self) -> StoreImage:
        """What there is now; the caller holds `mutex`. About 100 ns a series, blocks not copied.

        As long as the image is in use, `keeps_retired_rows` must be true.
        """
        tags = self.index.image()
        return StoreImage(
            newest=self.ring.newest,
            next_serial=self._next_serial,
            tags=tags,
            serials=self.rows.serial[tags.rows],
            last_slots=self.rows.last[tags.rows].astype(np.int64) * self._slots,
            blocks=self.ring.all(),
            standing=self.standings.of(tags.rows),
        )

    def restore(self, image: StoreImage) -> None:
        """Take over an image, into a store that is still empty.

        Blocks that still take writes are unpacked. Handles given out by the former store mean
        nothing in this one.
        """
        rows = image.tags.rows
        self.rows.restore(rows, image.serials, image.last_slots // self._slots)
        self.index.restore(image.tags)
        self._note_kinds(rows)
        self.skip_serials(image.next_serial - 1)
        if image.standing is not None:
            self.standings.restore(image.standing)
        blocks = dict(image.blocks)
        for number in (image.newest - 1, image.newest):
            if number in blocks:
                blocks[number] = self._opened(blocks[number], rows)
        self.ring.restore(image.newest, blocks)
        self._latest = self.ring.last_slot()

    def _opened(self, packed: PackedBlock | RawBlock, rows: Rows) -> RawBlock:
        """A block as one that takes writes; rows without a series hold no value."""
        if isinstance(packed, RawBlock):
            return packed
        block = RawBlock(packed.number, max_rows=self.rows.capacity, slots=self._slots)
        block.fit(self.rows.count)
        has_series = np.zeros(block.rows, dtype=np.bool_)
        has_series[rows] = True
        for first in range(0, min(packed.rows, block.rows), SEGMENT_ROWS):
            values = packed.segment(first // SEGMENT_ROWS)
            chosen = np.flatnonzero(has_series[first : first + SEGMENT_ROWS])
            block.data[first + chosen] = values[chosen]
        return block

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be kept now beside one of `newest_ms`."""
        furthest = self._furthest()
        newest = max(self.ring.newest, min(self._slot_of(newest_ms), furthest) // self._slots)
        oldest = (newest - 1) * self._slots
        return (oldest - 1) * self._step_ms + 1, furthest * self._step_ms

    def discard_future(self) -> bool:
        """Give up the future when it is further than is allowed; whether it was.

        That is so when the clock was far ahead and has been set back. What was passed over then is
        back, and datapoints of now are taken again. Some 2 us when there is nothing to do.
        """
        if max(self._latest, self.ring.newest * self._slots) <= self._furthest():
            return False
        with self.mutex:
            return self._rewind(self._slot_of(self._clock.now_ms()), self.discards)

    def rewind(self, last_slot: int) -> None:
        """Give up what comes after a grid point, without a word: it was told where it came from."""
        with self.mutex:
            self._rewind(last_slot, Discards(self._step_ms))

    def take_changed(self) -> int:
        """From which block on others may have taken the place of those there were when last asked.

        `NO_BLOCK` when there is none; the caller holds `mutex`.
        """
        changed, self._changed_from = self._changed_from, NO_BLOCK
        return changed

    def _rewind(self, last_slot: int, discards: Discards) -> bool:
        newest, self._latest = last_slot // self._slots, min(self._latest, last_slot)
        if newest > self.ring.newest:
            return False
        if newest == self.ring.newest and np.isnan(self.ring.tail(last_slot)).all():
            return False
        rows = np.array(self.index.rows_in_use.to_array(), dtype=np.int64)
        later = self.ring.rewind(newest, lambda block: self._opened(block, rows))
        tail = self.ring.tail(last_slot)
        discards.add(later, tail, last_slot + 1, self._clock.now_ms())
        tail[:] = np.nan
        self.rewinds += 1
        self.rows.rewind(newest)
        self.standings.rewind(last_slot * self._step_ms)
        self._changed_from = min(self._changed_from, newest - 1)
        if self.recorder is not None:
            self.recorder.rewind(last_slot)
        return True

    def directory(self) -> Directory:
        """Where the slots of all blocks lie now; for `kernels.fold_spans`."""
        return self.ring.directory()

    def held_slots(self) -> tuple[int, int] | None:
        """The first and the last grid point of the blocks there are; None without any block."""
        held = list(self.ring.blocks)
        if not held:
            return None
        return min(held) * self._slots, (max(held) + 1) * self._slots - 1

    def settled_slots(self) -> tuple[int, int]:
        """Grid points [first, last] that are within the retention and take no more writes."""
        return self.ring.first * self._slots, (self.ring.newest - 1) * self._slots - 1

    def serials(self, rows: Rows) -> Handles:
        """What the series of each row is called for good; another series has another serial."""
        return self.rows.serial[rows]

    def values(self, rows: Rows, first: int, last: int) -> Array:
        """What rows, which must ascend, hold at grid points [first, last]; NaN for nothing.

        A grid point is a timestamp divided by the step. Returns float64 [rows, points].
        """
        found = np.full((len(rows), last - first + 1), np.nan)
        directory, places = self.directory(), np.arange(len(rows))
        fold = load_kernels().fold_spans
        fold(COPY, directory.spans, rows, places, first, last, first, found)
        return found

    def seal(self) -> bool:
        """Pack the oldest block that takes no more writes; False when there is none.

        May run in another thread than the writer's. Takes about 20 ns a value. Sealed blocks that
        follow each other are joined on the way.
        """
        return self.ring.seal()

    @property
    def row_count(self) -> int:
        """Rows in use, resting ones included."""
        return self.rows.in_use

    @property
    def block_counts(self) -> tuple[int, int]:
        """How many blocks there are, and how many of them are packed."""
        blocks = list(self.ring.blocks.values())
        return len(blocks), sum(isinstance(block, PackedBlock) for block in blocks)

    @property
    def size_bytes(self) -> int:
        """Memory of blocks and of the tables of rows."""
        tables = self.index.size_bytes + self.rows.size_bytes
        return size_bytes(list(self.ring.all().values())) + tables

    def _slot_of(self, timestamp_ms: int) -> int:
        return -(-timestamp_ms // self._step_ms)

    def _furthest(self) -> int:
        return self._slot_of(self._clock.now_ms()) + self.settings.max_ahead_steps

    def _fold(
        self, handles: Handles, slots: Handles | int, values: Array, ops: Ops, furthest: int
    ) -> NDArray[np.intp]:
        """`fold` of slots, or of one slot for all of them."""
        self.writes += 1
        count = len(handles)
        if not count:
            return _NO_STALE
        column = np.full(count, slots) if isinstance(slots, int) else plain_column(slots, np.int64)
        points = (plain_column(handles, np.int64), column, plain_column(values, np.float64))
        if self._has_silent:
            self._retire(self.ring.newest + 1)
        self._move_on(*points, furthest)
        recorder, size = self.recorder, 0 if self.recorder is None else count
        put = np.empty((2, size), dtype=np.int64), np.empty(size)
        stale, counts = np.empty(count, dtype=np.int64), np.empty(6, dtype=np.int64)
        load_folding().fold_points(
            (*points, ops),
            (self.rows.generation, self.rows.last, self.rows.serial),
            self._open_blocks(column),
            (self.ring.newest, furthest),
            put,
            (stale, counts),
        )
        stored, gone = self._count(counts)
        if recorder is not None and stored:
            put_slots = slots if isinstance(slots, int) else put[0][1, :stored]
            recorder.put(put[0][0, :stored], put_slots, put[1][:stored])
        return stale[:gone] if gone else _NO_STALE

    def _count(self, counts: Handles) -> tuple[int, int]:
        """Add up what became of datapoints; returns how many were stored and were stale."""
        stored, gone, *dropped, kept_out = counts.tolist()
        self.datapoints += stored
        self.kept_out += kept_out
        for reason, number in zip(("late", "ahead_of_clock", "infinite"), dropped, strict=True):
            if number:
                self.dropped[reason] += number
        return stored, gone

    def _move_on(self, handles: Handles, slots: Handles, values: Array, furthest: int) -> None:
        """Advance to the newest block that one of these datapoints is to be stored in."""
        latest = int(slots.max())
        self._latest = max(self._latest, min(latest, furthest))
        if latest // self._slots <= self.ring.newest:
            return
        is_usable = (slots <= furthest) & np.isfinite(values) & self.rows.is_fresh(handles)
        if is_usable.any():
            self._advance(int(slots[is_usable].max()) // self._slots)

    def _open_blocks(self, slots: Handles) -> tuple[Array, Array]:
        """The data of the block before the newest and of the newest, where slots fall into them."""
        found = []
        for number in (self.ring.newest - 1, self.ring.newest):
            block = self.ring.blocks.get(number)
            first = number * self._slots
            if block is None and ((slots >= first) & (slots < first + self._slots)).any():
                block = self._new_block(number)
            if block is None:
                found.append(self._nowhere)
                continue
            assert isinstance(block, RawBlock), "only blocks that take no more writes are packed"
            block.fit(self.rows.count)
            found.append(block.data)
        return found[0], found[1]

    def _new_block(self, number: int) -> RawBlock:
        block = RawBlock(number, max_rows=self.rows.capacity, slots=self._slots)
        self.ring.blocks[number] = block
        return block

    def _advance(self, number: int) -> None:
        if number <= self.ring.newest:
            return
        self.ring.advance(number)
        if self.ring.is_unsealed:
            self.seal()
        if not self.keeps_retired_rows:
            self.rows.release(number)
        self.index.release()
        self._retire(number)

    def _retire(self, block: int) -> None:
        """Retire series without a value in the ring, some at a time: readers and writers wait.

        Others may have their rows when a block is newest that comes after `block`.
        """
        silent = self.rows.silent(self.ring.oldest)
        self._has_silent = len(silent) > _RETIRED_AT_ONCE
        silent = silent[:_RETIRED_AT_ONCE]
        if len(silent):
            if self.watcher is not None:
                self.watcher.retire(silent)
            self.index.remove_all(silent)
            self.standings.clear(silent)
            self.rows.rest(silent, block)
            self.retired_series += len(silent)
