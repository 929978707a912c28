"""Where faults are written down: the journal for people, the undo ledger for the next start."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog

from breakwater.chaos.errors import NotRecordedError
from breakwater.chaos.fault import Fault
from breakwater.chaos.ledger import Began, Ended, Entry, Ledger
from breakwater.model import BreakwaterError, Change, ChangeKind, Clock, InvalidInputError

_SOURCE: Final = "chaos"
_MAX_STRAYS: Final = 1000

log = structlog.get_logger("breakwater.chaos")


class FaultJournal(Protocol):
    """Where faults are kept as changes."""

    async def record(self, change: Change) -> Change:
        """Store the change and return it with its id; raise when that is not certain."""
        ...

    async def close(self, change_id: int, end_ms: int, /) -> object:
        """Give a stored change its end; the first end stands."""
        ...

    async def changes(self, *, kinds: Sequence[ChangeKind], limit: int) -> list[Change]:
        """Stored changes of these kinds, newest first."""
        ...


class Chronicle:
    """Begins are certain or refused; ends are certain or kept and written again until they are.

    An end is written to the journal first and to the ledger last, so a crash between them leaves
    the fault open in the ledger and the next start closes both. A change that is in no ledger,
    because a crash or a time-out came right after the journal had stored it, is a stray: it is
    found in the journal itself and closed.
    """

    def __init__(
        self, journal: FaultJournal, ledger_path: Path, clock: Clock, *, timeout_s: float
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._timeout_s = timeout_s
        self._ledger = Ledger(ledger_path)
        self._ours: dict[str, int] = {}
        self._unwritten: deque[Callable[[], Awaitable[None]]] = deque()

    @property
    def left_open(self) -> dict[str, Began]:
        """The faults an earlier run of the platform left open, by id."""
        return self._ledger.at_start.open

    @property
    def damaged_lines(self) -> int:
        """How many lines of the ledger could not be read at the start."""
        return self._ledger.at_start.damaged_lines

    @property
    def unwritten(self) -> int:
        """How many writes are kept for another try."""
        return len(self._unwritten)

    async def begin(self, fault: Fault, boot: str) -> Fault:
        """Write down a fault that is about to start, and return it with the id of its change.

        NotRecordedError when either place refuses; then the fault must not be started.
        """
        try:
            with anyio.fail_after(self._timeout_s):
                change_id = (await self._journal.record(_change(fault))).id
        except (BreakwaterError, OSError) as error:  # TimeoutError is an OSError
            self._unwritten.append(self._close_strays)  # it may be stored although we gave up
            reason = str(error) or f"no answer in {self._timeout_s:g} s"
            raise NotRecordedError(
                f"the journal did not record the fault ({reason}); it was not started"
            ) from error
        if change_id is None:
            raise NotRecordedError("the journal gave the fault no id; it was not started")
        fault = msgspec.structs.replace(fault, change_id=change_id)
        self._ours[fault.id] = change_id
        try:
            await self._append(Began(fault=fault, boot=boot))
        except OSError as error:
            await self._write_or_keep(lambda: self._close(fault, fault.started_ms))
            raise NotRecordedError(
                f"the undo ledger cannot be written ({error}); the fault was not started"
            ) from error
        return fault

    async def end(self, fault: Fault) -> None:
        """Write down that a fault has ended, now or as soon as that can be written."""
        ended_ms = self._clock.now_ms() if fault.ended_ms is None else fault.ended_ms
        if fault.change_id is not None:
            self._ours[fault.id] = fault.change_id

        async def write() -> None:
            await self._close(fault, ended_ms)
            await self._append(Ended(fault_id=fault.id, state=fault.state, at_ms=ended_ms))

        await self._write_or_keep(write)

    async def end_strays(self) -> None:
        """Close the changes of faults that no ledger knows, once the journal lets us."""
        await self._write_or_keep(self._close_strays)

    async def write_again(self) -> None:
        """Try once more what could not be written."""
        for _ in range(len(self._unwritten)):
            await self._write_or_keep(self._unwritten.popleft())

    def close(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    async def _write_or_keep(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except Exception as error:  # noqa: BLE001 - whatever a journal raises, healing goes on
            log.warning("chaos.write.kept", reason=str(error))
            self._unwritten.append(write)

    async def _append(self, entry: Entry) -> None:
        await anyio.to_thread.run_sync(self._ledger.append, entry)

    async def _close(self, fault: Fault, end_ms: int) -> None:
        if fault.change_id is not None:
            await self._close_change(fault.change_id, end_ms)
        self._ours.pop(fault.id, None)

    async def _close_change(self, change_id: int, end_ms: int) -> None:
        try:
            with anyio.fail_after(self._timeout_s):
                await self._journal.close(change_id, end_ms)
        except InvalidInputError as error:  # the journal does not know it: asking again is no use
            log.warning("chaos.change.unknown", change=change_id, reason=str(error))

    async def _close_strays(self) -> None:
        with anyio.fail_after(self._timeout_s):
            faults = await self._journal.changes(kinds=(ChangeKind.FAULT,), limit=_MAX_STRAYS)
        ours = set(self._ours.values())
        for change in faults:
            if change.source == _SOURCE and change.end_ms is None and change.id not in ours:
                assert change.id is not None, "a stored change has an id"
                limit_ms = int(change.detail.get("ends_ms", change.start_ms))
                end_ms = max(change.start_ms, min(self._clock.now_ms(), limit_ms))
                await self._close_change(change.id, end_ms)


def _change(fault: Fault) -> Change:
    request = fault.request
    detail = {
        "fault": fault.id,
        "kind": request.kind.value,
        "touches": "; ".join(touch.what for touch in fault.targets),
        "ends_ms": str(fault.ends_ms),
        "reason": request.reason,
    }
    return Change(
        kind=ChangeKind.FAULT,
        target=request.service,
        start_ms=fault.started_ms,
        actor=request.actor,
        source=_SOURCE,
        detail={key: value for key, value in detail.items() if value},
    )
