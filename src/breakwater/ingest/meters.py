"""Meters: what a stream of updates means, one class for each type of the line protocol.

A meter takes the text of the amount (`update`) and, at the end of a step, gives the values of its
series for that step (`collect`) and starts over. Updates run once a line, so they do no more
than add; names, tags and series handles are worked out when a value is first reported.
What each type publishes follows Netflix Spectator: docs/formats/line-protocol.md.
"""

from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.errors import LineError
from breakwater.ingest.lines import MeterKind
from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of

_NS_PER_S: Final = 1e9
_DAY_NS: Final = 86_400 * 10**9
_MOST_AMOUNTS: Final = 1024
_WORTH_AN_ARRAY: Final = 64
_UINT64: Final = 1 << 64
_INFINITY: Final = float("inf")


class Series:
    """One series of a meter: its tags, its handle (-1 while unknown), when to ask again."""

    __slots__ = ("handle", "retry_ms", "tags")

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = tags
        self.handle = -1
        self.retry_ms = 0


class Report:
    """Values of one finished step, as two columns that grow together; `is_last`: no more follow."""

    __slots__ = ("end_ms", "is_last", "per_second", "series", "values")

    def __init__(self, end_ms: int, step_ms: int) -> None:
        self.end_ms = end_ms
        self.per_second = 1000.0 / step_ms
        self.series: list[Series] = []
        self.values: list[float] = []
        self.is_last = False

    def add(self, series: Series, value: float) -> None:
        """Append one value."""
        self.series.append(series)
        self.values.append(value)


class Meter:
    """What all meters share: their tags, and the list they join when a step first touches them."""

    __slots__ = ("_touched", "is_touched", "kind", "last_ms", "prefixes", "tags")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: "list[Meter]") -> None:
        self.kind = kind
        self.tags = tags
        self._touched = touched
        self.is_touched = False
        self.last_ms = 0
        self.prefixes: set[bytes] = set()

    def update(self, text: bytes) -> None:
        """Take one amount; raises LineError or ValueError when it cannot be used."""
        raise NotImplementedError

    def collect(self, report: Report) -> None:
        """Report the step that ends and start over."""
        raise NotImplementedError

    def _touch(self) -> None:
        self.is_touched = True
        self._touched.append(self)

    def _series(self, **extra: str) -> Series:
        return Series({**self.tags, **extra})

    def _gauge_series(self, statistic: str) -> Series:
        return Series({**self.tags, "statistic": statistic, "atlas.dstype": "gauge"})


def _amount(text: bytes) -> float:
    amount = float(text)
    if 0 <= amount < _INFINITY:
        return amount
    raise LineError("negative_amount" if amount < 0 else "bad_amount")


class Counter(Meter):
    """`c`: events to be added up, reported per second."""

    __slots__ = ("_count", "_rate")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._count = 0.0
        has_own = "statistic" in tags  # a sender that did the sums of a timer itself
        self._rate = self._series() if has_own else self._series(statistic="count")

    def update(self, text: bytes) -> None:
        """Add the amount."""
        amount = float(text)
        if not 0 <= amount < _INFINITY:
            amount = _amount(text)
        if not self.is_touched:
            self._touch()
        self._count += amount

    def collect(self, report: Report) -> None:
        """Report events per second."""
        if self._count > 0:
            report.add(self._rate, self._count * report.per_second)
            self._count = 0.0


class Monotonic(Counter):
    """`C` and `U`: a total kept by the sender; the growth since the last update is what counts.

    A smaller total is a restart for C and a roll-over of an unsigned 64-bit number for U.
    """

    __slots__ = ("_is_uint", "_last")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._is_uint = kind is MeterKind.MONOTONIC_UINT
        self._last: float | None = None

    def update(self, text: bytes) -> None:
        """Add the growth since the last total; the first total only sets the start."""
        total = _uint64(text) if self._is_uint else _amount(text)
        if not self.is_touched:
            self._touch()
        last, self._last = self._last, total
        if last is None:
            return
        growth = total - last
        if growth < 0:
            growth = growth + _UINT64 if self._is_uint else 0.0
        self._count += growth


def _uint64(text: bytes) -> int:
    total = int(text) if text.isdigit() else int(_amount(text))
    if total >= _UINT64:
        raise LineError("bad_amount")
    return total


