"""Registries that compare digests in memory, each with a clock of its own; nothing is sent."""

import msgspec

from breakwater.registry import InstanceInfo, Registry, RegistrySettings
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.peers.digest import (
    VERSION,
    Copies,
    Copy,
    Digest,
    Marks,
    copy_of,
    ends_of,
    lines_of,
    mark_of,
)
from breakwater.registry.peers.reconciling import Reconciler
from breakwater.testing import FakeClock


class Side:
    """One registry that can be compared with others."""

    def __init__(
        self, name: str, *, skew_ms: int = 0, settings: RegistrySettings | None = None
    ) -> None:
        self.name = name
        self.clock = FakeClock(now_ms=1_700_000_000_000 + skew_ms)
        self.registry = Registry(settings or RegistrySettings(), self.clock)
        self.marks = Marks()
        self.reconciler = Reconciler(self.registry, self.marks, self.clock)
        self.has_compared = False

    def restart(self) -> None:
        """Be a new process that has read what the old one kept."""
        old = self.registry
        self.registry = Registry(old.settings, self.clock)
        self.marks = Marks()
        self.reconciler = Reconciler(self.registry, self.marks, self.clock)
        self.has_compared = False
        for lease in old.leases():
            self.registry.adopt(
                lease.info, override_ms=lease.override_ms, origin=Origin.DISK, is_recalled=True
            )
        for ending in old.endings:
            self.registry.endings.add(ending)

    def digest(self) -> Digest:
        """What this side tells, as it comes out of the wire."""
        told = Digest(
            version=VERSION,
            name=self.name,
            now_ms=self.clock.now_ms(),
            instances=list(lines_of(self.registry, self.marks, self.clock)),
            ended=ends_of(self.registry, self.clock),
        )
        return msgspec.json.decode(msgspec.json.encode(told), type=Digest)

    async def copies(self, wanted: list[tuple[str, str]]) -> list[Copy]:
        """The whole of what is wanted, as it comes out of the wire."""
        now_s = self.clock.monotonic_s()
        copies = [copy_of(self.registry.lease(*key), now_s=now_s) for key in wanted]
        body = msgspec.json.encode(Copies(copies=copies))
        return msgspec.json.decode(body, type=Copies).copies

    async def compare_with(self, other: "Side") -> None:
        """Take from `other` what it knows better."""
        await self.reconciler.take_digest(
            other.digest(),
            other.copies,
            via=other.name,
            asked_s=self.clock.monotonic_s(),
            is_first=not self.has_compared,
        )
        self.has_compared = True

    def shown(self) -> dict[tuple[str, str], tuple[int, str, str]]:
        """What there is to see: version, override and a digest of all else, by instance."""
        return {
            (info.app, info.instance_id): (
                info.last_dirty_ms,
                info.overridden_status.value,
                mark_of(info),
            )
            for info in self.registry.infos()
        }

    def held(self, instance_id: str, app: str = "RANKER") -> InstanceInfo:
        """One instance."""
        return self.registry.instance(app, instance_id)


def advance(seconds: float, *sides: Side) -> None:
    """Let the same time pass everywhere."""
    for side in sides:
        side.clock.advance(seconds)
