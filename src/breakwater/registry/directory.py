"""The registry with all that belongs to it, as a server runs it."""

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from breakwater.model import Clock, InstanceView
from breakwater.registry.acting.archive import ActJournal
from breakwater.registry.acting.book import ActBook, ActStats
from breakwater.registry.eureka.answers import Answers, AnswerStats
from breakwater.registry.eureka.fetch_limits import FetchLimits, FetchStats
from breakwater.registry.holding.registry import Registry
from breakwater.registry.judging.judge import Judge, JudgeStats
from breakwater.registry.judging.probing import Probe
from breakwater.registry.keeping.keeper import Disk, Keeper, KeeperStats
from breakwater.registry.native.prometheus import keep_file
from breakwater.registry.native.record import Recorder
from breakwater.registry.native.view import NativeView
from breakwater.registry.peers.peering import Peering, PeeringStats
from breakwater.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from breakwater.registry.dns.server import DnsServer, DnsStats


class DirectoryStats(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of every part but the leases themselves."""

    keeping: KeeperStats | None
    peering: PeeringStats
    judge: JudgeStats
    acts: ActStats
    fetches: FetchStats
    answers: AnswerStats
    waiters: int
    dns: "DnsStats | None"


class Directory:
    """Leases, the judgement on them and the views of them, wired once.

    `run` is to be run until the end; `close` answers everybody who waits.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        clock: Clock,
        disk: Disk | None = None,
        *,
        journal: ActJournal | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.settings = settings
        self.registry = registry = Registry(settings, clock)
        self.judge = Judge(registry, clock, probe)
        self.keeper = None if disk is None else Keeper(registry, disk, clock)
        self.acts = ActBook(registry, self.judge, clock, disk=disk, journal=journal)
        self.peering = Peering(registry, settings, clock, self.acts)
        self.judge.heed_peers(self.peering.is_silent)
        self.native = NativeView(registry, self.judge, clock)
        self.recorder = Recorder(registry, self.judge, clock, self.acts.acts_on)
        self.fetch_limits = FetchLimits(settings, clock)
        self.answers = Answers(registry)
        self.dns = self._dns()

    def view(self) -> InstanceView:
        """Every instance as callers are to see it."""
        return self.native.view()

    def _dns(self) -> "DnsServer | None":
        """The DNS zone, where there is to be one: its library is loaded only then."""
        settings = self.settings
        if not settings.dns_port:
            return None
        from breakwater.registry.dns.answering import Answerer  # noqa: PLC0415 - as said
        from breakwater.registry.dns.server import DnsServer  # noqa: PLC0415 - as said

        answerer = Answerer(self.view, domain=settings.dns_domain, ttl_s=settings.dns_ttl_s)
        return DnsServer(answerer, host=settings.dns_host, port=settings.dns_port)

    async def recall(self) -> None:
        """Know again whom this registry knew before it was restarted, and what was done to them."""
        if self.keeper is not None:
            await self.keeper.recall()
        await self.acts.recall()

    async def settled(self) -> None:
        """Wait until what has happened is on the disk, as long as an answer may wait for that."""
        if self.keeper is not None:
            await self.keeper.settled()

    async def flush(self) -> None:
        """Write what is not written yet, at the end."""
        if self.keeper is not None:
            await self.keeper.write_all()

    @property
    def is_durable(self) -> bool:
        """Whether the disk takes what it is given."""
        return self.keeper is None or self.keeper.is_durable

    async def run(self) -> None:
        """Judge, write down and talk to peers until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.judge.run)
            group.start_soon(self.peering.run)
            group.start_soon(self.acts.run)
            if self.settings.prometheus_file:
                group.start_soon(keep_file, self.native, Path(self.settings.prometheus_file))
            if self.keeper is not None:
                group.start_soon(self.keeper.run)

    def close(self) -> None:
        """Answer every waiting caller and let none wait any more."""
        self.native.close()

    def stats(self) -> DirectoryStats:
        """Numbers for the platform's own metrics."""
        return DirectoryStats(
            keeping=None if self.keeper is None else self.keeper.stats(),
            peering=self.peering.stats(),
            judge=self.judge.stats(),
            acts=self.acts.stats(),
            fetches=self.fetch_limits.stats(),
            answers=self.answers.stats(),
            waiters=self.native.waiters,
            dns=None if self.dns is None else self.dns.stats(),
        )
