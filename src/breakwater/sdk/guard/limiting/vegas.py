"""Vegas: keeps the callee's queue, as far as latency shows it, at a few calls.

The rules and defaults of `VegasLimit` in Netflix's concurrency-limits: the queue is
limit * (1 - noload / rtt), where noload is the shortest latency since the last probe. Since the
shortest latency is taken for the usual one, calls of very different length look like a queue;
and what was measured while the callee was slow stays until the next probe.
"""

from math import ceil, log10, sqrt
from random import Random
from typing import Final

PROBE_MULTIPLIER: Final = 30
"""Samples between two probes, times the limit, times a jitter of 0.5 to 1."""


class Vegas:
    """TCP Vegas for calls; O(1) for each sample.

    smoothing: share of a new estimate that is taken over. random: jitter of the probes.
    """

    __slots__ = (
        "_count",
        "_estimate",
        "_jitter",
        "_maximum",
        "_noload_s",
        "_random",
        "_smoothing",
    )

    def __init__(
        self,
        *,
        random: Random,
        initial: int = 20,
        maximum: int = 1000,
        smoothing: float = 1.0,
    ) -> None:
        self._estimate = float(initial)
        self._maximum = maximum
        self._smoothing = smoothing
        self._random = random
        self._noload_s = 0.0
        self._count = 0
        self._jitter = random.uniform(0.5, 1.0)

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._estimate)

    @property
    def noload_s(self) -> float:
        """The latency taken for that of an idle callee; 0 before the first sample."""
        return self._noload_s

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: ARG002, FBT001 - see Limit
        """Learn from one finished call; returns the limit from now on."""
        self._count += 1
        if self._jitter * PROBE_MULTIPLIER * self._estimate <= self._count:
            self._jitter = self._random.uniform(0.5, 1.0)
            self._count = 0
            self._noload_s = rtt_s
        elif self._noload_s == 0 or rtt_s < self._noload_s:
            self._noload_s = rtt_s
        else:
            wanted = self._wanted(rtt_s, inflight, did_drop=did_drop)
            clamped = max(1.0, min(float(self._maximum), wanted))
            self._estimate += self._smoothing * (clamped - self._estimate)
        return int(self._estimate)

    def _wanted(self, rtt_s: float, inflight: int, *, did_drop: bool) -> float:
        estimate = self._estimate
        step = _log10_root(int(estimate))
        queue = ceil(estimate * (1 - self._noload_s / rtt_s))
        if did_drop:
            return estimate - step
        if inflight * 2 < estimate:  # the limit is not what holds the calls back
            return estimate
        if queue <= step:
            return estimate + 6 * step
        if queue < 3 * step:
            return estimate + step
        if queue > 6 * step:
            return estimate - step
        return estimate


def _log10_root(limit: int) -> int:
    if limit >= 1000:
        return int(sqrt(limit))
    return max(1, int(log10(limit))) if limit > 0 else 1
