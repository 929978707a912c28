"""From a service name to one instance of it: same zone first, the others if that one has none.

Within a zone instances take turns, starting anywhere. One that refused a connection is passed
over for a second while there is another; ejecting slow or failing instances is not done here.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import Clock, Instance
from breakwater.sdk.discovery.view import RegistryView

if TYPE_CHECKING:
    from random import Random

AVOID_S: Final = 1.0


class ResolverStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many picks were made, how many left the zone, how many found nobody."""

    picks: int
    out_of_zone: int
    nobody: int
    avoided_now: int


def is_service_name(scheme: str | None, host: str | None, port: int | None) -> bool:
    """Whether a URL of these parts is about a service: plain http, a host without dots, no port."""
    return scheme == "http" and port is None and bool(host) and not {".", ":"} & set(host or "")


class Resolver:
    """Picks instances from the registry view, or from a list fixed for a service by `pin`."""

    def __init__(self, view: RegistryView, zone: str, *, clock: Clock, random: "Random") -> None:
        self._view = view
        self._zone = zone
        self._clock = clock
        self._random = random
        self._fixed: dict[str, tuple[Instance, ...]] = {}
        self._turns: dict[str, int] = {}
        self._avoid_until_s: dict[str, float] = {}
        self._picks = self._out_of_zone = self._nobody = 0

    def pin(self, service: str, instances: Sequence[Instance]) -> None:
        """Use `instances` for `service` instead of what the registry says."""
        self._fixed[service] = tuple(instances)

    def instances(self, service: str) -> list[Instance]:
        """Instances of `service` that are UP, those of the own zone first."""
        known = self._known(service)
        return sorted(known, key=lambda one: one.zone != self._zone)

    def find(self, service: str, instance_id: str) -> Instance | None:
        """The instance of `service` with this id, if it is known."""
        for one in self._known(service):
            if one.instance_id == instance_id:
                return one
        return None

    def pick(self, service: str, exclude: Collection[str] = ()) -> Instance | None:
        """The next instance to call; `exclude` names those just tried, used only if no other is.

        None if nobody is known. O(instances of the service).
        """
        self._picks += 1
        known = self._known(service)
        if not known:
            self._nobody += 1
            return None
        good = [one for one in known if self._is_good(one.instance_id, exclude)]
        near = [one for one in good if one.zone == self._zone]
        pool = near or good or [one for one in known if one.zone == self._zone] or known
        turn = self._turns.get(service)
        if turn is None:
            turn = self._random.randrange(1 << 16)
        self._turns[service] = turn + 1
        chosen = pool[turn % len(pool)]
        self._out_of_zone += chosen.zone != self._zone
        return chosen

    def refused(self, instance_id: str) -> None:
        """Note that this instance refused a connection just now."""
        now_s = self._clock.monotonic_s()
        if len(self._avoid_until_s) > 100:
            self._avoid_until_s = {k: v for k, v in self._avoid_until_s.items() if v > now_s}
        self._avoid_until_s[instance_id] = now_s + AVOID_S

    def _known(self, service: str) -> tuple[Instance, ...]:
        fixed = self._fixed.get(service)
        return self._view.instances(service) if fixed is None else fixed

    def _is_good(self, instance_id: str, exclude: Collection[str]) -> bool:
        if instance_id in exclude:
            return False
        until_s = self._avoid_until_s.get(instance_id)
        return until_s is None or until_s <= self._clock.monotonic_s()

    def stats(self) -> ResolverStats:
        """Counts since start."""
        now_s = self._clock.monotonic_s()
        return ResolverStats(
            picks=self._picks,
            out_of_zone=self._out_of_zone,
            nobody=self._nobody,
            avoided_now=sum(until_s > now_s for until_s in tuple(self._avoid_until_s.values())),
        )
