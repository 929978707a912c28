"""The write-ahead log: what the store was told, on disk before anybody is told that it is kept.

Writers only put columns into a queue; a thread of the log writes what has gathered and syncs it
once, however many wait for it. The file is synced as soon as anybody waits, else once in
`sync_every_s`. When the disk refuses, the log says why, takes nothing more, and waits for
`resume`; what was synced before stays good. Format: docs/formats/metrics-log.md.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import structlog

from breakwater.metrics.durable.files import LOG_MAGIC, log_path, sync_folder, write_all
from breakwater.metrics.durable.records import (
    Definition,
    Floats,
    Header,
    Integers,
    Kind,
    Part,
    Put,
    encode_definitions,
    encode_header,
    encode_packed,
    encode_put,
    encode_rewind,
    encode_table,
    frame,
)
from breakwater.metrics.errors import NotDurableError
from breakwater.metrics.normalize.standing import Standing, encode_standing
from breakwater.metrics.series.table import SeriesTable

log = structlog.get_logger("breakwater.metrics")

_SYNC_EVERY_S: Final = 1.0
MOST_WAITING_BYTES: Final = 64 << 20
_SEGMENT_BYTES: Final = 64 << 20
_ENTRY_BYTES: Final = 64
_POINT_BYTES: Final = 24
_PACKED_FROM: Final = 64
"""Datapoints of one column from which on they are packed, by the thread that writes them."""
_DEFINITIONS_A_RECORD: Final = 4096
_PROBE_BYTES: Final = 1 << 20


class LogStats(msgspec.Struct, frozen=True, kw_only=True):
    """The log about itself; counts are since the start.

    refused: publish requests that were told to come back. not_durable: datapoints that are only
    in memory, because the disk refused or was too slow, until the next snapshot.
    """

    segment: int
    written_bytes: int
    waiting_bytes: int
    syncs: int
    failures: int
    refused: int
    not_durable: int
    failure: str


class Mark:
    """A place in the log: everything before it is in segments before `segment`."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._segment: int | None = None

    def reach(self, segment: int | None) -> None:
        """The log got there; None when it failed on the way."""
        self._segment = segment
        self._reached.set()

    def segment(self) -> int:
        """The first segment after the mark, once all before it is on disk; NotDurableError."""
        self._reached.wait()
        if self._segment is None:
            raise NotDurableError("the metrics log failed before it was rotated")
        return self._segment


class _Entry(msgspec.Struct):
    """What is queued: one record not framed yet, or a mark."""

    kind: Kind = Kind.END
    parts: list[Part] = []
    definitions: list[Definition] = []
    put: Put | None = None
    points: int = 0
    mark: Mark | None = None

    def frame(self) -> list[Part]:
        parts = self.parts
        if self.definitions:
            parts = encode_definitions(self.definitions)
        elif self.put is not None:
            parts = encode_packed(self.put)
        return frame(self.kind, parts)


class _Waiter(msgspec.Struct):
    position: int
    tell: Callable[[str], None]


class Segment(msgspec.Struct, frozen=True):
    """An opened log file with its header on disk."""

    number: int
    fd: int


