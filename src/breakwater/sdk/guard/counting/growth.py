"""What came to a command's latencies since the last look, taken from its rolling histograms.

Reading is all it costs: the histograms are there anyway, only the last bucket of time still grows,
and what it held at the last look is subtracted. When the windows are configured anew, what came
between the last look and that moment is not told.
"""

from typing import Final

import msgspec

from breakwater.sdk.guard.config import StatisticsConfig
from breakwater.sdk.guard.counting.statistics import LatencyBucket, Statistics
from breakwater.sdk.histogram import Latencies, bounds_s, merged

_NOTHING: Final = Latencies()


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies that came.

    whole: of calls that were one attempt and succeeded on a fast road. execution: of all other
    attempts. total: of all other calls.
    """

    whole: Latencies
    execution: Latencies
    total: Latencies


class Growth:
    """Looks at one command's statistics; for one reader."""

    __slots__ = ("_config", "_seen", "_statistics")

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._config: StatisticsConfig | None = None
        self._seen: LatencyBucket | None = None

    def take(self, now_s: float) -> Grown:
        """What came since the last time."""
        if self._statistics.config != self._config:
            self._config, self._seen = self._statistics.config, None
        seen = self._seen
        found = self._statistics.since_tick(-1 if seen is None else seen.tick, now_s)
        if not found:
            return Grown(whole=_NOTHING, execution=_NOTHING, total=_NOTHING)
        self._seen = found[-1]
        if seen is not None and found[0].tick == seen.tick:
            found[0] = LatencyBucket(
                tick=seen.tick,
                whole=less(found[0].whole, seen.whole),
                execution=less(found[0].execution, seen.execution),
                total=less(found[0].total, seen.total),
            )
        return Grown(
            whole=merged(one.whole for one in found),
            execution=merged(one.execution for one in found),
            total=merged(one.total for one in found),
        )


def less(after: Latencies, before: Latencies) -> Latencies:
    """What came between two looks at one histogram; its extremes are known to a bucket's width."""
    if not before.count:
        return after
    if after.count == before.count:
        return _NOTHING
    kept = before.buckets
    buckets = {key: n - kept.get(key, 0) for key, n in after.buckets.items()}
    buckets = {key: n for key, n in buckets.items() if n > 0}
    return Latencies(
        count=after.count - before.count,
        sum_s=max(0.0, after.sum_s - before.sum_s),
        min_s=max(after.min_s, bounds_s(min(buckets))[0]),
        max_s=min(after.max_s, bounds_s(max(buckets))[1]),
        buckets=buckets,
    )
