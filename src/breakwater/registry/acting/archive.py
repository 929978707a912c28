"""Where acts outlive the process, and where people read of them: the disk and the journal."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
import structlog

from breakwater.model import BreakwaterError, Change, ChangeKind, Clock
from breakwater.registry.acting.acts import Act, ActKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from breakwater.storage import Schema

log = structlog.get_logger("breakwater.registry")

REMEMBERED_MS: Final = 3_600_000
"""Ended acts are told to peers for so long: one that was away meanwhile must not revive them."""

_SOURCE: Final = "registry"
_TARGET_CHARS: Final = 256

T = TypeVar("T")


class ActDisk(Protocol):
    """Where acts are kept; the platform's `ControlDatabase`."""

    def adopt(self, schema: "Schema") -> None:
        """Keep these tables too."""
        ...

    async def write(self, work: "Callable[[Connection], T]") -> T:
        """Do `work` in one transaction; on the disk when this returns."""
        ...

    async def read(self, work: "Callable[[Connection], T]") -> T:
        """Do `work`, which only reads."""
        ...


class ActJournal(Protocol):
    """Where acts are written down, in the database that keeps them."""

    async def record(
        self, change: Change, *, also: "Callable[[Connection], object] | None" = None
    ) -> Change:
        """Store the change and do `also` in one transaction; raise when that is not certain."""
        ...

    async def close(self, change_id: int, end_ms: int | None = None) -> Change:
        """Give a change its end."""
        ...


class Archive:
    """Keeps acts and tells the journal of them; without either it does as if it had."""

    def __init__(self, disk: ActDisk | None, journal: ActJournal | None, clock: Clock) -> None:
        self._disk = disk
        self._journal = journal
        self._clock = clock
        self.is_read = disk is None
        if disk is not None:
            from breakwater.registry.acting import tables  # noqa: PLC0415 - SQLAlchemy: 0.1 s

            self._tables = tables
            disk.adopt(tables.SCHEMA)

    async def load(self) -> list[Act]:
        """Every act that is kept; none where they cannot be read, which is said in the log."""
        if self._disk is None or self.is_read:
            return []
        try:
            held = await self._disk.read(self._tables.load)
        except BreakwaterError as error:
            log.warning("registry.acts.unread", reason=str(error))
            return []
        self.is_read = True
        return held

    async def begin(self, act: Act, replaced: Act | None) -> Act:
        """Keep a new act and the end of the one it replaces; returns it with its change.

        Raises what journal and storage raise; then nothing was kept.
        """
        told = _change(act, _begin_words(act), actor=act.actor, at_ms=act.start_ms)
        change = await self._write([act] if replaced is None else [replaced, act], told)
        if change is not None:
            act = _with_change(act, change)
            with suppress(BreakwaterError):  # without the number its change only stays open
                await self._write([act], None)
        if replaced is not None:
            await self.close(replaced)
        return act

    async def end(self, act: Act, over: Act, *, actor: str) -> None:
        """Keep the end of an act; raises what journal and storage raise."""
        words = {**_begin_words(act), **_end_words(act)}
        told = _change(act, words, actor=actor, at_ms=self._clock.now_ms())
        await self._write([over], told)
        await self.close(over)

    async def keep(self, acts: list[Act]) -> None:
        """Keep the acts of a peer, whose own journal has them; raises what storage raises."""
        await self._write(acts, None)

    async def close(self, over: Act) -> None:
        """Give the change of an act that is over its end, as far as it has one here."""
        if self._journal is None or over.change_id is None:
            return
        try:
            await self._journal.close(over.change_id, over.ended_ms)
        except BreakwaterError as error:
            log.warning("registry.act.unclosed", act=over.id, reason=str(error))

    async def _write(self, acts: list[Act], change: Change | None) -> Change | None:
        """Put acts on the disk, and a change into the journal in the same transaction."""
        store = None
        if self._disk is not None:
            oldest_ms = self._clock.now_ms() - REMEMBERED_MS
            store = partial(self._tables.store, acts=acts, forget_before_ms=oldest_ms)
        if self._journal is not None and change is not None:
            return await self._journal.record(change, also=store)
        if self._disk is not None and store is not None:
            await self._disk.write(store)
        return None


def _with_change(act: Act, change: Change) -> Act:
    return msgspec.structs.replace(act, change_id=change.id)


def _change(act: Act, detail: dict[str, str], *, actor: str, at_ms: int) -> Change:
    """What the journal is told."""
    return Change(
        kind=ChangeKind.CONFIG,
        target=f"{act.service}/{act.instance_id}"[:_TARGET_CHARS],
        start_ms=at_ms,
        end_ms=act.ended_ms,
        actor=actor,
        source=_SOURCE,
        detail={key: value for key, value in detail.items() if value},
    )


def _begin_words(act: Act) -> dict[str, str]:
    shown = {ActKind.PIN: act.before, ActKind.DROP: "gone"}
    return {
        "act": act.kind.value,
        "id": act.id,
        "reason": act.reason,
        "status_before": act.before,
        "status_after": shown.get(act.kind, act.status),
        "until_ms": str(act.end_ms or ""),
    }


def _end_words(act: Act) -> dict[str, str]:
    return {
        "act": f"end of {act.kind}",
        "status_before": act.status or act.before,
        "status_after": act.override_before or act.before,
        "until_ms": "",
    }