class WriteAheadLog:
    """An open log. `define`, `put` and `mark` belong to the one writer of the store."""

    def __init__(self, folder: Path, *, step_ms: int, slots: int) -> None:
        self._folder = folder
        self._step_ms, self._slots = step_ms, slots
        self._sync_every_s = _SYNC_EVERY_S
        self._changed = threading.Condition()
        self._queue: list[_Entry] = []
        self._queued_bytes = 0
        self._position = self._durable = 0
        self._waiters: list[_Waiter] = []
        self._is_urgent = self._is_closing = self._is_taking = self._has_gap = False
        self._failure = "the metrics log is not open yet"
        self._fd = -1
        self._number = self._segment_bytes = 0
        self.written_bytes = 0
        self._syncs = self._failures = self._refused = self._not_durable = 0
        self._thread = threading.Thread(target=self._run, name="metrics-log", daemon=True)
        self._thread.start()

    # The writer's side.

    def define(self, serial: int, last_slot: int, tags: Mapping[str, str]) -> None:
        """Queue the definition of a series."""
        definition = Definition(serial, last_slot, dict(tags))
        with self._changed:
            if not self._is_taking:
                return
            self._position += 1
            self._queued_bytes += _ENTRY_BYTES * (1 + len(tags))
            last = self._queue[-1].definitions if self._queue else []
            if 0 < len(last) < _DEFINITIONS_A_RECORD:
                last.append(definition)
            else:
                self._append(_Entry(Kind.DEFINE, definitions=[definition]))

    def define_all(self, series: SeriesTable) -> None:
        """Queue the definitions of many series."""
        parts = encode_table(series)
        with self._changed:
            if self._is_taking:
                self._take(_Entry(Kind.DEFINE_TABLE, parts), sum(map(len, parts)))

    def put(self, serials: Integers, slots: Integers | int, values: Floats) -> None:
        """Queue datapoints; all three columns are equally long, not empty and not changed later."""
        if not self._has_room():
            self._leave_out(len(serials))
            return
        count = len(serials)
        if count >= _PACKED_FROM:
            column = np.full(count, slots) if isinstance(slots, int) else slots
            with self._changed:
                put = Put(serials, column, values)
                self._take(_Entry(Kind.PUT_PACKED, put=put, points=count), _POINT_BYTES * count)
            return
        for kind, parts in encode_put(serials, slots, values):
            with self._changed:
                self._take(_Entry(kind, parts, points=len(serials)), sum(map(len, parts)))

    def stand(self, standing: Standing) -> None:
        """Queue where the normalisation of series stands; after the datapoints it belongs to."""
        if not self._has_room():
            self._leave_out(0)
            return
        for parts in encode_standing(standing):
            with self._changed:
                self._take(_Entry(Kind.STANDING, parts), sum(map(len, parts)))

    def rewind(self, last_slot: int) -> None:
        """Queue that everything after a slot was given up."""
        with self._changed:
            if self._is_taking:
                self._take(_Entry(Kind.REWIND, encode_rewind(last_slot)), 0)

    def mark(self) -> Mark:
        """Begin a new segment here; raises NotDurableError while the log is failing."""
        mark = Mark()
        with self._changed:
            if not self._is_taking:
                raise NotDurableError(self._failure)
            self._append(_Entry(mark=mark))
            self._hurry()
            self._has_gap = False
        return mark

    # The side of those who wait.

    def check(self) -> None:
        """Raise NotDurableError, counted, when what is written now would not be durable."""
        failure = self._failure
        if not failure and self._queued_bytes > MOST_WAITING_BYTES:
            failure = f"{self._queued_bytes} bytes wait for the disk, which does not keep up"
        if failure:
            self._refused += 1
            raise NotDurableError(f"datapoints cannot be kept: {failure}")

    async def wait(self) -> None:
        """Return once everything queued so far is on disk; raises NotDurableError, counted."""
        if not self._failure and self._durable >= self._position:
            return
        loop = asyncio.get_running_loop()
        told: asyncio.Future[str] = loop.create_future()

        def tell(failure: str) -> None:
            with suppress(RuntimeError):  # the loop has ended, nobody waits any more
                loop.call_soon_threadsafe(_settle, told, failure)

        failure = "" if self._ask(tell) else self._failure
        failure = failure or await told
        if failure:
            self._refused += 1
            raise NotDurableError(f"datapoints could not be kept: {failure}; send them again")

    @property
    def failure(self) -> str:
        """Why nothing can be acknowledged now; empty when it can."""
        return self._failure

    @property
    def is_taking(self) -> bool:
        """Whether what is written goes to disk."""
        return self._is_taking

    def stats(self) -> LogStats:
        """Counts since the start."""
        return LogStats(
            segment=self._number,
            written_bytes=self.written_bytes,
            waiting_bytes=self._queued_bytes,
            syncs=self._syncs,
            failures=self._failures,
            refused=self._refused,
            not_durable=self._not_durable,
            failure=self._failure,
        )

    # The side of the owner: opening, coming back after a failure, closing.

    def prepare(self, number: int) -> Segment:
        """A new segment on disk, to be given to `resume`; raises OSError when there is no room."""
        path = log_path(self._folder, number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _PROBE_BYTES)  # is there room for more than a header?
            os.ftruncate(fd, 0)
            header = Header(
                magic=LOG_MAGIC, step_ms=self._step_ms, slots=self._slots, number=number
            )
            write_all(fd, [encode_header(header)])
            os.fdatasync(fd)
            sync_folder(self._folder)
        except OSError:
            os.close(fd)
            with suppress(OSError):
                path.unlink()
            raise
        return Segment(number, fd)

    def resume(self, segment: Segment) -> None:
        """Take what is written from now on; it is acknowledged only after `trust`."""
        with self._changed:
            self._fd, self._number = segment.fd, segment.number
            self._segment_bytes = 0
            self._is_taking = True
            self._has_gap = False

    def trust(self) -> None:
        """What is on disk is complete again: acknowledge, unless more was left out meanwhile."""
        with self._changed:
            if self._is_taking and not self._has_gap:
                self._failure = ""

    def refuse(self, cause: str) -> None:
        """Acknowledge nothing until `trust`, because of `cause`."""
        with self._changed:
            self._failure = f"{self._folder}: {cause}"
            self._failures += 1

    def close(self) -> None:
        """Write what is queued, sync, and stop the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            self._is_taking = False
            self._failure = "the metrics log is closed"
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _has_room(self) -> bool:
        return self._is_taking and self._queued_bytes <= 2 * MOST_WAITING_BYTES

    def _leave_out(self, points: int) -> None:
        """Take nothing; what is written from now on is acknowledged only after a snapshot."""
        with self._changed:
            self._not_durable += points
            self._has_gap = True
            if not self._failure:
                self._failure = f"{self._folder}: too much waits for the disk, which is too slow"
                self._failures += 1

    def _take(self, entry: _Entry, size_bytes: int) -> None:
        """Queue what somebody may wait for."""
        self._position += 1
        self._queued_bytes += size_bytes + _ENTRY_BYTES
        self._append(entry)

    def _append(self, entry: _Entry) -> None:
        self._queue.append(entry)
        if len(self._queue) == 1:
            self._changed.notify()

    def _hurry(self) -> None:
        self._is_urgent = True
        self._changed.notify()

    def _ask(self, tell: Callable[[str], None]) -> bool:
        """Have `tell` called after the next sync; False when the log is failing."""
        with self._changed:
            if self._failure or self._is_closing:
                return False
            self._waiters.append(_Waiter(self._position, tell))
            self._hurry()
            return True

    # The thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._waiters or self._is_closing)
                self._changed.wait_for(
                    lambda: self._is_urgent or self._is_closing, self._sync_every_s
                )
                queue, self._queue = self._queue, []
                position, self._queued_bytes, self._is_urgent = self._position, 0, False
                is_last = self._is_closing
            self._commit(queue, position)
            if is_last:
                return

    def _commit(self, queue: list[_Entry], position: int) -> None:
        """Write and sync one group, and tell those who waited for it."""
        try:
            if queue:
                self._write(queue)
        except OSError as error:
            self._fail(error.strerror or str(error), queue)
            return
        except Exception as error:  # the supervision edge of this thread: nobody may wait for ever
            self._fail(repr(error), queue)
            with suppress(OSError):
                log.exception("metrics.log_broken")
            return
        with self._changed:
            self._durable = max(self._durable, position)
            ready = [each for each in self._waiters if each.position <= self._durable]
            self._waiters = [each for each in self._waiters if each.position > self._durable]
        for waiter in ready:
            waiter.tell("")

    def _write(self, queue: list[_Entry]) -> None:
        parts: list[Part] = []
        for entry in queue:
            if entry.mark is None:
                parts += entry.frame()
                continue
            self._flush(parts)
            parts = []
            self._rotate()
            entry.mark.reach(self._number)
        self._flush(parts)
        if self._segment_bytes > _SEGMENT_BYTES:
            self._rotate()

    def _flush(self, parts: list[Part]) -> None:
        if not parts:
            return
        size = write_all(self._fd, parts)
        os.fdatasync(self._fd)
        self._segment_bytes += size
        self.written_bytes += size
        self._syncs += 1

    def _rotate(self) -> None:
        segment = self.prepare(self._number + 1)
        os.close(self._fd)
        with self._changed:
            self._fd, self._number = segment.fd, segment.number
        self._segment_bytes = 0

    def _fail(self, cause: str, queue: list[_Entry]) -> None:
        reason = f"{self._folder}: {cause}"
        with self._changed:
            self._is_taking = False
            self._failure = reason
            self._failures += 1
            waiters, self._waiters = self._waiters, []
            queue = queue + self._queue
            self._queue, self._queued_bytes = [], 0
            fd, self._fd = self._fd, -1
            self._not_durable += sum(entry.points for entry in queue)
        if fd >= 0:
            os.close(fd)
        for entry in queue:
            if entry.mark is not None:
                entry.mark.reach(None)
        for waiter in waiters:
            waiter.tell(reason)
        with suppress(OSError):  # events may go to the same full disk
            log.error("metrics.log_failed", reason=reason)


def _settle(told: "asyncio.Future[str]", failure: str) -> None:
    if not told.done():
        told.set_result(failure)
