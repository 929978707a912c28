"""How often the registry may be fetched by clients that nobody vouches for.

As in the Eureka server: renewals and registrations are never limited; fetches of any list share
one rate, those of everything a smaller one besides. Clients tell who they are by the header
`DiscoveryIdentity-Name`; those of Eureka itself, and the ones named in the settings, pass. It is
off by default, and then only counts what it would have refused.
"""

from enum import Enum
from typing import Final

import msgspec

from breakwater.model import Clock
from breakwater.registry.settings import RegistrySettings

STANDARD_CLIENTS: Final = frozenset(("DefaultClient", "DefaultServer"))
"""How Eureka's own client and server name themselves."""


class Target(Enum):
    """What is fetched."""

    WHOLE = "whole"
    DELTA = "delta"
    APPLICATION = "application"


class FetchStats(msgspec.Struct, frozen=True, kw_only=True):
    """Fetches since the start: all, those refused, and those that would be if limits were on."""

    fetches: int
    full_fetches: int
    limited: int
    limited_full: int
    candidates: int
    candidates_full: int


class TokenBucket:
    """At most `rate_per_s` on average, and `burst` at once after a pause; 0 limits nothing."""

    def __init__(self, *, rate_per_s: float, burst: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_s = now_s

    def takes(self, now_s: float) -> bool:
        """Whether one more is within the rate at monotonic `now_s`; if so, it is counted."""
        if self._burst <= 0 or self._rate_per_s <= 0:
            return True
        grown = self._tokens + max(now_s - self._filled_s, 0.0) * self._rate_per_s
        self._tokens = min(grown, float(self._burst))
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FetchLimits:
    """Decides on every fetch of a list, under one clock."""

    def __init__(self, settings: RegistrySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        now_s, burst = clock.monotonic_s(), settings.fetch_burst
        self._fetches = TokenBucket(rate_per_s=settings.fetches_per_s, burst=burst, now_s=now_s)
        self._full = TokenBucket(rate_per_s=settings.full_fetches_per_s, burst=burst, now_s=now_s)
        self._passing = frozenset(settings.privileged_clients)
        if not settings.limits_standard_clients:
            self._passing |= STANDARD_CLIENTS
        self._seen = dict.fromkeys(Target, 0)
        self._over = dict.fromkeys(Target, 0)

    def admits(self, target: Target, client: str) -> bool:
        """Whether a client that calls itself `client` may fetch `target` now."""
        self._seen[target] += 1
        if client in self._passing:
            return True
        now_s = self._clock.monotonic_s()
        within = self._fetches.takes(now_s)
        if target is Target.WHOLE:
            within = self._full.takes(now_s) and within
        if not within:
            self._over[target] += 1
        return within or not self._settings.limits_fetches

    def stats(self) -> FetchStats:
        """Counts since the start."""
        over, over_full = sum(self._over.values()), self._over[Target.WHOLE]
        is_on = self._settings.limits_fetches
        return FetchStats(
            fetches=sum(self._seen.values()),
            full_fetches=self._seen[Target.WHOLE],
            limited=over if is_on else 0,
            limited_full=over_full if is_on else 0,
            candidates=0 if is_on else over,
            candidates_full=0 if is_on else over_full,
        )
