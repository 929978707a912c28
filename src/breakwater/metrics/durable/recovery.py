"""Recovery: a store as it was, from the newest snapshot that can be read and the log after it.

What cannot be read is left out and told: a snapshot that is not whole gives way to the one before
it, a log segment ends at its first bad record. Series are known by serials that are never given
twice, so a value whose series was lost is dropped, never given to another.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.durable.files import LOG_MAGIC, log_path, numbers
from breakwater.metrics.durable.records import (
    Frames,
    Kind,
    Put,
    decode_definitions,
    decode_header,
    decode_put,
    decode_rewind,
    decode_table,
)
from breakwater.metrics.durable.snapshot import DamagedFileError, Grid, Snapshot, read_snapshot
from breakwater.metrics.normalize.standing import Standing, decode_standing
from breakwater.metrics.series.rows import ROW_MASK
from breakwater.metrics.series.table import TagTable
from breakwater.metrics.store.series_store import SeriesStore

_BEHIND = 4096


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a start found: snapshot used (0 is none), what came back, what was damaged.

    segments, log_bytes: how much log was read. orphans: datapoints in it whose series or block is
    gone.
    """

    snapshot: int
    segments: int
    log_bytes: int
    series: int
    datapoints: int
    orphans: int
    cut_bytes: int
    damaged: list[str]


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery, the block files in use, and the number the next log segment may have."""

    report: Recovery
    files: dict[int, str]
    next_number: int


def recover(store: SeriesStore, grid: Grid, now_ms: int) -> Recovered:
    """Fill an empty store from a folder; raises OSError when the folder cannot be read at all."""
    problems: list[str] = []
    snapshot = _best_snapshot(grid, problems)
    first = 0
    serials = _Serials(0)
    if snapshot is not None:
        first = snapshot.number
        image = snapshot.image
        store.restore(image)
        serials = _Serials(int(image.serials.min(initial=image.next_serial)))
        serials.add_all(image.serials, store.rows.handles(image.tags.rows))
    replay = _Replay(store, serials, problems)
    segments = [number for number in numbers(grid.folder, "log") if number >= first]
    problems += _gaps(segments, first)
    for number in segments:
        replay.segment(grid, number)
    if replay.refused:
        problems.append(
            f"{replay.refused} series of the log and their values are left out: max_series is "
            f"{store.settings.max_series}"
        )
    known = [first, *numbers(grid.folder, "log"), *numbers(grid.folder, "snapshot")]
    store.catch_up(now_ms)
    report = Recovery(
        snapshot=first,
        segments=len(segments),
        log_bytes=replay.read_bytes,
        series=len(store.index),
        datapoints=replay.datapoints,
        orphans=replay.orphans,
        cut_bytes=replay.cut_bytes,
        damaged=problems,
    )
    files = {} if snapshot is None else snapshot.files
    return Recovered(report=report, files=files, next_number=max(known) + 1)


def _gaps(segments: Sequence[int], snapshot: int) -> list[str]:
    """What is missing between a snapshot (0 for none) and the log after it, and in the log.

    A snapshot of number n begins with log segment n, the first log of a folder is number 1.
    """
    found = []
    expected = max(snapshot, 1)
    for number in segments:
        if number != expected:
            found.append(f"log segments {expected} to {number - 1} are gone")
        expected = number + 1
    if snapshot and not segments:
        found.append(f"log segment {snapshot} and what came after it are gone")
    return found


def _best_snapshot(grid: Grid, problems: list[str]) -> Snapshot | None:
    """The newest snapshot without damage, else the newest that lacks only some blocks."""
    fallback: Snapshot | None = None
    for number in reversed(numbers(grid.folder, "snapshot")):
        try:
            found = read_snapshot(grid, number)
        except DamagedFileError as error:
            problems.append(f"snapshot {number}: {error}")
            continue
        problems += found.damaged
        if not found.damaged:
            return found
        fallback = fallback or found
    return fallback


class _Serials:
    """Handles by serial, plus one, 0 where there is none; a dense array that begins at `base`."""

    def __init__(self, base: int) -> None:
        self._base = max(base - _BEHIND, 0)
        self._handles = np.zeros(1 << 16, dtype=np.int64)

    def add_all(self, serials: NDArray[np.int64], handles: NDArray[np.int64]) -> None:
        """Enter serials; one below the base belongs to a series that is gone."""
        is_kept = serials >= self._base
        serials, handles = serials[is_kept], handles[is_kept]
        if len(serials):
            self._fit(int(serials.max()))
            self._handles[serials - self._base] = handles + 1

    def handles(self, serials: NDArray[np.int64]) -> NDArray[np.int64]:
        """The handles of serials, -1 where unknown."""
        places = serials - self._base
        is_known = (places >= 0) & (places < len(self._handles))
        found = self._handles[np.where(is_known, places, 0)] - 1
        return np.where(is_known, found, -1)

    def _fit(self, serial: int) -> None:
        size = serial - self._base + 1
        if size > len(self._handles):
            larger = np.zeros(max(size, 2 * len(self._handles)), dtype=np.int64)
            larger[: len(self._handles)] = self._handles
            self._handles = larger


class _Replay:
    """Applies log segments to a store, one after the other."""

    def __init__(self, store: SeriesStore, serials: _Serials, problems: list[str]) -> None:
        self._store = store
        self._serials = serials
        self._problems = problems
        self._step_ms = store.settings.step_ms
        self.datapoints = self.orphans = self.cut_bytes = self.read_bytes = self.refused = 0

    def segment(self, grid: Grid, number: int) -> None:
        """Apply one segment up to its first bad record."""
        path: Path = log_path(grid.folder, number)
        try:
            data = path.read_bytes()
        except OSError as error:
            self._problems.append(f"{path.name}: {error.strerror or error}")
            return
        self.read_bytes += len(data)
        problem = decode_header(data, grid.header(LOG_MAGIC, number))
        if problem:
            self._problems.append(f"{path.name}: {problem}")
            self.cut_bytes += len(data)
            return
        frames = Frames(data)
        try:
            for kind, payload in frames:
                self._apply(kind, payload)
        except (struct.error, ValueError, msgspec.DecodeError) as error:
            self._problems.append(f"{path.name}: cannot read the record at {frames.end}: {error}")
        if frames.is_cut:
            self.cut_bytes += len(data) - frames.end
            self._problems.append(
                f"{path.name}: cut at byte {frames.end} of {len(data)}, the first bad record"
            )

    def _apply(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.DEFINE:
            definitions = decode_definitions(payload)
            columns = np.array([each[:2] for each in definitions], dtype=np.int64).reshape(-1, 2)
            tags = [each.tags for each in definitions]
            self._define(columns[:, 0].copy(), columns[:, 1].copy(), tags)
        elif kind is Kind.DEFINE_TABLE:
            series = decode_table(payload)
            serials = series.first_serial + np.arange(len(series.lines))
            last_slots = np.full(len(serials), series.last_slot)
            self._define(serials, last_slots, TagTable(series.pairs, series.lines))
        elif kind in (Kind.PUT, Kind.PUT_SCATTERED, Kind.PUT_PACKED):
            self._put(decode_put(kind, payload))
        elif kind is Kind.STANDING:
            self._stand(decode_standing(payload))
        elif kind is Kind.REWIND:
            self._store.rewind(decode_rewind(payload))

    def _define(
        self,
        serials: NDArray[np.int64],
        last_slots: NDArray[np.int64],
        tags: Sequence[Mapping[str, str]] | TagTable,
    ) -> None:
        handles = self._store.redefine(serials, last_slots, tags)
        has_room = handles >= 0  # datapoints of the others count as orphans
        self.refused += len(handles) - int(has_room.sum())
        self._serials.add_all(serials[has_room], handles[has_room])

    def _put(self, put: Put) -> None:
        handles = self._serials.handles(put.serials)
        slots, values = put.slots, put.values
        is_known = handles >= 0
        if not is_known.all():
            handles, slots, values = handles[is_known], slots[is_known], values[is_known]
            self._store.skip_serials(int(put.serials.max()))
        kept = self._store.replay(handles, slots, values) if len(handles) else 0
        is_fresh = self._store.rows.is_fresh(handles)
        rows, stamps_ms = handles[is_fresh] & ROW_MASK, slots[is_fresh] * self._step_ms
        self._store.standings.reach(rows, stamps_ms)
        self.datapoints += kept
        self.orphans += len(put.serials) - kept

    def _stand(self, standing: Standing) -> None:
        handles = self._serials.handles(standing.keys)
        is_fresh = (handles >= 0) & self._store.rows.is_fresh(handles)
        known = standing.of(is_fresh)
        self._store.standings.restore(known._replace(keys=handles[is_fresh] & ROW_MASK))
