"""A registry among its peers: every link, who is heard, and when enough is known to answer."""

from typing import Final
from uuid import uuid4

import anyio
import anyio.lowlevel
import msgspec

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.holding.registry import Registry
from breakwater.registry.peers.acts import Acts, NoActs
from breakwater.registry.peers.address import PeerAddress, peer_address
from breakwater.registry.peers.batch import Batch, Outcome
from breakwater.registry.peers.digest import Marks
from breakwater.registry.peers.hearing import Hearing
from breakwater.registry.peers.link import Link, PeerKind, PeerState
from breakwater.registry.peers.outbox import Task, TaskAction
from breakwater.registry.peers.receiving import received
from breakwater.registry.peers.reconciling import Reconciler, ReconcilerStats
from breakwater.registry.peers.wire import CONNECT_S, READ_S, PeerWire
from breakwater.registry.settings import RegistrySettings

START_TRIES: Final = 5
_ACTION_FOR: Final = {
    Deed.REGISTERED: TaskAction.REGISTER,
    Deed.RENEWED: TaskAction.HEARTBEAT,
    Deed.CANCELLED: TaskAction.CANCEL,
    Deed.OVERRIDDEN: TaskAction.STATUS_UPDATE,
    Deed.OVERRIDE_REMOVED: TaskAction.DELETE_STATUS_OVERRIDE,
    Deed.DESCRIBED: TaskAction.REGISTER,
}
"""What peers are told; each of them ends leases by its own judgement."""
_TOLD_ON: Final = frozenset((Origin.CLIENT, Origin.OPERATOR))
_ENTRIES_AT_ONCE: Final = 50
_OTHERS_EXPIRE_S: Final = 30.0


