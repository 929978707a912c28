"""Every lease that is held now, and how each is found."""

from collections.abc import Iterator

import msgspec

from breakwater.model import Clock
from breakwater.registry.errors import UnknownInstanceError
from breakwater.registry.holding.addresses import Addresses
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.recent_changes import RecentChanges
from breakwater.registry.holding.tally import StatusTally
from breakwater.registry.instance_info import InstanceInfo, InstanceStatus
from breakwater.registry.settings import RegistrySettings


class HeldLeases:
    """What is there to be read of a registry; `Registry` adds what can be done to it.

    The revision starts at the wall clock in milliseconds, so that a caller who remembers the
    revision of an earlier process never takes it for one of this process.
    """

    def __init__(self, settings: RegistrySettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = self._clock = clock
        self._apps: dict[str, dict[str, Lease]] = {}
        self._size = 0
        self._revision = clock.now_ms()
        self._recent = RecentChanges(
            retention_s=settings.delta_retention_s, capacity=2 * settings.max_instances
        )
        self._addresses = Addresses(is_secure=False)
        self._secure_addresses = Addresses(is_secure=True)
        self.tally = StatusTally()

    def __len__(self) -> int:
        """How many instances are registered."""
        return self._size

    @property
    def revision(self) -> int:
        """The number of the present state; a larger one is a later state."""
        return self._revision

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
        found = list(self._addresses_of(is_secure=is_secure).members(address))
        if not found:
            kind = "secure virtual address" if is_secure else "virtual address"
            raise UnknownInstanceError(f"no instance is behind the {kind} {address}")
        return found

    def address_state(self, address: str, *, is_secure: bool = False) -> int:
        """A number that is another whenever the instances behind a virtual address are."""
        return self._addresses_of(is_secure=is_secure).change(address)

    def infos(self) -> Iterator[InstanceInfo]:
        """Every instance, application by application; renewals as of its last change."""
        for leases in self._apps.values():
            for lease in leases.values():
                yield lease.info

    def recent(self) -> list[InstanceInfo]:
        """The last state of every instance that changed within the retention."""
        return self.recent_changes.infos()

    @property
    def recent_changes(self) -> RecentChanges:
        """What changed within the retention; to be read only."""
        self._recent.prune(now_s=self._clock.monotonic_s())
        return self._recent

    def leases(self) -> Iterator[Lease]:
        """Every lease, application by application; not to be changed by who reads them."""
        for leases in self._apps.values():
            yield from leases.values()

    def lease(self, app: str, instance_id: str) -> Lease:
        """One lease, to be read only; raises UnknownInstanceError."""
        return self._lease(app, instance_id)

    def lease_of(self, app: str, instance_id: str) -> Lease | None:
        """One lease, to be read only, if there is one; `app` in upper case."""
        return self._apps.get(app, {}).get(instance_id)

    def has_application(self, app: str) -> bool:
        """Whether any instance of `app`, in upper case, is registered."""
        return app in self._apps

    def overrides(self) -> dict[str, InstanceStatus]:
        """Every operator's override of a present instance, by id; O(instances)."""
        return {
            lease.info.instance_id: lease.override
            for lease in self.leases()
            if lease.override is not None
        }

    def _lease(self, app: str, instance_id: str) -> Lease:
        lease = self._apps.get(app.upper(), {}).get(instance_id)
        if lease is None:
            raise UnknownInstanceError(f"no instance {instance_id} of {app.upper()} is registered")
        return lease

    def _addresses_of(self, *, is_secure: bool) -> Addresses:
        return self._secure_addresses if is_secure else self._addresses

    def _current(self, lease: Lease) -> InstanceInfo:
        renewed = msgspec.structs.replace(lease.info.lease, last_renewal_ms=lease.last_renewal_ms)
        return msgspec.structs.replace(lease.info, lease=renewed)

    def _record(self, info: InstanceInfo) -> None:
        self._recent.add(info, now_s=self._clock.monotonic_s())
        self._addresses.note(info)
        self._secure_addresses.note(info)
        self.tally.note(info)
        self._revision += 1
