"""Columns of datapoints on their way into a store, whatever format they came in.

Series that are known by their spelling cost a look-up in a table; the others are read, checked and
made, some hundreds at a time. A payload is taken in turns of a few milliseconds, between which
everybody else on the loop has theirs.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final, Protocol

import anyio.lowlevel
import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.columns import Columns
from breakwater.ingest.handles import LONGEST_BYTES, UNKNOWN, Handles, HandleTable, Hashes
from breakwater.ingest.sink import Lines, Resolved
from breakwater.ingest.spelling import Refusal, Spelling
from breakwater.model import Clock

_AT_ONCE: Final = 16_384
_NEW_AT_ONCE: Final = 2048
_NEW_BYTES: Final = 200  # that spell a series, usually
_SHOWN_MESSAGES: Final = 5
_LONGEST_REASON: Final = 300

Positions = NDArray[np.intp]


class Store(Protocol):
    """Where the columns end; see `breakwater.ingest.Sink` for what each method means."""

    def resolve_table(self, pairs: Sequence[tuple[str, str]], lines: Lines) -> Resolved:
        """Handles of series, new or known."""
        ...

    def write(
        self, handles: Handles, timestamps_ms: Handles, values: NDArray[np.float64]
    ) -> Positions:
        """Store columns; the positions of handles that are no longer valid."""
        ...

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be stored beside one of `newest_ms`."""
        ...


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How far from now a stamp may be, beside what the store takes; None: as far as it takes."""

    max_age_ms: int | None
    max_ahead_ms: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one payload; `messages` explains at most five of the refused datapoints."""

    accepted: int
    refused: int
    messages: list[str]


class IntakeStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an intake has taken and refused since it was made, and the spellings it knows.

    datapoints: those with a value. no_value: the others, which are accepted and not stored.
    """

    datapoints: int
    no_value: int
    refused: dict[str, int]
    known: int
    known_bytes: int
    forgotten: int


class _Payload:
    """One payload while it is taken in."""

    def __init__(self, spelling: Spelling, seed: Hashes) -> None:
        self.spelling = spelling
        self.seed = seed
        self.accepted = self.refused = 0
        self.messages: list[str] = []


class Intake:
    """Takes columns into a store; keeps what is known of their series.

    Bounded by `most_known` spellings. Not thread-safe, but payloads may be taken side by side by
    tasks of one loop.
    """

    def __init__(self, store: Store, clock: Clock, reach: Reach, *, most_known: int) -> None:
        self._store = store
        self._clock = clock
        self._reach = reach
        self._known = HandleTable(most_known)
        self._datapoints = self._no_value = 0
        self._refused: Tally[str] = Tally()

    async def take(self, columns: Columns, spelling: Spelling, *, seed: bytes = b"") -> Taken:
        """Store what can be stored; `seed` is what the spellings mean something else beside.

        A datapoint whose series cannot be, whose value is infinite or whose stamp is out of reach
        is refused alone.
        """
        payload = _Payload(spelling, self._known.seed_of(seed))
        for part in columns.parts(_AT_ONCE):
            await anyio.lowlevel.checkpoint()
            await self._take_part(part, payload)
        return Taken(accepted=payload.accepted, refused=payload.refused, messages=payload.messages)

    def stats(self) -> IntakeStats:
        """Counts since the start."""
        return IntakeStats(
            datapoints=self._datapoints,
            no_value=self._no_value,
            refused=dict(self._refused),
            known=len(self._known),
            known_bytes=self._known.size_bytes,
            forgotten=self._known.forgotten,
        )

    async def _take_part(self, part: Columns, payload: _Payload) -> None:
        part = self._in_reach(part, payload)
        missing = int(np.isnan(part.values).sum())
        if missing:
            payload.accepted += missing
            self._no_value += missing
            part = part.part(np.flatnonzero(~np.isnan(part.values)))
        part = self._finite(part, payload)
        if not len(part.stamps):
            return
        hashes = self._known.hashes(part.text, part.spans, payload.seed)
        handles = self._known.find(hashes)
        unknown = np.flatnonzero(handles == UNKNOWN)
        await self._resolve(unknown, part, hashes, handles, payload)
        stale = self._write(part, handles, np.arange(len(handles)))
        if len(stale):
            await self._resolve(stale, part, hashes, handles, payload)
            self._write(part, handles, stale)
        stored = int((handles >= 0).sum())
        payload.accepted += stored
        self._datapoints += stored

    def _write(self, part: Columns, handles: Handles, positions: Positions) -> Positions:
        """Write those of the datapoints at `positions` that have a handle; which were stale."""
        if len(positions) == len(handles) and handles.min() >= 0:
            return self._store.write(handles, part.stamps, part.values)
        chosen = positions[handles[positions] >= 0]
        if not len(chosen):
            return chosen
        return chosen[self._store.write(handles[chosen], part.stamps[chosen], part.values[chosen])]

    async def _resolve(
        self,
        positions: Positions,
        part: Columns,
        hashes: Hashes,
        handles: Handles,
        payload: _Payload,
    ) -> None:
        """Fill in the handles at `positions`: -1 where there is none, and that is told."""
        handles[positions] = -1
        positions = self._refused_as_long(part, positions, payload)
        if not len(positions):
            return
        sizes = part.spans[positions, 1] - part.spans[positions, 0]
        work = np.cumsum(np.maximum(sizes, _NEW_BYTES))
        done = 0
        while done < len(positions):
            before = work[done - 1] if done else 0
            turn = int(np.searchsorted(work, before + _NEW_AT_ONCE * _NEW_BYTES, side="right"))
            chosen = positions[done : max(turn, done + 1)]
            found = self._resolved(part, chosen, hashes[chosen], payload)
            chosen = chosen[: len(found)]
            handles[chosen] = found
            self._known.put(hashes[chosen], found)
            done += len(found)
            await anyio.lowlevel.checkpoint()

    def _resolved(
        self, part: Columns, positions: Positions, hashes: Hashes, payload: _Payload
    ) -> Handles:
        """Handles of the first of the series at `positions`; -1 where there is none."""
        spans = part.spans[positions]
        spelled = payload.spelling.spelled(part.text, spans, hashes)
        found = np.full(len(spelled.lines), -1, dtype=np.int64)
        is_good = np.ones(len(found), dtype=np.bool_)
        is_good[list(spelled.refusals)] = False
        resolved = self._store.resolve_table(spelled.pairs, spelled.lines[is_good])
        found[is_good] = resolved.handles
        for place in np.flatnonzero(found < 0).tolist():
            full = Refusal("TooManySeries", str(resolved.error))
            refusal = spelled.refusals.get(place, full)
            shown = payload.spelling.shown(part.spelling(positions[place]))
            self._refuse(refusal, shown, payload)
        return found

    def _refused_as_long(self, part: Columns, positions: Positions, payload: _Payload) -> Positions:
        """The others of these positions, after refusing those whose spelling is too long."""
        sizes = part.spans[positions, 1] - part.spans[positions, 0]
        is_long = sizes > LONGEST_BYTES
        for position, size in zip(positions[is_long], sizes[is_long], strict=True):
            reason = f"the tags have {size} bytes; at most {LONGEST_BYTES} are allowed"
            shown = payload.spelling.shown(part.spelling(position))
            self._refuse(Refusal("InvalidTags", reason), shown, payload)
        short: Positions = positions[~is_long]
        return short

    def _in_reach(self, part: Columns, payload: _Payload) -> Columns:
        """The datapoints near enough to now, for the settings and for the store."""
        now_ms = self._clock.now_ms()
        stamps = part.stamps
        _, furthest = self._store.reach_ms(now_ms)
        newest = min(now_ms + self._reach.max_ahead_ms, furthest)
        too_new = stamps > newest
        latest = int(stamps[~too_new].max(initial=0))
        oldest = self._store.reach_ms(latest)[0]
        if self._reach.max_age_ms is not None:
            oldest = max(now_ms - self._reach.max_age_ms, oldest)
        too_old = stamps < oldest
        if not too_new.any() and not too_old.any():
            return part
        why = f"is not within [{oldest - now_ms:+d}, {newest - now_ms:+d}] ms of {now_ms}"
        self._refuse_all("DataTooOld", too_old, part, payload, why)
        self._refuse_all("DataFromFuture", too_new, part, payload, why)
        return part.part(np.flatnonzero(~(too_old | too_new)))

    def _finite(self, part: Columns, payload: _Payload) -> Columns:
        infinite = np.isinf(part.values)
        if not infinite.any():
            return part
        why = "is not a value; expected a finite number or 'NaN' for none"
        self._refuse_all("InfiniteValue", infinite, part, payload, why)
        return part.part(np.flatnonzero(~infinite))

    def _refuse_all(
        self, rule: str, found: NDArray[np.bool_], part: Columns, payload: _Payload, why: str
    ) -> None:
        count = int(found.sum())
        if not count:
            return
        self._refused[rule] += count
        payload.refused += count
        column = part.values if rule == "InfiniteValue" else part.stamps
        for position in np.flatnonzero(found)[: _SHOWN_MESSAGES - len(payload.messages)]:
            shown = payload.spelling.shown(part.spelling(position))
            payload.messages.append(f"{rule}: {column[position]} {why} ({shown})")

    def _refuse(self, refusal: Refusal, shown: str, payload: _Payload) -> None:
        self._refused[refusal.rule] += 1
        payload.refused += 1
        if len(payload.messages) < _SHOWN_MESSAGES:
            reason = refusal.reason[:_LONGEST_REASON]
            payload.messages.append(f"{refusal.rule}: {reason} ({shown})")
