"""Which CDN appliance a viewer should use: health first, then load, nearness and cost.

`rank` is pure. What it knows about an appliance is kept by `Fleetwatch`: the appliance's own answer
to a poll every second, the polls it missed, and what players reported as failed.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from breakwater.model import Clock, Instance
from breakwater.reference.placement import weight

TTL_S: Final = 10
REPORT_MEMORY_S: Final = 10.0
MISSED_POLLS: Final = 2
_FAR: Final = 1.0
_OVERLOAD: Final = 4.0
_UNHEALTHY: Final = 100.0


class Appliance(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one appliance. load: share of capacity in use; cost: per byte, relative."""

    id: str
    zone: str
    url: str
    load: float = 0.0
    cost: float = 0.1
    missed_polls: int = 0
    reported_failures: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Answers its polls, and players do not complain."""
        return self.missed_polls < MISSED_POLLS and self.reported_failures < 3.0


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a steering answer: an appliance, and the penalty that put it here."""

    instance: str
    zone: str
    url: str
    penalty: float


class SteeringAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """A steering manifest as HLS clients read it (VERSION, TTL, RELOAD-URI, PATHWAY-PRIORITY).

    `APPLIANCES` is ours: the pathways in detail, best first, for players that choose one machine.
    """

    version: int = 1
    ttl: int = TTL_S
    reload_uri: str = msgspec.field(name="RELOAD-URI", default="/v1/steering")
    pathway_priority: tuple[str, ...] = msgspec.field(name="PATHWAY-PRIORITY", default=())
    appliances: tuple[Ranked, ...] = ()


def rank(appliances: Iterable[Appliance], *, zone: str, viewer: str) -> list[Ranked]:
    """Best appliance first; unhealthy ones stay in the list, last, as a viewer's last resort.

    Penalties closer than a quarter are equal: there the viewer's own hash decides, which spreads
    viewers over equal appliances without a counter.
    """
    scored = [(penalty(appliance, zone), appliance) for appliance in appliances]
    scored.sort(key=lambda pair: (int(pair[0] * 4), -weight(viewer, pair[1].id), pair[1].id))
    return [Ranked(instance=a.id, zone=a.zone, url=a.url, penalty=round(p, 3)) for p, a in scored]


def penalty(appliance: Appliance, zone: str) -> float:
    """How unwelcome an appliance is: unhealthy 100, far away 1, overload 4 per doubling, cost."""
    overload = max(0.0, appliance.load - 0.8) * _OVERLOAD
    far = 0.0 if not zone or appliance.zone == zone else _FAR
    sick = 0.0 if appliance.is_healthy else _UNHEALTHY
    return sick + overload + far + appliance.cost


def answer(ranked: Iterable[Ranked]) -> SteeringAnswer:
    """The steering manifest for a ranking: zones are pathways, in order of their best machine."""
    lines = tuple(ranked)
    zones = tuple(dict.fromkeys(line.zone for line in lines))
    return SteeringAnswer(pathway_priority=zones, appliances=lines)


def static_order(instances: Iterable[Instance], *, zone: str, viewer: str) -> SteeringAnswer:
    """The order used while steering cannot be asked: nearness alone, load and health unknown."""
    return answer(rank(map(appliance_of, instances), zone=zone, viewer=viewer))


def appliance_of(instance: Instance) -> Appliance:
    """A registered CDN instance about which nothing else is known yet."""
    url = f"http://{instance.host}:{instance.port}"
    return Appliance(id=instance.instance_id, zone=instance.zone, url=url)


class Fleetwatch:
    """The newest knowledge of every appliance; forgets those that left the registry."""

    def __init__(self, clock: Clock, costs: Mapping[str, float]) -> None:
        self._clock = clock
        self._costs = costs
        self._appliances: dict[str, Appliance] = {}
        self._reports: dict[str, tuple[float, float]] = {}

    def see(self, instances: Iterable[Instance]) -> list[str]:
        """Take over the registry's list; returns the ids to poll."""
        known = self._appliances
        self._appliances = {}
        for instance in instances:
            fresh = appliance_of(instance)
            old = known.get(fresh.id, fresh)
            self._appliances[fresh.id] = msgspec.structs.replace(
                old, zone=fresh.zone, url=fresh.url, cost=self._costs.get(fresh.zone, fresh.cost)
            )
        self._reports = {k: v for k, v in self._reports.items() if k in self._appliances}
        return list(self._appliances)

    def note_load(self, appliance_id: str, load: float) -> None:
        """The appliance answered its poll."""
        self._change(appliance_id, load=load, missed_polls=0)

    def note_missed(self, appliance_id: str) -> None:
        """The appliance did not answer its poll."""
        appliance = self._appliances.get(appliance_id)
        if appliance is not None:
            self._change(appliance_id, missed_polls=appliance.missed_polls + 1)

    def note_reported(self, appliance_id: str) -> None:
        """A player could not fetch from the appliance; forgotten within REPORT_MEMORY_S."""
        if appliance_id in self._appliances:
            failures = self._failures(appliance_id) + 1.0
            self._reports[appliance_id] = (failures, self._clock.monotonic_s())

    def appliances(self) -> list[Appliance]:
        """Every known appliance with its decayed failure reports."""
        return [
            msgspec.structs.replace(a, reported_failures=self._failures(a.id))
            for a in self._appliances.values()
        ]

    def _failures(self, appliance_id: str) -> float:
        failures, at_s = self._reports.get(appliance_id, (0.0, 0.0))
        age_s = self._clock.monotonic_s() - at_s
        return failures * max(0.0, 1.0 - age_s / REPORT_MEMORY_S)

    def _change(self, appliance_id: str, **changes: float) -> None:
        appliance = self._appliances.get(appliance_id)
        if appliance is not None:
            self._appliances[appliance_id] = msgspec.structs.replace(appliance, **changes)
