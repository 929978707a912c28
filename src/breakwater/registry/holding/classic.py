"""What a Eureka server would think of this registry: its thresholds and whether it would evict.

These figures decide nothing here (see `judging`); they are shown for people and tools that know
them. Eureka expects every instance to renew twice a minute, takes 85 % of that as its threshold,
and evicts only while the renewals of the last whole minute are more than the threshold. With up to
six instances one crash already brings the renewals down to it, and nobody is ever evicted.
"""

from typing import Final

import msgspec

RENEWAL_SHARE: Final = 0.85
_RENEWALS_PER_MIN: Final = 2
_MINUTE_S: Final = 60.0
_RECKON_EVERY_S: Final = 900.0


def threshold_of(expected_clients: int) -> int:
    """The renewals a minute at or below which Eureka evicts nobody."""
    return int(expected_clients * _RENEWALS_PER_MIN * RENEWAL_SHARE)


def would_evict(renewals_last_min: int, threshold: int) -> bool:
    """Whether Eureka would evict whose leases have run out."""
    return threshold > 0 and renewals_last_min > threshold


def most_evicted(instances: int) -> int:
    """How many Eureka would evict in one run at most, chosen at random."""
    return instances - int(instances * RENEWAL_SHARE)


class ClassicStats(msgspec.Struct, frozen=True, kw_only=True):
    """Eureka's figures.

    is_self_preserving: Eureka would evict nobody now. max_evictions: else at most so many a minute.
    """

    expected_clients: int
    renewal_threshold_per_min: int
    renewals_last_min: int
    is_self_preserving: bool
    max_evictions: int


class ClassicNumbers:
    """Counts as Eureka does: clients expected and renewals heard, on monotonic time.

    A new lease adds a client, an end takes one away, whatever its reason: thus a slow loss lowers
    the guard in step. Every 15 minutes the expectation is set to what is there, unless that is
    85 % of it or less. Eureka opens with one client expected, as Spring Cloud starts it.
    """

    def __init__(self, *, now_s: float, opened_with: int = 1) -> None:
        self._expected = opened_with
        self._held = 0
        self._minute_s = self._reckoned_s = now_s
        self._renewals = self._last_min = 0

    def hold(self, instances: int) -> None:
        """So many leases are held now: others began, or ended, since the last time."""
        for _ in range(self._held, instances):
            self.joined()
        for _ in range(instances, self._held):
            self.left()
        self._held = instances

    def joined(self) -> None:
        """A new lease began."""
        if self._expected > 0:
            self._expected += 1

    def left(self) -> None:
        """A lease ended."""
        if self._expected > 0:
            self._expected -= 1

    def renewed(self, now_s: float) -> None:
        """A renewal was heard at monotonic `now_s`."""
        self._roll(now_s)
        self._renewals += 1

    def reckon(self, *, instances: int, now_s: float) -> None:
        """Take stock, if 15 minutes have passed since the last time."""
        if now_s - self._reckoned_s < _RECKON_EVERY_S:
            return
        self._reckoned_s = now_s
        if instances > RENEWAL_SHARE * self._expected:
            self._expected = instances

    def stats(self, *, instances: int, now_s: float) -> ClassicStats:
        """The figures at monotonic `now_s` with so many instances held."""
        self._roll(now_s)
        self.reckon(instances=instances, now_s=now_s)
        threshold = threshold_of(self._expected)
        return ClassicStats(
            expected_clients=self._expected,
            renewal_threshold_per_min=threshold,
            renewals_last_min=self._last_min,
            is_self_preserving=not would_evict(self._last_min, threshold),
            max_evictions=most_evicted(instances),
        )

    def _roll(self, now_s: float) -> None:
        """Begin a new minute when the present one is over."""
        minutes = int((now_s - self._minute_s) // _MINUTE_S)
        if minutes >= 1:
            self._last_min = self._renewals if minutes == 1 else 0
            self._renewals = 0
            self._minute_s += minutes * _MINUTE_S
