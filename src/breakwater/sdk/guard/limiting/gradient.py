"""Gradient2: shrinks the limit when latency rises above its own long-term average.

The rules and defaults of `Gradient2Limit` in Netflix's concurrency-limits, its known faults
included, because people compare with it: drops are ignored, a queue is added even while the
limit shrinks, and what lasts long enough becomes the new normal. `guarded` mends these.
"""

from typing import Final

WARM_UP: Final = 10
"""Samples whose plain mean starts the long-term average."""


class Gradient2:
    """A limit that follows the ratio of long-term to present latency; O(1) for each sample.

    smoothing: share of a new estimate that is taken over. tolerance: how much longer than the
    average a call may take before the limit shrinks. long_window: samples of the average.
    queue: what is added each time, so that the limit can grow.
    """

    __slots__ = (
        "_count",
        "_estimate",
        "_factor",
        "_long_s",
        "_maximum",
        "_minimum",
        "_queue",
        "_smoothing",
        "_sum_s",
        "_tolerance",
    )

    def __init__(
        self,
        *,
        initial: int = 20,
        minimum: int = 20,
        maximum: int = 200,
        smoothing: float = 0.2,
        tolerance: float = 1.5,
        long_window: int = 600,
        queue: int = 4,
    ) -> None:
        self._estimate = float(initial)
        self._minimum = minimum
        self._maximum = maximum
        self._smoothing = smoothing
        self._tolerance = tolerance
        self._factor = 2.0 / (long_window + 1)
        self._queue = queue
        self._long_s = 0.0
        self._sum_s = 0.0
        self._count = 0

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._estimate)

    @property
    def long_s(self) -> float:
        """The long-term average latency."""
        return self._long_s

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: ARG002, FBT001 - see Limit
        """Learn from one finished call; returns the limit from now on."""
        long_s = self._averaged(rtt_s)
        if long_s / rtt_s > 2:  # latency is back to normal after a long time of overload
            self._long_s *= 0.95
        if inflight < self._estimate / 2:  # the limit is not what holds the calls back
            return int(self._estimate)
        gradient = max(0.5, min(1.0, self._tolerance * long_s / rtt_s))
        wanted = self._estimate * gradient + self._queue
        smoothed = self._estimate * (1 - self._smoothing) + wanted * self._smoothing
        self._estimate = max(float(self._minimum), min(float(self._maximum), smoothed))
        return int(self._estimate)

    def _averaged(self, rtt_s: float) -> float:
        if self._count < WARM_UP:
            self._count += 1
            self._sum_s += rtt_s
            self._long_s = self._sum_s / self._count
        else:
            self._long_s = self._long_s * (1 - self._factor) + rtt_s * self._factor
        return self._long_s
