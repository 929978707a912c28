"""The acts of operators: kept on disk, told to the journal, carried out, undone, ended in time."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final
from uuid import uuid4

import anyio
import msgspec
import structlog

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.acting.acts import Act, ActKind, NewAct, status_of_act
from breakwater.registry.acting.archive import REMEMBERED_MS, ActDisk, ActJournal, Archive
from breakwater.registry.acting.effects import Effects
from breakwater.registry.acting.lookup import found_lease
from breakwater.registry.errors import (
    InvalidActError,
    TooManyActsError,
    UnknownActError,
)
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceStatus
from breakwater.registry.judging.judge import Judge

log = structlog.get_logger("breakwater.registry")

MAX_IN_FORCE: Final = 10_000
_PLATFORM: Final = "platform"
_RETRY_S: Final = 1.0


class ActStats(msgspec.Struct, frozen=True, kw_only=True):
    """Acts in force, and what was done since the start; `unstored` ends are in memory only."""

    in_force: int
    carried_out: int
    undone: int
    ended: int
    from_peers: int
    unstored: int


class ActBook:
    """What `carry_out` returned is on the disk and in the journal, and has its effect.

    Of the acts that give an instance a status one is in force, the newest; so of those that pin
    it. Acts outlive the instance: whatever registers under that name is treated alike until they
    end. Without a disk acts last as long as the process. Belongs to one event loop; `run` must be
    running for acts to end by themselves.
    """

    def __init__(
        self,
        registry: Registry,
        judge: Judge,
        clock: Clock,
        *,
        disk: ActDisk | None = None,
        journal: ActJournal | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex[:12],
    ) -> None:
        self._registry = registry
        self._effects = Effects(registry, judge)
        self._archive = Archive(disk, journal, clock)
        self._clock = clock
        self._new_id = new_id
        self._acts: dict[str, Act] = {}
        self._in_force: dict[tuple[str, str, str], Act] = {}
        self._writing = anyio.Lock()
        self._changed = anyio.Event()
        self._counts: Counter[str] = Counter()
        self.revision = 0

    async def recall(self) -> None:
        """Put what was in force before into force again, once its instances are known again.

        A disk that cannot be read is said in the log, and `run` tries again.
        """
        for act in sorted(await self._archive.load(), key=_age):
            self._hold(act)
            if act.is_in_force:
                self._effects.apply(act, Origin.DISK)

    def acts(self, service: str | None = None, *, is_ended_too: bool = False) -> list[Act]:
        """The acts in force (of one service), the newest first; or the ended ones of late too."""
        name = None if service is None else service.upper()
        chosen = [
            act
            for act in self._acts.values()
            if (is_ended_too or act.is_in_force) and name in {None, act.service.upper()}
        ]
        return sorted(chosen, key=_age, reverse=True)

    def acts_on(self, app: str, instance_id: str) -> list[Act]:
        """The acts in force on one instance."""
        held = (self._in_force.get((app, instance_id, each)) for each in ("status", "pin"))
        return [act for act in held if act is not None]

    async def carry_out(self, wanted: NewAct) -> tuple[Act, bool]:
        """Do what is asked; returns the act, and False if the same was in force already.

        Raises InvalidActError, UnknownInstanceError, TooManyActsError, and what journal and
        storage raise; then nothing was done.
        """
        status = status_of_act(wanted)
        async with self._writing:
            held = self._in_force.get((wanted.service.upper(), wanted.instance_id, _family(wanted)))
            if held is not None and _is_same(held, wanted, status):
                return held, False
            act = self._made(wanted, status, held)
            replaced = None
            if held is not None and act.is_in_force:
                replaced = self._over(held, "replaced")
            act = await self._archive.begin(act, replaced)
            for each in (replaced, act):
                if each is not None:
                    self._hold(each)
            self._effects.apply(act, Origin.OPERATOR)
            self._counts["carried_out"] += 1
        return act, True

    async def undo(self, act_id: str, *, actor: str) -> Act:
        """End an act before its time, with everything it did to an instance that is there.

        Raises UnknownActError, and what journal and storage raise; then it is still in force.
        """
        async with self._writing:
            act = self._acts.get(act_id)
            if act is None or not act.is_in_force:
                raise self._unknown(act_id, act)
            over = self._over(act, actor)
            await self._archive.end(act, over, actor=actor)
            self._hold(over)
            self._effects.release(act, Origin.OPERATOR)
            self._counts["undone"] += 1
        return over

    async def run(self) -> None:
        """End acts in their time, until cancelled."""
        while True:
            self._changed = anyio.Event()
            await self.recall()
            await self.expire()
            with anyio.move_on_after(self._pause_s() if self._archive.is_read else _RETRY_S):
                await self._changed.wait()

    async def expire(self) -> list[Act]:
        """End the acts whose time is over; a disk that does not take it changes nothing of that."""
        now_ms = self._clock.now_ms()
        ended = []
        async with self._writing:
            for act in list(self._in_force.values()):
                if act.end_ms is None or act.end_ms > now_ms:
                    continue
                over = self._over(act, "its time")
                self._hold(over)
                self._effects.release(act, Origin.OPERATOR)
                self._counts["ended"] += 1
                ended.append(over)
                try:
                    await self._archive.end(act, over, actor=_PLATFORM)
                except BreakwaterError as error:
                    self._counts["unstored"] += 1
                    log.warning("registry.act.end_unstored", act=act.id, reason=str(error))
            self._forget(now_ms)
        return ended

    def parcel(self) -> msgspec.Raw:
        """Every act in force, and those that ended lately, as JSON."""
        return msgspec.Raw(msgspec.json.encode(sorted(self._acts.values(), key=_age)))

    async def take_parcel(self, parcel: msgspec.Raw, *, peer: str) -> None:
        """Take over the acts of a peer, and their ends; its own journal has them.

        An end counts wherever it was made. Raises InvalidActError where it cannot be read, and
        what storage raises.
        """
        if bytes(parcel) == b"null":
            return
        try:
            told = msgspec.json.decode(parcel, type=list[Act])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidActError(f"the acts of {peer} cannot be read: {error}") from None
        async with self._writing:
            news = [act for act in sorted(told, key=_age) if self._is_news(act)]
            if not news:
                return
            held = self._merged(news)
            await self._archive.keep(held)
            for act in sorted(held, key=lambda each: each.is_in_force):
                before = self._acts.get(act.id)
                self._hold(act)
                if act.is_in_force:
                    self._effects.apply(act, Origin.PEER)
                elif before is not None and before.is_in_force:
                    self._effects.release(before, Origin.PEER)
                    await self._archive.close(act)
                self._counts["from_peers"] += 1

    def stats(self) -> ActStats:
        """Numbers for the platform's own metrics."""
        counts = self._counts
        return ActStats(
            in_force=len(self._in_force),
            carried_out=counts["carried_out"],
            undone=counts["undone"],
            ended=counts["ended"],
            from_peers=counts["from_peers"],
            unstored=counts["unstored"],
        )

    def _made(self, wanted: NewAct, status: InstanceStatus | None, held: Act | None) -> Act:
        """The act that is asked for, which takes over what the one it replaces remembers."""
        if held is None:
            if len(self._in_force) >= MAX_IN_FORCE:
                raise TooManyActsError(
                    f"{len(self._in_force)} acts are in force, at most {MAX_IN_FORCE} may be; "
                    f"undo some"
                )
            lease = found_lease(self._registry, wanted.service, wanted.instance_id)
            service = lease.info.service
            before, override_before = lease.info.status.value, lease.override or ""
        else:
            service, before, override_before = held.service, held.before, held.override_before
        now_ms = self._clock.now_ms()
        is_over = wanted.kind is ActKind.DROP and wanted.for_s is None
        return Act(
            id=self._new_id(),
            kind=wanted.kind,
            service=service,
            instance_id=wanted.instance_id,
            actor=wanted.actor,
            reason=wanted.reason,
            status="" if status is None or is_over else status.value,
            before=before,
            override_before=str(override_before),
            start_ms=now_ms,
            end_ms=None if wanted.for_s is None else now_ms + int(wanted.for_s * 1_000),
            ended_ms=now_ms if is_over else None,
            ended_by="done" if is_over else "",
        )

    def _hold(self, act: Act) -> None:
        """Remember the present state of an act."""
        self._acts[act.id] = act
        place = (*act.key, act.family)
        if act.is_in_force:
            self._in_force[place] = act
        elif (held := self._in_force.get(place)) is not None and held.id == act.id:
            del self._in_force[place]
        self.revision += 1
        self._changed.set()

    def _is_news(self, act: Act) -> bool:
        """Whether what a peer says of an act was not known."""
        held = self._acts.get(act.id)
        if held is not None:
            return held.is_in_force and not act.is_in_force
        return act.is_in_force or self._is_recent(act, self._clock.now_ms())

    def _merged(self, told: Iterable[Act]) -> list[Act]:
        """The acts of a peer, with the older of two that concern the same thing at an end."""
        held: dict[str, Act] = {}
        in_force = dict(self._in_force)
        for act in told:
            known = self._acts.get(act.id)
            change_id = None if known is None else known.change_id
            mine = msgspec.structs.replace(act, change_id=change_id)
            held[mine.id] = mine
            if not mine.is_in_force:
                continue
            place = (*mine.key, mine.family)
            other = in_force.get(place)
            if other is None or other.id == mine.id:
                in_force[place] = mine
                continue
            older, newer = sorted((other, mine), key=_age)
            held[older.id] = self._over(older, "replaced")
            in_force[place] = newer
        return list(held.values())

    def _over(self, act: Act, ended_by: str) -> Act:
        ended_ms = max(act.start_ms, self._clock.now_ms())
        return msgspec.structs.replace(act, ended_ms=ended_ms, ended_by=ended_by)

    def _pause_s(self) -> float:
        """How long until an act ends, or may be forgotten."""
        now_ms = self._clock.now_ms()
        ends = [act.end_ms for act in self._in_force.values() if act.end_ms is not None]
        return min(max(min(ends, default=now_ms + 60_000) - now_ms, 10), 60_000) / 1_000

    def _forget(self, now_ms: int) -> None:
        """Forget the acts that ended long ago."""
        old = [
            act.id
            for act in self._acts.values()
            if not act.is_in_force and not self._is_recent(act, now_ms)
        ]
        for act_id in old:
            del self._acts[act_id]

    def _is_recent(self, act: Act, now_ms: int) -> bool:
        return act.ended_ms is not None and act.ended_ms >= now_ms - REMEMBERED_MS

    def _unknown(self, act_id: str, act: Act | None) -> UnknownActError:
        if act is not None:
            return UnknownActError(f"act {act_id} has ended already, by {act.ended_by}")
        there = ", ".join(each.id for each in self.acts()[:10])
        return UnknownActError(f"no act {act_id[:80]} is known; in force: {there or 'none'}")


def _age(act: Act) -> tuple[int, str]:
    return act.start_ms, act.id


def _family(wanted: NewAct) -> str:
    return "pin" if wanted.kind is ActKind.PIN else "status"


def _is_same(held: Act, wanted: NewAct, status: InstanceStatus | None) -> bool:
    """Whether the act in force is what is asked for again."""
    is_lasting = held.end_ms is None and wanted.for_s is None
    told = "" if status is None else status.value
    return is_lasting and held.kind is wanted.kind and held.status == told
