"""Samples of a second taken together, so that one call does not move a limit.

The rules and defaults of `WindowedLimit` in Netflix's concurrency-limits.
"""

from math import inf
from typing import Final

from breakwater.sdk.guard.limiting.limit import Limit

LEAST_RTT_S: Final = 100e-6
"""Shorter calls are left out: they were answered without any work, by a cache or a refusal."""


class Windowed:
    """Gives another limit one sample for each window: mean latency, most under way, any drop.

    A window ends with the first sample after twice its shortest latency, but within
    min_window_s and max_window_s; one with fewer than minimum_samples is thrown away.
    """

    __slots__ = (
        "_count",
        "_did_drop",
        "_inner",
        "_max_window_s",
        "_min_window_s",
        "_minimum_samples",
        "_most",
        "_next_s",
        "_shortest_s",
        "_sum_s",
    )

    def __init__(
        self,
        inner: Limit,
        *,
        min_window_s: float = 1.0,
        max_window_s: float = 1.0,
        minimum_samples: int = 10,
    ) -> None:
        self._inner = inner
        self._min_window_s = min_window_s
        self._max_window_s = max_window_s
        self._minimum_samples = minimum_samples
        self._next_s = 0.0
        self._start()

    def _start(self) -> None:
        self._count = 0
        self._sum_s = 0.0
        self._shortest_s = inf
        self._most = 0
        self._did_drop = False

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return self._inner.limit

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: FBT001 - see Limit
        """Learn from one finished call; returns the limit from now on."""
        if rtt_s < LEAST_RTT_S:
            return self._inner.limit
        self._count += 1
        self._sum_s += rtt_s
        self._shortest_s = min(self._shortest_s, rtt_s)
        self._most = max(self._most, inflight)
        self._did_drop = self._did_drop or did_drop
        if now_s > self._next_s:
            self._end(now_s)
        return self._inner.limit

    def _end(self, now_s: float) -> None:
        length_s = min(max(2 * self._shortest_s, self._min_window_s), self._max_window_s)
        self._next_s = now_s + length_s
        if self._count >= self._minimum_samples:
            self._inner.update(now_s, self._sum_s / self._count, self._most, self._did_drop)
        self._start()
