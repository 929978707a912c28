"""Who is there: leases on instances, renewed by their holders, ended by silence."""

from collections import Counter
from collections.abc import Iterator

import anyio
import msgspec

from breakwater.model import BreakwaterError, Clock, InstanceView
from breakwater.registry.admission import admit, bound_metadata
from breakwater.registry.errors import (
    NewerClaimError,
    RegistryFullError,
    StaleReplicaError,
    TooManyWaitersError,
    UnknownInstanceError,
)
from breakwater.registry.instance_info import Action, InstanceInfo, InstanceStatus
from breakwater.registry.lease import Lease
from breakwater.registry.recent_changes import RecentChanges
from breakwater.registry.settings import RegistrySettings
from breakwater.registry.statuses import effective_status


class RegistryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry holds now, and what it did since it started."""

    revision: int
    applications: int
    instances: int
    instances_by_status: dict[str, int]
    recent_changes: int
    waiters: int
    registrations: int
    renewals: int
    unknown_renewals: int
    cancellations: int
    evictions: int
    refused: int
    lost_time_s: float


class Registry:
    """Every lease, and one revision number that grows with every visible change.

    Pure state: no method but `wait_view` and `run` waits for anything. It belongs to one event
    loop and is not to be shared between threads. Register, renew and cancel cost O(1); `evict`
    O(instances). The revision starts at the wall clock in milliseconds, so that a caller who
    remembers the revision of an earlier process never takes it for one of this process.
    """

    def __init__(self, settings: RegistrySettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._apps: dict[str, dict[str, Lease]] = {}
        self._size = 0
        self._revision = clock.now_ms()
        self._changed = anyio.Event()
        self._is_closed = False
        self._recent = RecentChanges(
            retention_s=settings.delta_retention_s, capacity=2 * settings.max_instances
        )
        self._view: InstanceView | None = None
        self._waiters = 0
        self._counts: Counter[str] = Counter()
        self._lost_time_s = 0.0

    def __len__(self) -> int:
        """How many instances are registered."""
        return self._size

    @property
    def revision(self) -> int:
        """The number of the present state; a larger one is a later state."""
        return self._revision

    def register(self, app: str, info: InstanceInfo, *, is_replication: bool = False) -> None:
        """Take `info` in under `app`, or renew its lease with what it says of itself now.

        A description older than the one held (by the instance's own timestamp) only renews the
        lease. Raises InvalidInstanceError, PayloadTooLargeError, RegistryFullError.
        """
        try:
            admit(info, app=app, settings=self.settings)
            held = self._apps.get(info.app, {}).get(info.instance_id)
            if held is None and self._size >= self.settings.max_instances:
                raise RegistryFullError(
                    f"{info.instance_id} cannot be registered: all {self.settings.max_instances} "
                    f"places are taken until leases end"
                )
        except BreakwaterError:
            self._counts["refused"] += 1
            raise
        self._take_in(info, held, is_replication=is_replication)
        self._counts["registrations"] += 1

    def _take_in(self, info: InstanceInfo, held: Lease | None, *, is_replication: bool) -> None:
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if held is not None and held.info.last_dirty_ms > (info.last_dirty_ms or now_ms):
            info = held.info
        override = held.override if held is not None else None
        if override is None and info.overridden_status is not InstanceStatus.UNKNOWN:
            override = info.overridden_status
        status = effective_status(
            info.status,
            override=override,
            held=held.info.status if held is not None else None,
            is_replication=is_replication,
        )
        service_up_ms = held.info.lease.service_up_ms if held is not None else 0
        if not service_up_ms and status is InstanceStatus.UP:
            service_up_ms = now_ms
        info = msgspec.structs.replace(
            info,
            status=status,
            overridden_status=override or InstanceStatus.UNKNOWN,
            last_dirty_ms=info.last_dirty_ms or now_ms,
            lease=msgspec.structs.replace(
                info.lease,
                registration_ms=now_ms,
                last_renewal_ms=now_ms,
                eviction_ms=0,
                service_up_ms=service_up_ms,
            ),
        )
        lease = Lease(info, now_ms=now_ms, now_s=now_s, override=override)
        self._size += held is None
        self._apps.setdefault(info.app, {})[info.instance_id] = lease
        self._show(lease, info, Action.ADDED)

    def renew(
        self,
        app: str,
        instance_id: str,
        *,
        last_dirty_ms: int | None = None,
        is_replication: bool = False,
    ) -> None:
        """Prolong a lease by its full duration from now.

        Raises UnknownInstanceError if there is none, or none whose status is known: the holder is
        to register again. NewerClaimError if the caller is newer than what is held; to a peer that
        is older, StaleReplicaError.
        """
        try:
            lease = self._lease(app, instance_id)
            if lease.info.status is InstanceStatus.UNKNOWN:
                raise UnknownInstanceError(  # noqa: TRY301 - counted just below
                    f"the status of {instance_id} is not known any more; register it again"
                )
            lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s())
            self._compare_versions(lease, last_dirty_ms, is_replication=is_replication)
        except UnknownInstanceError:
            self._counts["unknown_renewals"] += 1
            raise
        self._counts["renewals"] += 1

    def _compare_versions(
        self, lease: Lease, last_dirty_ms: int | None, *, is_replication: bool
    ) -> None:
        held_ms = lease.info.last_dirty_ms
        if last_dirty_ms is None or last_dirty_ms == held_ms:
            return
        if last_dirty_ms > held_ms:
            raise NewerClaimError(
                f"{lease.info.instance_id} is held as of {held_ms}, older than {last_dirty_ms}; "
                f"register it again"
            )
        if is_replication:
            raise StaleReplicaError(
                f"{lease.info.instance_id} is held as of {held_ms}, newer than {last_dirty_ms}",
                held=self._current(lease),
            )

    def cancel(self, app: str, instance_id: str) -> None:
        """End a lease at its holder's wish; raises UnknownInstanceError."""
        self._drop(self._lease(app, instance_id))
        self._counts["cancellations"] += 1

    def override_status(
        self,
        app: str,
        instance_id: str,
        status: InstanceStatus,
        *,
        last_dirty_ms: int | None = None,
    ) -> None:
        """Let an operator's `status` stand above the instance's own, and renew its lease."""
        lease = self._lease(app, instance_id)
        lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s())
        if lease.override is status and lease.info.status is status:
            return
        lease.override = status
        info = self._with_status(lease.info, status)
        info = msgspec.structs.replace(
            info,
            overridden_status=status,
            last_dirty_ms=max(info.last_dirty_ms, last_dirty_ms or 0),
        )
        self._show(lease, info, Action.MODIFIED)

    def remove_override(
        self,
        app: str,
        instance_id: str,
        status: InstanceStatus = InstanceStatus.UNKNOWN,
        *,
        last_dirty_ms: int | None = None,
    ) -> None:
        """Take an operator's status away; `status` shows until the instance speaks again.

        With UNKNOWN the next renew is refused, which makes the instance register itself anew.
        """
        lease = self._lease(app, instance_id)
        lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s())
        if lease.override is None:
            return
        lease.override = None
        info = msgspec.structs.replace(
            self._with_status(lease.info, status),
            overridden_status=InstanceStatus.UNKNOWN,
            last_dirty_ms=max(lease.info.last_dirty_ms, last_dirty_ms or 0),
        )
        self._show(lease, info, Action.MODIFIED)

    def update_metadata(self, app: str, instance_id: str, entries: dict[str, str]) -> None:
        """Add `entries` to the metadata of an instance, or replace them there."""
        lease = self._lease(app, instance_id)
        info = msgspec.structs.replace(lease.info, metadata={**lease.info.metadata, **entries})
        bound_metadata(info, settings=self.settings)
        self._show(lease, info, Action.MODIFIED)

    def instance(self, app: str, instance_id: str) -> InstanceInfo:
        """One instance with its latest renewal; raises UnknownInstanceError."""
        return self._current(self._lease(app, instance_id))

    def instance_anywhere(self, instance_id: str) -> InstanceInfo:
        """The instance called `instance_id` in whatever application; O(applications)."""
        for leases in self._apps.values():
            if instance_id in leases:
                return self._current(leases[instance_id])
        raise UnknownInstanceError(f"no instance {instance_id} is registered")

    def application(self, app: str) -> list[InstanceInfo]:
        """The instances of one application; raises UnknownInstanceError if there is none."""
        leases = self._apps.get(app.upper())
        if not leases:
            raise UnknownInstanceError(f"no application {app.upper()} is registered")
        return [lease.info for lease in leases.values()]

    def behind_address(self, address: str, *, is_secure: bool = False) -> list[InstanceInfo]:
        """The instances behind a virtual address (one may have several, separated by commas)."""
        found = [
            info
            for info in self.infos()
            if address in (info.secure_vip_address if is_secure else info.vip_address).split(",")
        ]
        if not found:
            kind = "secure virtual address" if is_secure else "virtual address"
            raise UnknownInstanceError(f"no instance is behind the {kind} {address}")
        return found

    def infos(self) -> Iterator[InstanceInfo]:
        """Every instance, application by application; renewals as of its last change."""
        for leases in self._apps.values():
            for lease in leases.values():
                yield lease.info

    def recent(self) -> list[InstanceInfo]:
        """The last state of every instance that changed within the retention."""
        self._recent.prune(now_s=self._clock.monotonic_s())
        return self._recent.infos()

    def view(self, service: str | None = None) -> InstanceView:
        """All instances, or those of one `service`, at the present revision."""
        if self._view is None:
            instances = [info.native() for info in self.infos()]
            self._view = InstanceView(revision=self._revision, instances=instances)
        if service is None:
            return self._view
        wanted = service.lower()
        chosen = [one for one in self._view.instances if one.service.lower() == wanted]
        return InstanceView(revision=self._revision, instances=chosen)

    async def wait_view(
        self, revision: int | None, wait_s: float, service: str | None = None
    ) -> InstanceView:
        """The view as soon as its revision is not `revision`, at the latest after `wait_s`.

        Raises TooManyWaitersError when no further caller may wait.
        """
        if revision != self._revision or wait_s <= 0 or self._is_closed:
            return self.view(service)
        if self._waiters >= self.settings.max_waiters:
            raise TooManyWaitersError(
                f"{self._waiters} callers wait for the registry already; ask again without wait_s"
            )
        self._waiters += 1
        try:
            with anyio.move_on_after(min(wait_s, self.settings.max_wait_s)):
                await self._changed.wait()
        finally:
            self._waiters -= 1
        return self.view(service)

    def evict(self) -> list[InstanceInfo]:
        """Drop every lease that has lapsed and return what was dropped."""
        now_s = self._clock.monotonic_s()
        self._recent.prune(now_s=now_s)
        lapsed = [
            lease
            for leases in self._apps.values()
            for lease in leases.values()
            if lease.deadline_s <= now_s
        ]
        gone = [self._drop(lease) for lease in lapsed]
        self._counts["evictions"] += len(gone)
        return gone

    def prolong(self, lost_s: float) -> None:
        """Give every lease the `lost_s` seconds during which no renewal could be heard."""
        self._lost_time_s += lost_s
        for leases in self._apps.values():
            for lease in leases.values():
                lease.deadline_s += lost_s

    async def run(self) -> None:
        """Evict once a second until cancelled; the server runs this beside the HTTP routes.

        When this process itself stood still (suspended, starved), nobody's renewal was heard;
        that time is given back to every lease instead of being held against it.
        """
        interval_s = self.settings.evict_interval_s
        while True:
            before_s = self._clock.monotonic_s()
            await anyio.sleep(interval_s)
            late_s = self._clock.monotonic_s() - before_s - interval_s
            if late_s > interval_s:
                self.prolong(late_s)
            self.evict()

    def close(self) -> None:
        """Answer every waiting caller now and let none wait any more, before the server stops."""
        self._is_closed = True
        self._changed.set()

    def stats(self) -> RegistryStats:
        """Numbers for the platform's own metrics."""
        counts = self._counts
        return RegistryStats(
            revision=self._revision,
            applications=len(self._apps),
            instances=self._size,
            instances_by_status=dict(Counter(info.status.value for info in self.infos())),
            recent_changes=len(self._recent),
            waiters=self._waiters,
            registrations=counts["registrations"],
            renewals=counts["renewals"],
            unknown_renewals=counts["unknown_renewals"],
            cancellations=counts["cancellations"],
            evictions=counts["evictions"],
            refused=counts["refused"],
            lost_time_s=self._lost_time_s,
        )

    def _lease(self, app: str, instance_id: str) -> Lease:
        lease = self._apps.get(app.upper(), {}).get(instance_id)
        if lease is None:
            raise UnknownInstanceError(f"no instance {instance_id} of {app.upper()} is registered")
        return lease

    def _current(self, lease: Lease) -> InstanceInfo:
        renewed = msgspec.structs.replace(lease.info.lease, last_renewal_ms=lease.last_renewal_ms)
        return msgspec.structs.replace(lease.info, lease=renewed)

    def _with_status(self, info: InstanceInfo, status: InstanceStatus) -> InstanceInfo:
        terms = info.lease
        if status is InstanceStatus.UP and not terms.service_up_ms:
            terms = msgspec.structs.replace(terms, service_up_ms=self._clock.now_ms())
        return msgspec.structs.replace(info, status=status, lease=terms)

    def _show(self, lease: Lease, info: InstanceInfo, action: Action) -> None:
        """Make `info` the visible state of `lease`, under a new revision."""
        lease.info = msgspec.structs.replace(
            info, action=action, last_updated_ms=self._clock.now_ms()
        )
        self._record(lease.info)

    def _drop(self, lease: Lease) -> InstanceInfo:
        info = msgspec.structs.replace(
            lease.info, action=Action.DELETED, last_updated_ms=self._clock.now_ms()
        )
        leases = self._apps[info.app]
        del leases[info.instance_id]
        if not leases:
            del self._apps[info.app]
        self._size -= 1
        self._record(info)
        return info

    def _record(self, info: InstanceInfo) -> None:
        self._recent.add(info, now_s=self._clock.monotonic_s())
        self._revision += 1
        self._view = None
        self._changed.set()
        self._changed = anyio.Event()