class MonotonicSampled(Counter):
    """`X,ms`: a total sampled at a time the sender names, for sources read less often than a step.

    The rate between two samples is reported for the step in which the later one arrives.
    """

    __slots__ = ("_last", "_last_ms", "_sampled_rate")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._last: float | None = None
        self._last_ms = 0
        self._sampled_rate = 0.0

    def sample(self, at_ms: int, text: bytes) -> None:
        """Take the total at `at_ms`; an older sample than the last one is refused."""
        total = _amount(text)
        if self._last is not None and at_ms <= self._last_ms:
            raise LineError("sample_not_newer")
        if self._last is not None and total > self._last:
            self._sampled_rate = (total - self._last) * 1000.0 / (at_ms - self._last_ms)
        self._last, self._last_ms = total, at_ms
        if not self.is_touched:
            self._touch()

    def collect(self, report: Report) -> None:
        """Report the last rate between two samples."""
        if self._sampled_rate > 0:
            report.add(self._rate, self._sampled_rate)
            self._sampled_rate = 0.0


class Gauge(Meter):
    """`g`: the last value stands until its time to live has passed."""

    __slots__ = ("_level", "_value", "ttl_ms")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._value = float("nan")
        self._level = self._gauge_series("gauge")
        self.ttl_ms = 0

    def update(self, text: bytes) -> None:
        """Set the value."""
        value = float(text)
        if not -_INFINITY < value < _INFINITY:
            raise LineError("bad_amount")
        self._value = value
        if not self.is_touched:
            self._touch()

    def collect(self, report: Report) -> None:
        """Report the value; the aggregator asks each step while the gauge lives."""
        report.add(self._level, self._value)


class AgeGauge(Meter):
    """`A`: seconds since something last happened; 0 means it happened now. It never expires."""

    __slots__ = ("_age", "_event_s")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._event_s = -1.0
        self._age = self._gauge_series("gauge")

    def update(self, text: bytes) -> None:
        """Set the time of the event, in seconds since the epoch; 0 is resolved at `collect`."""
        self._event_s = _amount(text)
        if not self.is_touched:
            self._touch()

    def collect(self, report: Report) -> None:
        """Report the age at the end of the step."""
        if self._event_s == 0:
            self._event_s = report.end_ms / 1000.0
        if self._event_s > 0:
            report.add(self._age, report.end_ms / 1000.0 - self._event_s)


class MaxGauge(Meter):
    """`m`: the largest value of each step; a step without one reports nothing."""

    __slots__ = ("_max", "_peak")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._max = -_INFINITY
        self._peak = self._gauge_series("max")

    def update(self, text: bytes) -> None:
        """Keep the larger one."""
        value = float(text)
        if not -_INFINITY < value < _INFINITY:
            raise LineError("bad_amount")
        self._max = max(self._max, value)
        if not self.is_touched:
            self._touch()

    def collect(self, report: Report) -> None:
        """Report the largest value of the step."""
        report.add(self._peak, self._max)
        self._max = -_INFINITY


class Timer(Meter):
    """`t` and `d`: how many, how much in all, the squares of it, and the largest one.

    Count, total and squares are reported per second, so they add up over instances and divide
    into an average; a timer's amounts are seconds.
    """

    __slots__ = (
        "_amounts",
        "_count",
        "_max",
        "_peak",
        "_rate",
        "_squares",
        "_total",
        "_totals",
        "_variance",
    )

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._amounts: list[float] = []
        self._count = 0
        self._total = self._squares = self._max = 0.0
        is_timer = kind in (MeterKind.TIMER, MeterKind.PERCENTILE_TIMER)
        self._rate = self._series(statistic="count")
        self._totals = self._series(statistic="totalTime" if is_timer else "totalAmount")
        self._variance = self._series(statistic="totalOfSquares")
        self._peak = self._gauge_series("max")

    def update(self, text: bytes) -> None:
        """Record one amount."""
        amount = float(text)
        if not 0 <= amount < _INFINITY:
            amount = _amount(text)
        if not self.is_touched:
            self._touch()
        self._amounts.append(amount)
        if len(self._amounts) >= _MOST_AMOUNTS:
            self._fold()

    def collect(self, report: Report) -> None:
        """Report the four statistics of the step."""
        self._fold()
        if not self._count:
            return
        per_second = report.per_second
        report.add(self._rate, self._count * per_second)
        report.add(self._totals, self._total * per_second)
        report.add(self._variance, self._squares * per_second)
        report.add(self._peak, self._max)
        self._count = 0
        self._total = self._squares = self._max = 0.0

    def _fold(self) -> None:
        amounts = self._amounts
        if not amounts:
            return
        self._count += len(amounts)
        self._total += sum(amounts)
        self._squares += sum([amount * amount for amount in amounts])
        self._max = max(self._max, *amounts)
        amounts.clear()


