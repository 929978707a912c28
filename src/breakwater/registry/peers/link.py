"""The link to one peer: what it is told, what it is asked, and how that fares."""

from collections import Counter
from enum import StrEnum
from typing import Final

import anyio
import msgspec
import structlog

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.errors import PeerFailedError, UnknownInstanceError
from breakwater.registry.holding.registry import Registry
from breakwater.registry.peers.acts import Acts
from breakwater.registry.peers.batch import Outcome, Rider, write_batch
from breakwater.registry.peers.hearing import Hearing
from breakwater.registry.peers.outbox import BATCH, Outbox, Task, TaskAction
from breakwater.registry.peers.reconciling import Reconciler
from breakwater.registry.peers.wire import PeerWire
from breakwater.registry.settings import RegistrySettings

log = structlog.get_logger("breakwater.registry")

BATCH_S: Final = 0.5
RETRY_S: Final = 1.0
_SHOWN: Final = 300
_LAST_WORDS_S: Final = 0.3
_PASSING: Final = frozenset((0, 401, 403, 408, 429))


class PeerKind(StrEnum):
    """What answers there: a registry of our kind, a Eureka server, or this registry itself."""

    UNKNOWN = "unknown"
    BREAKWATER = "breakwater"
    EUREKA = "eureka"
    SELF = "self"


