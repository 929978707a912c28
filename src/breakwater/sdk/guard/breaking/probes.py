"""One half-open round: a few probes go out, and their results decide.

Three rules keep a round from being decided wrongly or never. A result counts only for the round
that gave its permit. A probe that was cancelled, or says nothing of the callee, gives its permit
to another. A probe has a lease: if it does not report within it, its permit goes to another and
its late result is stale (Hystrix#1853, resilience4j#935 lack one or the other).
"""

from math import inf

from breakwater.sdk.guard.breaking.rule import probe_rule
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.gate import Ticket


class Permit(Ticket):
    """Leave to make one call; given back by `Breaker.settle` or `Breaker.release`.

    While closed, all calls of one epoch share one permit object; each probe has its own.
    """

    __slots__ = ()


def round_terms(config: BreakerConfig) -> tuple[object, ...]:
    """All that a round of probes depends on."""
    return (
        config.half_open_permits,
        probe_rule(config),
        config.decides_early,
        config.probe_lease_s,
        config.max_half_open_s,
    )


class Round:
    """The probes of one half-open period, and what they reported.

    since_s: when it began. `release` needs no lock and may be called from a finaliser or a signal
    handler; everything else is called under the breaker's lock.
    """

    __slots__ = (
        "_early",
        "_out",
        "_permits",
        "_rule",
        "calls",
        "ends_s",
        "failed",
        "lease_s",
        "next_s",
        "since_s",
        "slow",
    )

    def __init__(self, config: BreakerConfig, since_s: float) -> None:
        self._permits = config.half_open_permits
        self._rule = probe_rule(config)
        self._early = config.decides_early
        self._out: dict[Permit, float] = {}
        self.lease_s = config.probe_lease_s
        self.since_s = since_s
        self.ends_s = since_s + config.max_half_open_s if config.max_half_open_s else inf
        self.next_s = self.ends_s
        self.calls = self.failed = self.slow = 0

    @property
    def out(self) -> int:
        """Probes that have not reported and may."""
        return len(self._out)

    @property
    def is_full(self) -> bool:
        """Whether no further probe may go now; `next_s` is when that may change by time alone."""
        return self.calls + len(self._out) >= self._permits

    @property
    def rates(self) -> tuple[float, float]:
        """Percent of failures and of slow calls, -1 before it can be judged."""
        rule = self._rule
        return rule.rate(self.failed, self.calls), rule.rate(self.slow, self.calls)

    def grant(self, now_s: float) -> Permit | None:
        """A permit with its lease, or None if all are out."""
        if self.is_full:
            return None
        permit = Permit()
        self._out[permit] = now_s + self.lease_s
        self.next_s = min(self.next_s, now_s + self.lease_s)
        return permit

    def release(self, permit: Permit) -> None:
        """Take a permit back without a result; one that is not out changes nothing."""
        self._out.pop(permit, None)

    def expire(self, now_s: float) -> int:
        """Take back the permits whose lease is over; how many these were."""
        if now_s < self.next_s:
            return 0
        leases = list(self._out.items())  # one step, since `release` takes no lock
        over = [permit for permit, lease_ends_s in leases if lease_ends_s <= now_s]
        expired = sum(self._out.pop(permit, None) is not None for permit in over)
        self.next_s = min((ends_s for _, ends_s in leases if ends_s > now_s), default=inf)
        self.next_s = min(self.next_s, self.ends_s)
        return expired

    def report(self, permit: Permit, *, failed: bool, slow: bool) -> bool:
        """Count a probe's result; False if this round does not wait for it."""
        if self._out.pop(permit, None) is None:
            return False
        self.calls += 1
        self.failed += failed
        self.slow += slow
        return True

    def verdict(self) -> bool | None:
        """True: the callee is well; False: it is not; None: not known yet."""
        rule = self._rule
        left = max(0, rule.minimum - self.calls)
        if left and not self._early:
            return None
        total = self.calls + left
        if any(rule.exceeded(total, self.failed, self.slow)):
            return False
        return None if any(rule.exceeded(total, self.failed + left, self.slow + left)) else True
