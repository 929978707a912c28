"""A percentile timer told of many durations at once: a line for each bucket, not for each call.

The lines are counters that carry the `statistic` and `percentile` tags of the series a timer
publishes, and a max gauge; whatever reads timers reads these. A busy second costs about twenty
lines, be it a hundred calls or a hundred thousand. One set of tags must be written either so, or
call by call, not both.
"""

from collections.abc import Mapping
from typing import Final

from breakwater.model.percentiles import timer_tag
from breakwater.sdk.histogram import Latencies, bounds_s
from breakwater.sdk.meters import Meters

_MOST_S: Final = 86_400.0
"""Longer durations count as a day, as a timer's do."""


class BulkTimer:
    """See above."""

    __slots__ = ("_buckets", "_count", "_max", "_meters", "_name", "_squares", "_tags", "_total")

    def __init__(self, meters: Meters, name: str, tags: Mapping[str, str]) -> None:
        self._meters = meters
        self._name = name
        self._tags = dict(tags)
        self._count = meters.counter(name, {**tags, "statistic": "count"})
        self._total = meters.counter(name, {**tags, "statistic": "totalTime"})
        self._squares = meters.counter(name, {**tags, "statistic": "totalOfSquares"})
        self._max = meters.max_gauge(name, tags)
        self._buckets: dict[int, str] = {}

    def record_all(self, latencies: Latencies) -> None:
        """Add these durations; squares and buckets are exact to the histogram's 0.4 %."""
        if not latencies.count:
            return
        hits: dict[str, int] = {}
        squares = 0.0
        for bucket, count in latencies.buckets.items():
            middle_s = _middle_s(bucket)
            squares += count * middle_s * middle_s
            tag = self._buckets.get(bucket)
            if tag is None:
                tag = self._buckets[bucket] = timer_tag(middle_s)
            hits[tag] = hits.get(tag, 0) + count
        self._count.increment(latencies.count)
        self._total.increment(_short(latencies.sum_s))
        self._squares.increment(_short(squares))
        self._max.set(_short(latencies.max_s))
        for tag, count in hits.items():
            tags = {**self._tags, "statistic": "percentile", "percentile": tag}
            self._meters.counter(self._name, tags).increment(count)


def _short(seconds: float) -> float:
    """To nine digits, as a timer writes."""
    return float(f"{seconds:.9g}")


def _middle_s(bucket: int) -> float:
    low_s, high_s = bounds_s(bucket)
    return min((low_s + high_s) / 2.0, _MOST_S)