class PeerState(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with one peer.

    is_up: the latest exchange went well. last_success_ms, last_compared_ms: wall time, 0 for
    never. heard_ago_s: since the peer spoke to us; None if it never did. waiting, lag_s: tasks it
    has not been told, and the age of the oldest. skew_ms: how far its clock is ahead of ours.
    """

    url: str
    name: str
    kind: PeerKind
    is_up: bool
    last_success_ms: int
    last_compared_ms: int
    heard_ago_s: float | None
    waiting: int
    lag_s: float
    sent: int
    expired: int
    dropped: int
    rejected: int
    failures: int
    skew_ms: int
    last_failure: str


class Link:
    """Tells one peer what happens here, and compares with it; `run` must be running."""

    def __init__(
        self,
        url: str,
        *,
        own_name: str,
        registry: Registry,
        reconciler: Reconciler,
        hearing: Hearing,
        acts: Acts,
        settings: RegistrySettings,
        clock: Clock,
    ) -> None:
        self.url = url
        self.name = url
        self.kind = PeerKind.UNKNOWN
        self.is_up = False
        self.tries = 0
        self.has_compared = False
        self.outbox = Outbox(capacity=settings.max_peer_tasks)
        self._own_name = own_name
        self._registry = registry
        self._reconciler = reconciler
        self._hearing = hearing
        self._acts = acts
        self._acts_told: int | None = None
        self._groups_told = 0
        self._settings = settings
        self._clock = clock
        self._news = anyio.Event()
        self._crowd = anyio.Event()
        self._nudge = anyio.Event()
        self._counts: Counter[str] = Counter()
        self._last_success_ms = self._last_compared_ms = self._skew_ms = 0
        self._last_failure = ""

    def put(self, task: Task) -> None:
        """Have the peer told of this, at the latest half a second from now."""
        self.outbox.put(task)
        self._news.set()
        if len(self.outbox) >= BATCH:
            self._crowd.set()

    def hurry(self) -> None:
        """Compare with the peer now."""
        self._nudge.set()

    def speak(self) -> None:
        """Tell the peer now what is to be told, if only that we are here."""
        self._news.set()
        self._crowd.set()

    async def run(self, wire: PeerWire) -> None:
        """Tell and compare until cancelled, or until the peer turns out to be this registry.

        What is to be told at the end is told still, if the peer takes it at once.
        """
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_telling, wire)
                await self._keep_comparing(wire)
                group.cancel_scope.cancel()
        finally:
            if self.is_up and len(self.outbox):
                with anyio.move_on_after(_LAST_WORDS_S, shield=True):
                    await self.tell(wire)

    async def _keep_telling(self, wire: PeerWire) -> None:
        while True:
            if not len(self.outbox) and not self._has_word():
                self._news = anyio.Event()
                with anyio.move_on_after(self._settings.peer_ping_s):
                    await self._news.wait()
            if len(self.outbox) < BATCH:
                self._crowd = anyio.Event()
                with anyio.move_on_after(min(BATCH_S, self._settings.peer_ping_s / 2)):
                    await self._crowd.wait()
            if not await self.tell(wire):
                await anyio.sleep(RETRY_S)

    async def tell(self, wire: PeerWire) -> bool:
        """Send one batch, an empty one if there is nothing to tell; whether that went well."""
        tasks = self.outbox.take(now_s=self._clock.monotonic_s())
        acts_revision, groups_revision = self._acts.revision, self._registry.groups.revision
        try:
            outcomes = await wire.tell(write_batch(tasks, self._rider()))
        except PeerFailedError as error:
            if error.status in _PASSING or error.status >= 500:
                self.outbox.put_back(tasks)
            else:
                self._counts["rejected"] += len(tasks)
            self._failed(error)
            return False
        except BaseException:
            self.outbox.put_back(tasks)
            raise
        self._acts_told = acts_revision
        if self.kind is PeerKind.EUREKA:
            await self._switch_groups(wire)
        elif self.kind is PeerKind.BREAKWATER:
            self._groups_told = groups_revision
        self._counts["sent"] += len(tasks)
        for task, outcome in zip(tasks, outcomes, strict=False):
            self._consider(task, outcome)
        if not self.is_up:
            self.hurry()
        self._succeeded()
        return True

    def _rider(self) -> Rider | None:
        if self.kind is not PeerKind.BREAKWATER:
            return None
        groups = self._registry.groups.since(self._groups_told)
        if self._acts.revision == self._acts_told:
            return Rider(name=self._own_name, groups=groups)
        return Rider(name=self._own_name, acts=self._acts.parcel(), groups=groups)

    def _has_word(self) -> bool:
        """Whether there are acts or switches of groups that the peer has not been told."""
        are_groups_told = self._registry.groups.revision == self._groups_told
        return self._acts.revision != self._acts_told or not are_groups_told

    async def _switch_groups(self, wire: PeerWire) -> None:
        """Tell a Eureka server of groups, one by one; outside of Amazon's cloud it refuses."""
        revision = self._registry.groups.revision
        for switch in self._registry.groups.since(self._groups_told):
            try:
                await wire.switch(switch)
            except PeerFailedError as error:
                if error.status in _PASSING:
                    return
                self._counts["rejected"] += 1
        self._groups_told = revision

    def _consider(self, task: Task, outcome: Outcome) -> None:
        """A peer that does not know an instance is told of it; a newer copy of its is taken."""
        if outcome.status == 404 and task.action is TaskAction.HEARTBEAT:
            try:
                lease = self._registry.lease(task.info.app, task.info.instance_id)
            except UnknownInstanceError:
                return
            now_s = self._clock.monotonic_s()
            self.put(
                Task(
                    action=TaskAction.REGISTER,
                    info=lease.info,
                    override_ms=lease.override_ms,
                    made_s=now_s,
                    expires_s=now_s + max(lease.info.lease.renewal_interval_s, RETRY_S),
                )
            )
        elif outcome.status == 409 and outcome.info is not None:
            self._reconciler.take_newer(outcome.info, peer=self.name)
        elif outcome.status >= 400 and outcome.status not in {404, 409}:
            self._counts["rejected"] += 1

    async def _keep_comparing(self, wire: PeerWire) -> None:
        while self.kind is not PeerKind.SELF:
            self._nudge = anyio.Event()
            went_well = await self.compare(wire)
            self.tries += 1
            pause_s = self._settings.reconcile_every_s if went_well else RETRY_S
            with anyio.move_on_after(pause_s):
                await self._nudge.wait()

    async def compare(self, wire: PeerWire) -> bool:
        """Take what the peer knows better; whether that went well."""
        asked_s, asked_ms = self._clock.monotonic_s(), self._clock.now_ms()
        try:
            digest = await wire.digest()
            if digest is None:
                await self._compare_classic(wire)
            else:
                took_ms = (self._clock.monotonic_s() - asked_s) * 1000
                self._skew_ms = int(digest.now_ms - asked_ms - took_ms / 2)
                self._meet(digest.name)
                if self.kind is PeerKind.SELF:
                    return True
                await self._reconciler.take_digest(
                    digest,
                    wire.copies,
                    via=self.name,
                    asked_s=asked_s,
                    is_first=not self.has_compared,
                )
                self._counts["rejected"] += self._registry.take_switches(digest.groups)
                await self._take_acts(digest.acts)
                self._hearing.compared(self.name)
        except PeerFailedError as error:
            self._failed(error)
            return False
        self.has_compared = True
        self._last_compared_ms = self._clock.now_ms()
        self._succeeded()
        return True

    def _meet(self, name: str) -> None:
        """Learn who answers; a registry that is told to be its own peer is left alone."""
        if name == self._own_name:
            self.kind = PeerKind.SELF
            self.outbox.clear()
            return
        if self.kind is PeerKind.BREAKWATER and self.name != name:
            self._hearing.forget(self.name)
        if self.kind is not PeerKind.BREAKWATER or self.name != name:
            self._acts_told = None
            self._groups_told = 0
            self.speak()
        self.kind, self.name = PeerKind.BREAKWATER, name

    async def _compare_classic(self, wire: PeerWire) -> None:
        is_back = not self.is_up or not self.has_compared
        self.kind = PeerKind.EUREKA
        if is_back:
            await self._reconciler.take_everything(await wire.everything(), via=self.name)

    async def _take_acts(self, acts: msgspec.Raw) -> None:
        if bytes(acts) == b"null":
            return
        try:
            await self._acts.take_parcel(acts, peer=self.name)
        except BreakwaterError as error:
            self._counts["rejected"] += 1
            self._last_failure = f"its acts were not taken: {error}"[:_SHOWN]

    def _succeeded(self) -> None:
        if not self.is_up:
            log.info("registry.peer.up", peer=self.url, name=self.name, kind=self.kind.value)
        self.is_up = True
        self._last_success_ms = self._clock.now_ms()
        self._last_failure = ""

    def _failed(self, error: PeerFailedError) -> None:
        if self.is_up or not self._counts["failures"]:
            log.warning("registry.peer.down", peer=self.url, reason=str(error))
        self.is_up = False
        self._counts["failures"] += 1
        self._last_failure = str(error)[:_SHOWN]

    def state(self) -> PeerState:
        """How it stands with the peer."""
        now_s = self._clock.monotonic_s()
        return PeerState(
            url=self.url,
            name=self.name,
            kind=self.kind,
            is_up=self.is_up,
            last_success_ms=self._last_success_ms,
            last_compared_ms=self._last_compared_ms,
            heard_ago_s=self._hearing.last_heard_s(self.name),
            waiting=len(self.outbox),
            lag_s=self.outbox.oldest_s(now_s=now_s),
            sent=self._counts["sent"],
            expired=self.outbox.counts["expired"],
            dropped=self.outbox.counts["dropped"],
            rejected=self._counts["rejected"],
            failures=self._counts["failures"],
            skew_ms=self._skew_ms,
            last_failure=self._last_failure,
        )
