"""Who is there: leases on instances, renewed by their holders, ended by silence."""

from collections import Counter
from collections.abc import Callable

import msgspec

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.errors import (
    NewerClaimError,
    RegistryFullError,
    StaleReplicaError,
    UnknownInstanceError,
)
from breakwater.registry.holding.admission import admit, bound_metadata
from breakwater.registry.holding.classic import ClassicNumbers, ClassicStats
from breakwater.registry.holding.endings import Ending, Endings
from breakwater.registry.holding.groups import Groups, Switch
from breakwater.registry.holding.happenings import Deed, Happening, Listener, Origin
from breakwater.registry.holding.held import HeldLeases
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.stats import RegistryStats
from breakwater.registry.holding.statuses import effective_status
from breakwater.registry.instance_info import MAX_WHOLE, Action, InstanceInfo, InstanceStatus
from breakwater.registry.settings import RegistrySettings


def _nobody(_lease: Lease) -> bool:
    return False


class Registry(HeldLeases):
    """Every lease, and one revision number that grows with every visible change.

    Pure state: no method waits for anything. It belongs to one event loop and is not to be shared
    between threads. Register, renew and cancel cost O(1); `evict` O(instances).
    """

    def __init__(self, settings: RegistrySettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self.groups = Groups()
        self._classic = ClassicNumbers(now_s=clock.monotonic_s())
        self._counts: Counter[str] = Counter()
        self._lost_time_s = 0.0
        self._listeners: list[Listener] = []
        self._orders: dict[tuple[str, str], InstanceStatus] = {}
        self.endings = Endings(capacity=2 * settings.max_instances)

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after everything that happens to a lease, renewals among it."""
        self._listeners.append(listener)

    def order(self, app: str, instance_id: str, status: InstanceStatus | None) -> None:
        """Let `status` be the override of whatever registers under that name; None for no more.

        What is registered already is left as it is.
        """
        key = (app.upper(), instance_id)
        if status is not None:
            self._orders[key] = status
            return
        self._orders.pop(key, None)
        self.endings.pardon(*key)

    def register(
        self, app: str, info: InstanceInfo, *, origin: Origin = Origin.CLIENT, via: str = ""
    ) -> None:
        """Take `info` in under `app`, or renew its lease with what it says of itself now.

        via: the peer that passed it on, if one did; empty when the instance spoke itself.

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
        ending = self.endings.of(info.app, info.instance_id)
        if ending is not None and ending.outlives(info.last_dirty_ms or MAX_WHOLE, float("inf")):
            if origin is Origin.PEER:
                self._counts["outlived"] += 1  # the peer has yet to hear of the end
                return
            info = msgspec.structs.replace(
                info, last_dirty_ms=min(ending.last_dirty_ms + 1, MAX_WHOLE)
            )
        self._take_in(info, held, origin=origin, via=via)
        self._counts["registrations"] += 1

    def _take_in(self, info: InstanceInfo, held: Lease | None, *, origin: Origin, via: str) -> None:
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if held is not None and held.info.last_dirty_ms > (info.last_dirty_ms or now_ms):
            info = held.info
        before = held or self.endings.of(info.app, info.instance_id)
        override = before.override if before is not None else None
        override_ms = before.override_ms if before is not None else 0
        if override is None and info.overridden_status is not InstanceStatus.UNKNOWN:
            override, override_ms = info.overridden_status, now_ms
        ordered = self._orders.get((info.app, info.instance_id))
        if ordered is not None and ordered is not override:
            override, override_ms = ordered, max(now_ms, override_ms + 1)
        status = effective_status(
            info.status,
            override=override,
            held=held.info.status if held is not None else None,
            is_replication=origin is Origin.PEER,
            is_group_disabled=self.groups.disables(info.asg_name),
        )
        service_up_ms = held.info.lease.service_up_ms if held is not None else 0
        if origin is Origin.PEER:
            service_up_ms = info.lease.service_up_ms or service_up_ms
        if not service_up_ms and status is InstanceStatus.UP:
            service_up_ms = now_ms
        info = msgspec.structs.replace(
            info,
            status=status,
            overridden_status=override or InstanceStatus.UNKNOWN,
            last_dirty_ms=info.last_dirty_ms or now_ms,
            last_updated_ms=self._told_ms(info, held, origin),
            lease=msgspec.structs.replace(
                info.lease,
                registration_ms=now_ms,
                last_renewal_ms=now_ms,
                eviction_ms=0,
                service_up_ms=service_up_ms,
            ),
        )
        lease = Lease(info, now_ms=now_ms, now_s=now_s, override=override, via=via)
        lease.override_ms = override_ms
        self._size += held is None
        self._apps.setdefault(info.app, {})[info.instance_id] = lease
        self.endings.forget(info.app, info.instance_id)
        self._show(lease, info, Action.ADDED, is_copy=origin is Origin.PEER)
        self._tell(Deed.REGISTERED, origin, lease.info)

    def _told_ms(self, info: InstanceInfo, held: Lease | None, origin: Origin) -> int:
        """When the change was made that brings `info`; an instance is not asked for that."""
        if origin is Origin.PEER:
            return min(info.last_updated_ms, MAX_WHOLE >> 1)
        return held.info.last_updated_ms if held is not None else 0

    def adopt(
        self,
        info: InstanceInfo,
        *,
        override_ms: int = 0,
        origin: Origin,
        renewed_ago_s: float = 0.0,
        via: str = "",
        is_recalled: bool = False,
    ) -> None:
        """Hold `info` just as a peer holds it, or as this registry did before it was restarted.

        Nothing is worked out anew, and the lease runs from its last renewal, `renewed_ago_s` ago:
        it may have ended already. override_ms: when its override was set or taken away.
        is_recalled: it comes from a disk, and nobody heard of its holder since. Raises
        RegistryFullError, PayloadTooLargeError, InvalidInstanceError.
        """
        held = self._apps.get(info.app, {}).get(info.instance_id)
        admit(info, app=info.app, settings=self.settings)
        if held is None and self._size >= self.settings.max_instances:
            self._counts["refused"] += 1
            raise RegistryFullError(f"{info.instance_id} of a peer finds no place: all are taken")
        ago_ms = int(renewed_ago_s * 1000)
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        said = info.overridden_status
        override = said if said is not InstanceStatus.UNKNOWN else None
        lease = Lease(
            info, now_ms=now_ms - ago_ms, now_s=now_s - renewed_ago_s, override=override, via=via
        )
        lease.override_ms = override_ms
        if held is not None and held.renewed_s > lease.renewed_s:
            lease.renew(now_ms=held.last_renewal_ms, now_s=held.renewed_s, via=held.via)
            is_recalled = held.is_recalled
        lease.is_recalled = is_recalled
        self._size += held is None
        self._apps.setdefault(info.app, {})[info.instance_id] = lease
        self.endings.forget(info.app, info.instance_id)
        self._show(lease, info, Action.ADDED, is_copy=True)
        self._tell(Deed.REGISTERED, origin, lease.info)

    def heard(self, app: str, instance_id: str, *, renewed_ago_s: float, via: str) -> bool:
        """Let a lease run from a renewal that a peer heard, if that is later than what we heard."""
        lease = self._apps.get(app, {}).get(instance_id)
        renewed_s = self._clock.monotonic_s() - renewed_ago_s
        if lease is None or renewed_s <= lease.renewed_s:
            return False
        now_ms = self._clock.now_ms() - int(renewed_ago_s * 1000)
        lease.renew(now_ms=now_ms, now_s=renewed_s, via=via)
        self._tell(Deed.RENEWED, Origin.PEER, lease.info)
        return True

    def renew(
        self,
        app: str,
        instance_id: str,
        *,
        last_dirty_ms: int | None = None,
        origin: Origin = Origin.CLIENT,
        via: str = "",
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
            lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s(), via=via)
            self._compare_versions(lease, last_dirty_ms, is_replication=origin is Origin.PEER)
        except UnknownInstanceError:
            self._counts["unknown_renewals"] += 1
            raise
        self._counts["renewals"] += 1
        self._tell(Deed.RENEWED, origin, lease.info)
        if lease.override is not None and lease.info.status is not lease.override:
            self._apply_override(lease, origin)

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

    def cancel(self, app: str, instance_id: str, *, origin: Origin = Origin.CLIENT) -> None:
        """End a lease at its holder's wish; raises UnknownInstanceError."""
        gone = self._drop(self._lease(app, instance_id), is_final=True)
        self._counts["cancellations"] += 1
        self._tell(Deed.CANCELLED, origin, gone)

    def lapse(self, app: str, instance_id: str, *, origin: Origin = Origin.PEER) -> None:
        """End a lease of whose holder nobody heard any more; raises UnknownInstanceError."""
        gone = self._drop(self._lease(app, instance_id))
        self._counts["evictions"] += 1
        self._tell(Deed.EVICTED, origin, gone)

    def override_status(
        self,
        app: str,
        instance_id: str,
        status: InstanceStatus,
        *,
        last_dirty_ms: int | None = None,
        at_ms: int | None = None,
        origin: Origin = Origin.CLIENT,
    ) -> None:
        """Let an operator's `status` stand above the instance's own, and renew its lease."""
        lease = self._lease(app, instance_id)
        lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s(), via=lease.via)
        if lease.override is status and lease.info.status is status:
            return
        lease.override = status
        lease.override_ms = at_ms or max(self._clock.now_ms(), lease.override_ms + 1)
        info = self._with_status(lease.info, status)
        info = msgspec.structs.replace(
            info,
            overridden_status=status,
            last_dirty_ms=max(info.last_dirty_ms, last_dirty_ms or 0),
        )
        self._show(lease, info, Action.MODIFIED)
        self._tell(Deed.OVERRIDDEN, origin, lease.info)

    def remove_override(
        self,
        app: str,
        instance_id: str,
        status: InstanceStatus = InstanceStatus.UNKNOWN,
        *,
        last_dirty_ms: int | None = None,
        at_ms: int | None = None,
        origin: Origin = Origin.CLIENT,
    ) -> None:
        """Take an operator's status away; `status` shows until the instance speaks again.

        With UNKNOWN the next renew is refused, which makes the instance register itself anew.
        """
        lease = self._lease(app, instance_id)
        lease.renew(now_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s(), via=lease.via)
        if lease.override is None:
            return
        lease.override = None
        lease.override_ms = at_ms or max(self._clock.now_ms(), lease.override_ms + 1)
        info = msgspec.structs.replace(
            self._with_status(lease.info, status),
            overridden_status=InstanceStatus.UNKNOWN,
            last_dirty_ms=max(lease.info.last_dirty_ms, last_dirty_ms or 0),
        )
        self._show(lease, info, Action.MODIFIED)
        self._tell(Deed.OVERRIDE_REMOVED, origin, lease.info)

    def store_override(
        self, app: str, instance_id: str, status: InstanceStatus, *, origin: Origin
    ) -> None:
        """Keep an override that somebody else set; it shows when the instance speaks again."""
        lease = self._lease(app, instance_id)
        if lease.override is status:
            return
        lease.override = status
        lease.override_ms = max(self._clock.now_ms(), lease.override_ms + 1)
        info = msgspec.structs.replace(lease.info, overridden_status=status)
        self._show(lease, info, Action.MODIFIED)
        self._tell(Deed.OVERRIDDEN, origin, lease.info)

    def switch_group(
        self,
        name: str,
        *,
        is_enabled: bool,
        origin: Origin = Origin.CLIENT,
    ) -> list[InstanceInfo]:
        """Take every instance of the group `name` out of service, or let them serve again.

        Those that register later follow. An operator's override of one stands above this, and so
        does DOWN or STARTING from itself. Returns whose status changed; O(instances). Raises
        RegistryFullError when too many are disabled, InvalidInstanceError for too long a name.
        """
        now_ms = self._clock.now_ms()
        self.groups.switch(name, is_enabled=is_enabled, now_ms=now_ms)
        return self._follow({name}, origin)

    def take_switches(self, switches: list[Switch]) -> int:
        """Switch groups as a peer does, where its word is later; returns how many were refused.

        O(groups + instances).
        """
        taken, refused, now_ms = set(), 0, self._clock.now_ms()
        for name, is_enabled, at_ms in map(msgspec.structs.astuple, switches):
            try:
                is_news = self.groups.switch(
                    name, is_enabled=is_enabled, now_ms=now_ms, at_ms=at_ms
                )
            except BreakwaterError:
                refused += 1
            else:
                taken |= {name} if is_news else set()
        self._follow(taken, Origin.PEER)
        return refused

    def _follow(self, names: set[str], origin: Origin) -> list[InstanceInfo]:
        """Let the members of groups show what is said of these; returns whose status changed."""
        changed = []
        for lease in tuple(self.leases()) if names else ():
            name = lease.info.asg_name
            if name not in names or lease.override is not None:
                continue
            ends = (InstanceStatus.UP, InstanceStatus.OUT_OF_SERVICE)
            former, status = ends if self.groups.disables(name) else reversed(ends)
            if lease.info.status is former:
                self._show(lease, self._with_status(lease.info, status), Action.MODIFIED)
                self._tell(Deed.DESCRIBED, origin, lease.info)
                changed.append(lease.info)
        return changed

    def update_metadata(
        self,
        app: str,
        instance_id: str,
        entries: dict[str, str],
        *,
        origin: Origin = Origin.CLIENT,
    ) -> None:
        """Add `entries` to the metadata of an instance, or replace them there."""
        lease = self._lease(app, instance_id)
        info = msgspec.structs.replace(lease.info, metadata={**lease.info.metadata, **entries})
        bound_metadata(info, settings=self.settings)
        self._show(lease, info, Action.MODIFIED)
        self._tell(Deed.DESCRIBED, origin, lease.info)

    def evict(self, spared: Callable[[Lease], bool] = _nobody) -> list[InstanceInfo]:
        """Drop every lease that has lapsed, but those that are `spared`; return what was dropped.

        O(instances).
        """
        now_s = self._clock.monotonic_s()
        self._recent.prune(now_s=now_s)
        self.endings.prune(now_s=now_s)
        lapsed = [lease for lease in self.leases() if lease.deadline_s <= now_s]
        gone = [self._drop(lease) for lease in lapsed if not spared(lease)]
        self._counts["evictions"] += len(gone)
        for info in gone:
            self._tell(Deed.EVICTED, Origin.REGISTRY, info)
        return gone

    def prolong(self, lost_s: float) -> None:
        """Give every lease the `lost_s` seconds during which no renewal could be heard."""
        self._lost_time_s += lost_s
        for lease in self.leases():
            lease.deadline_s += lost_s

    def stats(self) -> RegistryStats:
        """Numbers for the platform's own metrics."""
        counts = self._counts
        return RegistryStats(
            revision=self._revision,
            applications=len(self._apps),
            instances=self._size,
            instances_by_status=self.tally.counts(),
            recent_changes=len(self._recent),
            registrations=counts["registrations"],
            renewals=counts["renewals"],
            unknown_renewals=counts["unknown_renewals"],
            cancellations=counts["cancellations"],
            evictions=counts["evictions"],
            refused=counts["refused"],
            lost_time_s=self._lost_time_s,
            classic=self.classic_stats(),
        )

    def classic_stats(self) -> ClassicStats:
        """What a Eureka server would think of the present state."""
        return self._classic.stats(instances=self._size, now_s=self._clock.monotonic_s())

    def _apply_override(self, lease: Lease, origin: Origin) -> None:
        """Show an override that was only kept so far, unless the instance says it is not ready."""
        info = lease.info
        status = effective_status(info.status, override=lease.override, held=info.status)
        if status is not info.status:
            self._show(lease, self._with_status(info, status), Action.MODIFIED)
            self._tell(Deed.OVERRIDDEN, origin, lease.info)

    def _with_status(self, info: InstanceInfo, status: InstanceStatus) -> InstanceInfo:
        terms = info.lease
        if status is InstanceStatus.UP and not terms.service_up_ms:
            terms = msgspec.structs.replace(terms, service_up_ms=self._clock.now_ms())
        return msgspec.structs.replace(info, status=status, lease=terms)

    def _show(
        self, lease: Lease, info: InstanceInfo, action: Action, *, is_copy: bool = False
    ) -> None:
        """Make `info` the visible state of `lease`, under a new revision.

        A change made here is later than the one it follows, whatever the clocks say; a copy keeps
        the time of the change that it is a copy of.
        """
        updated_ms = info.last_updated_ms
        if not is_copy or not updated_ms:
            updated_ms = max(self._clock.now_ms(), lease.info.last_updated_ms + 1)
        lease.info = msgspec.structs.replace(info, action=action, last_updated_ms=updated_ms)
        self._record(lease.info)

    def _drop(self, lease: Lease, *, is_final: bool = False) -> InstanceInfo:
        info = msgspec.structs.replace(
            lease.info, action=Action.DELETED, last_updated_ms=self._clock.now_ms()
        )
        leases = self._apps[info.app]
        del leases[info.instance_id]
        if not leases:
            del self._apps[info.app]
        self._size -= 1
        self.endings.add(
            Ending(
                app=info.app,
                instance_id=info.instance_id,
                last_dirty_ms=info.last_dirty_ms,
                is_final=is_final,
                at_s=self._clock.monotonic_s(),
                override=None if is_final else lease.override,
                override_ms=lease.override_ms,
            )
        )
        self._record(info)
        return info

    def _tell(self, deed: Deed, origin: Origin, info: InstanceInfo) -> None:
        if deed is Deed.RENEWED:
            self._classic.renewed(self._clock.monotonic_s())
        else:
            self._classic.hold(self._size)
        happening = Happening(deed=deed, origin=origin, info=info)
        for listener in self._listeners:
            listener(happening)
