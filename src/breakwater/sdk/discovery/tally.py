"""The balancer as meters, written once a second from figures that are kept anyway.

Names and tags: docs/formats/discovery-meters.md.
"""

from collections.abc import Mapping
from typing import Final

from breakwater.sdk.discovery.resolver import Resolver, ServiceStats
from breakwater.sdk.meters import Meters

GAUGE_TTL_S: Final = 15
AGAIN_S: Final = 5.0
"""A gauge that stays the same is written again so often, so that it does not end."""


class DiscoveryMeters:
    """Writes what one resolver has counted; `report` is a chore of each second."""

    def __init__(self, resolver: Resolver, meters: Meters) -> None:
        self._resolver = resolver
        self._meters = meters
        self._totals: dict[tuple[str, ...], int] = {}
        self._levels: dict[tuple[str, ...], tuple[int, float]] = {}

    def report(self, now_s: float) -> None:
        """Write what came since the last time; a service that was never called writes nothing."""
        for one in self._resolver.stats().services:
            if one.picks or one.nobody:
                self._write(one, now_s)

    def _write(self, one: ServiceStats, now_s: float) -> None:
        peer = {"peer": one.service}
        routes = {
            "own_zone": one.picks - one.out_of_zone,
            "other_zone": one.out_of_zone - one.spilled,
            "spilled": one.spilled,
            "nobody": one.nobody,
        }
        for route, total in routes.items():
            self._count("discovery.picks", {**peer, "route": route}, total)
        for cause, total in one.causes.items():
            self._count("discovery.ejections", {**peer, "cause": cause}, total)
        self._count("discovery.returns", peer, one.returned)
        self._count("discovery.trials", peer, one.trials)
        levels = {"in_use": one.in_use, "ejected": one.ejected, "refused": one.refused}
        levels["outside"] = one.instances - sum(levels.values())
        for state, level in levels.items():
            self._set({**peer, "state": state}, level, now_s)

    def _count(self, name: str, tags: Mapping[str, str], total: int) -> None:
        key = (name, *tags.values())
        news = total - self._totals.get(key, 0)
        if news > 0:
            self._totals[key] = total
            self._meters.counter(name, tags).increment(news)

    def _set(self, tags: Mapping[str, str], level: int, now_s: float) -> None:
        key = tuple(tags.values())
        told = self._levels.get(key)
        if told is None and not level:
            return
        if told is None or told[0] != level or now_s - told[1] >= AGAIN_S:
            self._levels[key] = (level, now_s)
            self._meters.gauge("discovery.instances", tags, ttl_s=GAUGE_TTL_S).set(level)