class PeeringStats(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on between this registry and others; peers_up counts those that can be reached."""

    name: str
    peers: int
    peers_up: int
    is_ready: bool
    received: int
    received_refused: int
    waiting: int
    reconciled: ReconcilerStats


class PeersView(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /api/v1/registry/peers` answers; name is what this registry calls itself."""

    name: str
    is_ready: bool
    peers: list[PeerState]


class Peering:
    """Passes on what happens here, takes what happens elsewhere. Belongs to one event loop.

    Without peers it does nothing, but answers those who name us as theirs. `run` must be running.
    Raises UnusablePeerError for an address that cannot be one.
    """

    def __init__(
        self,
        registry: Registry,
        settings: RegistrySettings,
        clock: Clock,
        acts: Acts | None = None,
    ) -> None:
        self.name = settings.url or f"registry-{uuid4().hex[:12]}"
        self.registry = registry
        self.marks = Marks()
        self.acts = NoActs() if acts is None else acts
        self.clock = clock
        self._settings = settings
        self._hearing = Hearing(clock, ping_s=settings.peer_ping_s)
        self._reconciler = Reconciler(registry, self.marks, clock)
        own = peer_address(settings.url).own if settings.url else None
        addresses = [peer_address(url, settings.peer_token) for url in settings.peers]
        self._links = [
            (self._link_to(address), address) for address in addresses if address.own != own
        ]
        self._received = self._refused = 0
        self._begun_s: float | None = None
        self._is_ready = False
        registry.listen(self._heard)
        registry.groups.listen(self.acted)

    def _link_to(self, address: PeerAddress) -> Link:
        return Link(
            address.shown,
            own_name=self.name,
            registry=self.registry,
            reconciler=self._reconciler,
            hearing=self._hearing,
            acts=self.acts,
            settings=self._settings,
            clock=self.clock,
        )

    @property
    def is_ready(self) -> bool:
        """Whether an answer about who is there can be given.

        Not while nothing at all is known and some peer is still being asked for the first time:
        until one of them has told, all have failed five times, or ten seconds have passed. Once it
        can, it always can: when the last instance leaves, that nobody is there is an answer.
        """
        if not self._is_ready:
            self._is_ready = self._knows_enough()
        return self._is_ready

    def _knows_enough(self) -> bool:
        links = [link for link, _ in self._links if link.kind is not PeerKind.SELF]
        if not links or len(self.registry) or any(link.has_compared for link in links):
            return True
        if all(link.tries >= START_TRIES for link in links):
            return True
        begun_s = self._begun_s
        return (
            begun_s is not None
            and self.clock.monotonic_s() - begun_s >= self._settings.start_copy_s
        )

    def is_silent(self, via: str) -> bool:
        """Whether the peer that passed renewals on cannot tell us whether they go on.

        One of our kind that we reach but that never spoke to us is silent too. Of a Eureka server,
        and of a name from before our start, nobody can tell: silent while any peer is out of reach.
        """
        if self._hearing.knows(via):
            return self._hearing.is_silent(via)
        links = [link for link, _ in self._links if link.kind is not PeerKind.SELF]
        if any(link.name == via and link.kind is PeerKind.BREAKWATER for link in links):
            return True
        return any(not link.is_up for link in links)

    async def run(self) -> None:
        """Keep every link going until cancelled."""
        if self._begun_s is None:
            self._begun_s = self.clock.monotonic_s()
        if not self._links:
            await anyio.sleep_forever()
        from aiohttp import (  # noqa: PLC0415 - loading it takes a tenth of a second
            ClientSession,
            ClientTimeout,
            DummyCookieJar,
            TCPConnector,
        )

        timeout = ClientTimeout(total=4 * READ_S, sock_connect=CONNECT_S, sock_read=READ_S)
        async with (
            ClientSession(
                timeout=timeout, cookie_jar=DummyCookieJar(), connector=TCPConnector(limit=0)
            ) as session,
            anyio.create_task_group() as group,
        ):
            for link, address in self._links:
                group.start_soon(link.run, PeerWire(session, address, name=self.name))

    async def receive(self, batch: Batch, *, via: str) -> list[Outcome]:
        """Do what a peer passes on; an outcome for each entry, in order."""
        if batch.rider is not None:
            via = batch.rider.name
            self._listen_to(via)
        outcomes = []
        for number, entry in enumerate(batch.entries):
            outcomes.append(received(self.registry, entry, via=via))
            if number % _ENTRIES_AT_ONCE == _ENTRIES_AT_ONCE - 1:
                await anyio.lowlevel.checkpoint()
        self._received += len(outcomes)
        self._refused += sum(outcome.status not in {200, 404, 409} for outcome in outcomes)
        if batch.rider is not None:
            self._refused += self.registry.take_switches(batch.rider.groups)
        if batch.rider is not None and bytes(batch.rider.acts) != b"null":
            try:
                await self.acts.take_parcel(batch.rider.acts, peer=via)
            except BreakwaterError:
                self._refused += 1
        return outcomes

    def _listen_to(self, name: str) -> None:
        if not self._hearing.heard(name):
            return
        for link, _ in self._links:
            if link.name == name:
                link.hurry()

    def acted(self) -> None:
        """Tell every peer at once that an operator acted, or that a group was switched."""
        for link, _ in self._links:
            link.speak()

    def _heard(self, happening: Happening) -> None:
        action = _ACTION_FOR.get(happening.deed)
        self._is_ready = True
        if action is None or happening.origin not in _TOLD_ON or not self._links:
            return
        info, now_s = happening.info, self.clock.monotonic_s()
        is_renewal = action in {TaskAction.REGISTER, TaskAction.HEARTBEAT}
        lasts_s = float(info.lease.renewal_interval_s) if is_renewal else _OTHERS_EXPIRE_S
        override_ms = 0
        if action is not TaskAction.HEARTBEAT and action is not TaskAction.CANCEL:
            override_ms = self.registry.lease(info.app, info.instance_id).override_ms
        task = Task(
            action=action,
            info=info,
            override_ms=override_ms,
            made_s=now_s,
            expires_s=now_s + lasts_s,
        )
        for link, _ in self._links:
            if link.kind is not PeerKind.SELF:
                link.put(task)

    def view(self) -> PeersView:
        """How it stands with every peer."""
        return PeersView(
            name=self.name,
            is_ready=self.is_ready,
            peers=[link.state() for link, _ in self._links],
        )

    def stats(self) -> PeeringStats:
        """Numbers for the platform's own metrics."""
        counts = self._reconciler.counts
        links = [link for link, _ in self._links]
        return PeeringStats(
            name=self.name,
            peers=len(links),
            peers_up=sum(link.is_up for link in links),
            is_ready=self.is_ready,
            received=self._received,
            received_refused=self._refused,
            waiting=sum(len(link.outbox) for link in links),
            reconciled=ReconcilerStats(
                taken=counts["taken"],
                heard=counts["heard"],
                ended=counts["ended"],
                refused=counts["refused"],
            ),
        )
