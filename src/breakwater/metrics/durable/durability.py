"""Durability: a restart loses nothing that was acknowledged.

Ties a store to a folder: recovers it at the start, has every change logged, writes snapshots so
that the log stays short, and finds its way back when the disk refused for a while. One process
at a time; the files are drawn in docs/formats/metrics-log.md.
"""

import os
import threading
from pathlib import Path
from typing import Final

import msgspec
import structlog

from breakwater.metrics.durable.files import (
    lock_folder,
    log_path,
    numbers,
    remove_others,
    snapshot_path,
)
from breakwater.metrics.durable.log import LogStats, WriteAheadLog
from breakwater.metrics.durable.recovery import Recovery, recover
from breakwater.metrics.durable.snapshot import Grid, write_snapshot
from breakwater.metrics.errors import NotDurableError
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.ports import StoreImage
from breakwater.metrics.store.series_store import NO_BLOCK, SeriesStore
from breakwater.model import Clock

log = structlog.get_logger("breakwater.metrics")

_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 15.0
_MOST_SEGMENTS: Final = 8
"""Log segments at a start beyond which a snapshot is due at once: somebody is starting often."""
_WORTH_BYTES: Final = 1 << 20
"""Log that is worth a snapshot for no other reason than to be rid of it."""
_LARGEST_AT_CLOSE: Final = 4_000_000
"""Values in no file yet up to which a clean end takes a snapshot; it would be slow with more."""


class DurabilityStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk. snapshot: its number, 0 for none; snapshots: how many were written.

    kept_log_bytes: of the log that is kept beside the older of the two snapshots.
    """

    log: LogStats
    kept_log_bytes: int
    snapshot: int
    snapshots: int
    snapshot_s: float
    recovered: Recovery


class Durability:
    """Keeps a store in a folder; `check` and `wait` are for whoever acknowledges.

    Making it locks the folder (FolderInUseError), fills the store (which must be empty) and opens
    the log. What has left the retention by now is forgotten unless `forgets` is false, for somebody
    who still needs it and calls the store's `catch_up` afterwards. `maintain` is to be called about
    once a second by one thread, and `close` at the end.
    """

    def __init__(
        self,
        store: SeriesStore,
        folder: Path,
        settings: MetricsSettings,
        clock: Clock,
        *,
        forgets: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_fd = lock_folder(folder)
        self._store, self._settings, self._clock = store, settings, clock
        # Datapoints of another grid stay where they are, for a start with that grid.
        files = folder / f"{settings.step_ms}ms-{settings.block_slots}"
        self._grid = Grid(folder=files, step_ms=settings.step_ms, slots=settings.block_slots)
        self._turn = threading.Lock()
        self._is_ending = False
        try:
            files.mkdir(exist_ok=True)
            recovered = recover(store, self._grid, clock.now_ms() if forgets else 0)
        except OSError:
            os.close(self._lock_fd)
            raise
        self.recovery = recovered.report
        self._files = recovered.files
        self._changed_from = NO_BLOCK
        self._snapshot = self.recovery.snapshot
        self._snapshots, self._snapshot_s = 0, 0.0
        self._log = WriteAheadLog(files, step_ms=settings.step_ms, slots=settings.block_slots)
        try:
            self._log.resume(self._log.prepare(recovered.next_number))
            self._log.trust()
        except OSError as error:  # a full disk does not keep anybody from reading
            self._log.refuse(error.strerror or str(error))
        store.recorder = self._log
        now_s = clock.monotonic_s()
        is_needed = self.recovery.damaged or self.recovery.segments > _MOST_SEGMENTS
        self._snapshot_due_s = now_s if is_needed else now_s + settings.snapshot_every_s
        self._bytes_at_snapshot = -self.recovery.log_bytes  # what was read counts as still to go
        self._bytes_at_former = self._bytes_at_snapshot
        self._retry_s, self._retry_at_s = _FIRST_RETRY_S, 0.0
        self._report_recovery()

    def check(self) -> None:
        """Raise NotDurableError, counted, when what is written now could not be acknowledged."""
        self._log.check()

    async def wait(self) -> None:
        """Return once everything written so far is on disk; raises NotDurableError, counted."""
        await self._log.wait()

    @property
    def failure(self) -> str:
        """Why nothing can be acknowledged now; empty when it can."""
        return self._log.failure

    def maintain(self) -> None:
        """Take a snapshot when it is due; come back from a failure when the disk lets us."""
        with self._turn:
            now_s = self._clock.monotonic_s()
            if self._is_ending:
                return
            if self._log.failure:
                if now_s >= self._retry_at_s:
                    self._come_back(now_s)
            elif self._is_due(now_s):
                self._take_snapshot()

    def wind_up(self) -> None:
        """Begin no snapshot and give up the one being written, so that `close` is quick."""
        self._is_ending = True

    def close(self) -> None:
        """Write what is left and give the folder back.

        A snapshot is taken when that is a matter of a second; the log alone is enough.
        """
        self._is_ending = True
        with self._turn:
            if self._lock_fd < 0:
                return
            self._is_ending = False
            if not self._log.failure and self._log.written_bytes and self._is_small():
                self._take_snapshot()
            self._is_ending = True
            self._store.recorder = None
            self._log.close()
            os.close(self._lock_fd)
            self._lock_fd = -1

    def stats(self) -> DurabilityStats:
        """Counts since the start."""
        return DurabilityStats(
            log=self._log.stats(),
            kept_log_bytes=self._kept_log_bytes,
            snapshot=self._snapshot,
            snapshots=self._snapshots,
            snapshot_s=self._snapshot_s,
            recovered=self.recovery,
        )

    def _is_due(self, now_s: float) -> bool:
        logged = self._log.written_bytes - self._bytes_at_snapshot
        if logged > self._settings.max_log_bytes:
            return True
        # The older snapshot needs the log up to the newest, also when there is no more to come.
        return now_s >= self._snapshot_due_s and (logged > 0 or self._kept_log_bytes > _WORTH_BYTES)

    @property
    def _kept_log_bytes(self) -> int:
        return self._log.written_bytes - self._bytes_at_former

    def _is_small(self) -> bool:
        with self._store.mutex:
            image = self._store.image()
        return self._unfiled_values(image) <= _LARGEST_AT_CLOSE

    def _unfiled_values(self, image: StoreImage) -> int:
        missing = [block for number, block in image.blocks.items() if number not in self._files]
        return sum(block.rows * self._grid.slots for block in missing)

    def _take_snapshot(self) -> None:
        """A snapshot while the log goes on; a failure is told and tried again later."""
        try:
            self._write(*self._begin())
        except (OSError, NotDurableError) as error:
            self._snapshot_due_s = self._clock.monotonic_s() + _LONGEST_RETRY_S
            log.warning("metrics.snapshot_failed", reason=str(error))
        finally:
            self._store.keeps_retired_rows = False

    def _come_back(self, now_s: float) -> None:
        """Write to the log again, then all there is to a snapshot; then acknowledge again."""
        try:
            is_written = self._write(*self._begin())
        except (OSError, NotDurableError) as error:
            self._retry_at_s = now_s + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            log.warning("metrics.log_still_failing", reason=str(error))
            return
        finally:
            self._store.keeps_retired_rows = False
        if is_written:
            self._log.trust()
        if not self._log.failure:
            self._retry_s = _FIRST_RETRY_S
            log.info("metrics.log_recovered", snapshot=self._snapshot)

    def _begin(self) -> tuple[int, StoreImage]:
        """A new log segment, and the store as it was when that began.

        Raises OSError or NotDurableError when there is no room for a segment.
        """
        if self._log.is_taking:
            with self._store.mutex:
                mark = self._log.mark()
                image = self._held_image()
            return mark.segment(), image
        used = numbers(self._grid.folder, "log") + numbers(self._grid.folder, "snapshot")
        segment = self._log.prepare(max(used, default=0) + 1)
        with self._store.mutex:
            self._log.resume(segment)
            return segment.number, self._held_image()

    def _held_image(self) -> StoreImage:
        """An image; no row changes hands until `keeps_retired_rows` is taken back."""
        self._store.keeps_retired_rows = True
        self._changed_from = min(self._changed_from, self._store.take_changed())
        return self._store.image()

    def _write(self, number: int, image: StoreImage) -> bool:
        """Write snapshot `number` and remove what it makes superfluous; False when given up."""
        began_s = self._clock.monotonic_s()
        logged = self._log.written_bytes
        unchanged = {at: name for at, name in self._files.items() if at < self._changed_from}
        files = write_snapshot(
            self._grid, number, image, unchanged, may_go_on=lambda: not self._is_ending
        )
        if files is None:
            return False
        self._changed_from = NO_BLOCK
        former, self._snapshot = self._snapshot, number
        kept = set(files.values()) | set(self._files.values())
        self._files = files
        self._remove_all_but(kept, former or number)
        self._snapshots += 1
        self._bytes_at_former = self._bytes_at_snapshot if former else logged
        self._bytes_at_snapshot = logged
        ended_s = self._clock.monotonic_s()
        self._snapshot_due_s = ended_s + self._settings.snapshot_every_s
        self._snapshot_s = ended_s - began_s
        log.debug("metrics.snapshot", number=number, seconds=self._snapshot_s)
        return True

    def _remove_all_but(self, blocks: set[str], former: int) -> None:
        """Keep two snapshots, their blocks, and the log since the older one."""
        folder = self._grid.folder
        segments = [log_path(folder, n).name for n in numbers(folder, "log") if n >= former]
        snapshots = [snapshot_path(folder, n).name for n in (former, self._snapshot)]
        try:
            remove_others(folder, frozenset([*blocks, *segments, *snapshots]))
        except OSError as error:
            log.warning("metrics.removal_failed", reason=error.strerror or str(error))

    def _report_recovery(self) -> None:
        report = msgspec.structs.asdict(self.recovery)
        if self.recovery.damaged:
            log.warning("metrics.recovered_with_damage", **report)
        elif self.recovery.series:
            log.info("metrics.recovered", **report)
