"""From a service name to one instance of it for each call, and back: how the call ended.

Of two instances drawn at random the less loaded one is taken, in the own zone as long as that is
well enough; those that refuse connections or fail too often are passed over and tried again by one
call at a time. The numbers of that, and the rules in full: `BalancerConfig`.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import CalleeReport, Clock, Instance
from breakwater.sdk.discovery.accounts import InstanceLoad, explain, loads_of
from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.bench import StandingChanged
from breakwater.sdk.discovery.callee import Callee
from breakwater.sdk.discovery.changes import Hook
from breakwater.sdk.discovery.evidence import Evidence
from breakwater.sdk.discovery.node import EJECTED, REFUSED
from breakwater.sdk.discovery.picks import Pick
from breakwater.sdk.discovery.view import RegistryView

if TYPE_CHECKING:
    from random import Random

MOST_CHANGES: Final = 256


class ServiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """Choices for one service since start, and how many of its instances are passed over now.

    out_of_zone: picks of another zone, among them `spilled`: those that left a busy zone. nobody:
    picks that found none. causes: how often an instance was put aside, by cause. returned: how
    often one came back.
    """

    service: str
    instances: int
    in_use: int
    ejected: int
    refused: int
    in_flight: int
    picks: int
    out_of_zone: int
    spilled: int
    nobody: int
    trials: int
    returned: int
    causes: dict[str, int]


class ResolverStats(msgspec.Struct, frozen=True, kw_only=True):
    """Choices of all services since start, and one by one."""

    picks: int
    out_of_zone: int
    nobody: int
    trials: int
    passed_over_now: int
    services: list[ServiceStats]


def is_service_name(scheme: str | None, host: str | None, port: int | None) -> bool:
    """Whether a URL of these parts is about a service: plain http, a host without dots, no port."""
    return scheme == "http" and port is None and bool(host) and not {".", ":"} & set(host or "")


class Resolver:
    """Picks instances from the registry view, or from a list fixed for a service by `pin`.

    caller: this process, by which subsets differ. balancing: for services that `configure` says
    nothing of.
    """

    def __init__(
        self,
        view: RegistryView,
        zone: str,
        *,
        clock: Clock,
        random: "Random",
        caller: str = "",
        balancing: BalancerConfig | None = None,
    ) -> None:
        self._view = view
        self._zone = zone
        self._clock = clock
        self._random = random
        self._caller = caller
        self._balancing = balancing or BalancerConfig()
        self._configs: dict[str, BalancerConfig] = {}
        self._fixed: dict[str, tuple[Instance, ...]] = {}
        self._callees: dict[str, Callee] = {}
        self._spelled: dict[str, Callee] = {}
        self._changes: deque[StandingChanged] = deque(maxlen=MOST_CHANGES)
        self._unknown = 0

    def pin(self, service: str, instances: Sequence[Instance]) -> None:
        """Use `instances` for `service` instead of what the registry says."""
        self._fixed[service.lower()] = tuple(instances)

    def configure(self, service: str, balancing: BalancerConfig) -> None:
        """Choose instances of `service` by these rules from now on, for all who call it here."""
        name = service.lower()
        self._configs[name] = balancing
        known = self._callees.get(name)
        if known is not None:
            known.configure(balancing)

    def config_of(self, service: str) -> BalancerConfig:
        """The rules by which instances of `service` are chosen."""
        return self._configs.get(service.lower(), self._balancing)

    def on_change(self, hook: Hook, service: str = "") -> Callable[[], None]:
        """Have `hook` called when instances come, leave or change, of one `service` if named.

        Called with an `InstancesChanged` by the thread that follows the registry: it must not take
        long, and what it raises is counted and goes nowhere. Pinned instances never change.
        Returns what ends it.
        """
        return self._view.hooks.add(hook, service)

    def instances(self, service: str) -> list[Instance]:
        """Instances of `service` that are UP, those of the own zone first."""
        known = self._known(service.lower())
        return sorted(known, key=lambda one: one.zone != self._zone)

    def find(self, service: str, instance_id: str) -> Instance | None:
        """The instance of `service` with this id, if it is known."""
        for one in self._known(service.lower()):
            if one.instance_id == instance_id:
                return one
        return None

    def pick(
        self,
        service: str,
        exclude: Collection[str] = (),
        sticky: str | None = None,
        *,
        may_try: bool = True,
    ) -> Pick | None:
        """Where the next call goes; the pick must be settled when that call has ended.

        exclude: ids of instances just tried, used only if no other is. sticky: calls with the same
        key go to the same instance as long as it can take them. may_try: False for a call that is
        not repeated if it fails: it is a trial only where no other came for 5 s. None if nobody is
        known, or if all refuse connections and no trial is due: `is_refusing`. 2 to 3 us with
        `Pick.settle`, however many instances there are.
        """
        callee = self._spelled.get(service) or self._callee(service)
        return None if callee is None else callee.pick(exclude, sticky, may_try)

    def pick_one(self, service: str, instance_id: str) -> Pick | None:
        """This very instance, whatever is held against it; None if it is not known."""
        callee = self._spelled.get(service) or self._callee(service)
        return None if callee is None else callee.pick_one(instance_id)

    def note(self, service: str, instance_id: str, evidence: Evidence) -> None:
        """Take in how a call ended that was not picked here."""
        callee = self._spelled.get(service) or self._callee(service)
        if callee is not None:
            callee.note(instance_id, evidence)

    def is_refusing(self, service: str) -> bool:
        """Whether every instance of `service` refused connections several times in a row."""
        callee = self._spelled.get(service)
        return callee is not None and bool(callee.table.refusing)

    def trial_in_s(self, service: str) -> float:
        """When a service of which all instances refuse is tried again."""
        callee = self._spelled.get(service)
        return 0.0 if callee is None else max(0.0, callee.next_trial_s - self._clock.monotonic_s())

    def _callee(self, service: str) -> Callee | None:
        """What is kept of a service; made when an instance of it is first known."""
        name = service.lower()
        if not self._known(name):
            self._unknown += 1
            return None
        made = self._callees.get(name) or self._callees.setdefault(
            name,
            Callee(
                name,
                look=self._look_for(name),
                zone=self._zone,
                caller=self._caller,
                config=self.config_of(name),
                clock=self._clock,
                random=self._random,
                tell=self._changes.append,
            ),
        )
        self._spelled[service] = made
        return made

    def _look_for(self, name: str) -> Callable[[], tuple[Instance, ...]]:
        """As `_known`, for a service that is looked for with every call."""
        fixed_for, seen_by = self._fixed.get, self._view.instances

        def look() -> tuple[Instance, ...]:
            fixed = fixed_for(name)
            return seen_by(name) if fixed is None else fixed

        return look

    def _known(self, name: str) -> tuple[Instance, ...]:
        fixed = self._fixed.get(name)
        return self._view.instances(name) if fixed is None else fixed

    def loads(self, service: str) -> list[InstanceLoad]:
        """How the instances of `service` stand with this process, those of the own zone first."""
        callee = self._callees.get(service.lower()) or self._callee(service)
        if callee is None:
            return []
        now_s = self._clock.monotonic_s()
        callee.current(now_s)
        return loads_of(callee, now_s)

    def explain(self, service: str) -> str:
        """Which instances of `service` are chosen and why, and which are not until when."""
        callee = self._callees.get(service.lower()) or self._callee(service)
        if callee is None:
            return f"{service}: nobody is known"
        return explain(callee, self._zone, self._clock.monotonic_s())

    def changes(self) -> list[StandingChanged]:
        """The last instances put aside or taken back, the latest last; at most 256."""
        return list(self._changes)

    def take_report(self) -> list[CalleeReport]:
        """What was seen of each instance since the last time: for the registry, every so often.

        Those without calls are left out unless they are passed over. `breaker` is left empty.
        """
        found: list[CalleeReport] = []
        for callee in tuple(self._callees.values()):
            found += callee.take_report()
        return found

    def stats(self) -> ResolverStats:
        """Counts since start."""
        services = [_stats(callee) for callee in tuple(self._callees.values())]
        return ResolverStats(
            picks=sum(one.picks for one in services),
            out_of_zone=sum(one.out_of_zone for one in services),
            nobody=sum(one.nobody for one in services) + self._unknown,
            trials=sum(one.trials for one in services),
            passed_over_now=sum(one.ejected + one.refused for one in services),
            services=services,
        )


def _stats(callee: Callee) -> ServiceStats:
    nodes = tuple(callee.nodes.values())
    ejected = sum(node.out == EJECTED for node in nodes)
    refused = sum(node.out == REFUSED for node in nodes)
    return ServiceStats(
        service=callee.service,
        instances=len(nodes),
        in_use=sum(node.is_member for node in nodes) - ejected - refused,
        ejected=ejected,
        refused=refused,
        in_flight=callee.in_flight,
        picks=callee.picks,
        out_of_zone=callee.out_of_zone,
        spilled=callee.spilled,
        nobody=callee.nobody,
        trials=callee.trials,
        returned=callee.bench.returns,
        causes=dict(callee.bench.causes),
    )
