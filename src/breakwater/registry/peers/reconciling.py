"""Making two registries know the same: one digest is read, what is newer there is taken here."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import anyio.lowlevel
import msgspec

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.errors import UnknownInstanceError
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.peers.comparing import (
    EndStep,
    Step,
    ending_of,
    is_newer,
    is_overruling,
    merged,
    step_for,
    step_for_end,
)
from breakwater.registry.peers.digest import Copy, Digest, End, Line, Marks, line_of

_LINES_AT_ONCE: Final = 250
_COPIES_AT_ONCE: Final = 250

FetchCopies = Callable[[list[tuple[str, str]]], Awaitable[list[Copy]]]


class Reconciler:
    """Takes into one registry what peers know better; in small steps, so that nobody waits."""

    def __init__(self, registry: Registry, marks: Marks, clock: Clock) -> None:
        self._registry = registry
        self._marks = marks
        self._clock = clock
        self.counts: Counter[str] = Counter()

    async def take_digest(
        self, digest: Digest, fetch: FetchCopies, *, via: str, asked_s: float, is_first: bool
    ) -> None:
        """Do what `digest`, asked for at monotonic `asked_s`, calls for.

        The ends come first: a place may be needed. O(instances on both sides).
        """
        for number, end in enumerate(digest.ended):
            self._take_end(end, asked_s=asked_s)
            await _now_and_then(number)
        wanted = []
        for number, line in enumerate(digest.instances):
            if self._take_line(line, via=via, asked_s=asked_s, is_first=is_first):
                wanted.append((line.app, line.instance_id))
            await _now_and_then(number)
        for start in range(0, len(wanted), _COPIES_AT_ONCE):
            fetched_s = self._clock.monotonic_s()
            for copy in await fetch(wanted[start : start + _COPIES_AT_ONCE]):
                self._take_copy(copy, via=via, asked_s=fetched_s)
            await anyio.lowlevel.checkpoint()
        self._marks.forget_all_but(self._registry)

    async def take_everything(self, infos: list[InstanceInfo], *, via: str) -> None:
        """Take what a Eureka server holds and we do not, or only an older version of it."""
        for number, info in enumerate(infos):
            held = self._lease(info.app, info.instance_id)
            if held is None or held.info.last_dirty_ms < info.last_dirty_ms:
                copy = Copy(info=info)
                self._take_copy(copy, via=via, asked_s=self._clock.monotonic_s())
            await _now_and_then(number)

    def take_newer(self, info: InstanceInfo, *, peer: str) -> None:
        """Take the copy with which a peer answered to something older of ours."""
        held = self._lease(info.app, info.instance_id)
        via = held.via if held is not None else peer
        self._trying(lambda: self._registry.register(info.app, info, origin=Origin.PEER, via=via))

    def _take_end(self, end: End, *, asked_s: float) -> None:
        registry = self._registry
        lease = self._lease(end.app, end.instance_id)
        step = step_for_end(end, lease, now_s=asked_s)
        if step is EndStep.REMEMBER:
            known = registry.endings.of(end.app, end.instance_id)
            if known is None or known.last_dirty_ms < end.last_dirty_ms or not known.is_final:
                registry.endings.add(ending_of(end, now_s=asked_s))
        elif step is EndStep.CANCEL:
            registry.cancel(end.app, end.instance_id, origin=Origin.PEER)
            self.counts["ended"] += 1
        elif step is EndStep.LAPSE:
            registry.lapse(end.app, end.instance_id)
            self.counts["ended"] += 1

    def _take_line(self, line: Line, *, via: str, asked_s: float, is_first: bool) -> bool:
        """Do what can be done with a line alone; whether the whole copy is needed."""
        now_s = self._clock.monotonic_s()
        lease = self._lease(line.app, line.instance_id)
        ours = None if lease is None else line_of(lease, self._marks, now_s=asked_s)
        ending = self._registry.endings.of(line.app, line.instance_id)
        step = step_for(line, ours, ending, now_s=asked_s, is_first=is_first)
        if step is Step.HEAR:
            ago_s = line.silent_s + (now_s - asked_s)
            self.counts["heard"] += self._registry.heard(
                line.app, line.instance_id, renewed_ago_s=ago_s, via=via
            )
        return step is Step.FETCH

    def _take_copy(self, copy: Copy, *, via: str, asked_s: float) -> None:
        """Take one copy; meanwhile much may have happened, so all is looked at again."""
        now_s = self._clock.monotonic_s()
        info = copy.info
        is_recalled = copy.renewed_ago_ms < 0
        ago_s = 0.0 if is_recalled else copy.renewed_ago_ms / 1000 + (now_s - asked_s)
        lease = self._lease(info.app, info.instance_id)
        if lease is None:
            ending = self._registry.endings.of(info.app, info.instance_id)
            renewed_s = float("-inf") if is_recalled else now_s - ago_s
            if ending is not None and ending.outlives(info.last_dirty_ms, renewed_s):
                return
        else:
            theirs, ours = self._line_of(copy), line_of(lease, self._marks, now_s=now_s)
            if not (is_newer(theirs, ours) or is_overruling(theirs, ours)):
                return
            copy = merged(copy, theirs, lease, ours)
        self._trying(
            lambda: self._registry.adopt(
                copy.info,
                override_ms=copy.override_ms,
                origin=Origin.PEER,
                renewed_ago_s=ago_s,
                via=via,
                is_recalled=is_recalled,
            )
        )

    def _line_of(self, copy: Copy) -> Line:
        lease = Lease(copy.info, now_ms=0, now_s=0.0, override=None)
        lease.override_ms = copy.override_ms
        return line_of(lease, Marks(), now_s=copy.renewed_ago_ms / 1000)

    def _lease(self, app: str, instance_id: str) -> Lease | None:
        try:
            return self._registry.lease(app, instance_id)
        except UnknownInstanceError:
            return None

    def _trying(self, take: Callable[[], None]) -> None:
        """Take in one copy; one that breaks our bounds is counted and left out."""
        try:
            take()
        except BreakwaterError:
            self.counts["refused"] += 1
        else:
            self.counts["taken"] += 1


async def _now_and_then(number: int) -> None:
    if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
        await anyio.lowlevel.checkpoint()


class ReconcilerStats(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken from peers' digests: whole copies, renewals, ends; refused by our bounds."""

    taken: int
    heard: int
    ended: int
    refused: int