class PercentileTimer(Timer):
    """`T` and `D`: a timer that also counts how many amounts fell into each of 276 buckets."""

    __slots__ = ("_bucket_series", "_buckets", "_letter")

    def __init__(self, kind: MeterKind, tags: dict[str, str], touched: list[Meter]) -> None:
        super().__init__(kind, tags, touched)
        self._letter = kind.value
        self._buckets: dict[int, int] = {}
        self._bucket_series: dict[int, Series] = {}

    def collect(self, report: Report) -> None:
        """Report the four statistics, and the rate of each bucket that was hit."""
        super().collect(report)
        for bucket, count in self._buckets.items():
            series = self._bucket_series.get(bucket)
            if series is None:
                tag = f"{self._letter}{bucket:04X}"
                series = self._series(statistic="percentile", percentile=tag)
                self._bucket_series[bucket] = series
            report.add(series, count * report.per_second)
        self._buckets.clear()

    def _fold(self) -> None:
        """Count buckets; a timer's amount is clamped to 1 ns and 24 h, and counted in ns."""
        is_timer = self._letter == MeterKind.PERCENTILE_TIMER
        scale = _NS_PER_S if is_timer else 1.0
        count = _counted_at_once if len(self._amounts) >= _WORTH_AN_ARRAY else _counted
        for bucket, hits in count(self._amounts, scale):
            self._buckets[bucket] = self._buckets.get(bucket, 0) + hits
        super()._fold()


def _counted(amounts: list[float], scale: float) -> Iterable[tuple[int, int]]:
    starts = bucket_starts()
    for amount in amounts:
        scaled = min(max(amount * scale, 1.0), _DAY_NS) if scale > 1.0 else amount
        yield bisect_right(starts, int(scaled)), 1


def _counted_at_once(amounts: list[float], scale: float) -> Iterable[tuple[int, int]]:
    scaled = np.array(amounts)
    scaled = np.clip(scaled * scale, 1.0, _DAY_NS) if scale > 1.0 else np.minimum(scaled, 2.0**62)
    buckets = np.searchsorted(_start_array(), scaled.astype(np.int64), side="right")
    found, hits = np.unique(buckets, return_counts=True)
    return zip(found.tolist(), hits.tolist(), strict=True)


@cache
def _start_array() -> NDArray[np.int64]:
    return np.array(bucket_starts(), dtype=np.int64)


@cache
def bucket_starts() -> tuple[int, ...]:
    """The smallest value of bucket 1, 2, ... 275: bisecting it costs less than the formula."""
    starts = []
    for bucket in range(1, len(UPPER_BOUNDS)):
        low, high = 0, UPPER_BOUNDS[-1]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if bucket_of(middle) >= bucket else (middle + 1, high)
        starts.append(low)
    return tuple(starts)


METERS: Final[dict[MeterKind, type[Meter]]] = {
    MeterKind.COUNTER: Counter,
    MeterKind.MONOTONIC: Monotonic,
    MeterKind.MONOTONIC_UINT: Monotonic,
    MeterKind.MONOTONIC_SAMPLED: MonotonicSampled,
    MeterKind.GAUGE: Gauge,
    MeterKind.MAX_GAUGE: MaxGauge,
    MeterKind.AGE_GAUGE: AgeGauge,
    MeterKind.TIMER: Timer,
    MeterKind.PERCENTILE_TIMER: PercentileTimer,
    MeterKind.DISTRIBUTION: Timer,
    MeterKind.PERCENTILE_DISTRIBUTION: PercentileTimer,
}
