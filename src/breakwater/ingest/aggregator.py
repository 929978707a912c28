"""From lines to datapoints: every update finds its meter, every step every meter reports.

A line costs one dictionary look-up of the raw bytes before its amount and one addition, about a
microsecond; a meter's name is parsed the first time it is seen. An update belongs to the step in
which it arrives. Meters that were not touched in a step cost nothing, gauges and age gauges aside.
"""

from collections import Counter as Tally
from collections import deque
from collections.abc import Callable

import msgspec
import numpy as np

from breakwater.ingest.errors import LineError
from breakwater.ingest.lines import UPDATES, MeterKind, MeterName, parse_meter
from breakwater.ingest.meters import (
    METERS,
    AgeGauge,
    Gauge,
    Meter,
    MonotonicSampled,
    Report,
    Series,
)
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Sink, Values
from breakwater.model import Clock, LimitExceededError

_SWEEP_MS = 60_000
_LONGEST_CATCH_UP_STEPS = 60
_LONGEST_STEP_BACK_STEPS = 2
_MIN_GAUGE_TTL_S = 5
_NEW_SERIES_AT_ONCE = 3_000
_MOST_STEPS_WAITING = 10
_MOST_SPELLINGS = 8
_LONGEST_SPELLING = 1_024

Update = Callable[[bytes], None]


class AggregatorStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the aggregator has taken, holds and has left out, counted since it was made."""

    lines: int
    datapoints: int
    meters: int
    steps: int
    dropped: dict[str, int]


class LineAggregator:
    """Turns spectatord lines into per-step values and writes each finished step to a sink.

    Not thread-safe: one owner calls `receive` and `flush`. `flush` must be called at least once a
    step, shortly after the step's end, and again while `is_behind`: new series take their time,
    so a step with very many of them is written in several calls. Memory is bounded by `max_meters`.
    """

    def __init__(self, settings: IngestSettings, sink: Sink, clock: Clock) -> None:
        self._settings = settings
        self._sink = sink
        self._step_ms = sink.step_ms
        self._updates: dict[bytes, Update] = {}
        self._meters: dict[tuple[str, ...], Meter] = {}
        self._gauges: dict[int, Gauge] = {}
        self._ages: list[AgeGauge] = []
        self._touched: list[Meter] = []
        self._waiting: deque[Report] = deque()
        self._end_ms = self._end_of(clock.now_ms())
        self._next_sweep_ms = self._end_ms + _SWEEP_MS
        self._lines = self._datapoints = self._steps = 0
        self._dropped: Tally[str] = Tally()

    def receive(self, data: bytes, now_ms: int) -> None:
        """Take one datagram of lines that arrived at `now_ms`; never raises for what is in it."""
        if now_ms > self._end_ms:
            self.flush(now_ms)
        found = UPDATES.findall(data)
        known = self._updates
        for prefix, text in found:
            try:
                update = known.get(prefix) or self._admit(prefix)
                update(text)
            except LineError as error:
                self._dropped[error.reason] += 1
            except ValueError:
                self._dropped["bad_amount"] += 1
        self._lines += len(found)
        if len(found) != data.count(b"\n") + (data[-1:] != b"\n"):
            self._count_malformed(data, len(found))

    def flush(self, now_ms: int) -> None:
        """Close every step that ended before `now_ms` and write what can be written at once.

        The step in progress stays open.
        """
        steps = self._steps
        behind = (self._end_of(now_ms) - self._end_ms) // self._step_ms
        if behind > _LONGEST_CATCH_UP_STEPS:
            self._close(self._end_ms)
            self._end_ms = self._end_of(now_ms) - _LONGEST_CATCH_UP_STEPS * self._step_ms
        elif behind < -_LONGEST_STEP_BACK_STEPS:  # the clock was set back: follow it
            self._close(self._end_ms)
            self._end_ms = self._end_of(now_ms)
        while self._end_ms < now_ms:
            self._close(self._end_ms)
            self._end_ms += self._step_ms
        if self._steps == steps:
            self._write_waiting()
        if now_ms >= self._next_sweep_ms:
            self._next_sweep_ms = now_ms + _SWEEP_MS
            self._forget_idle(now_ms)

    @property
    def is_behind(self) -> bool:
        """Whether a step that was closed is not written yet; `flush` goes on with it."""
        return bool(self._waiting)

    def stats(self) -> AggregatorStats:
        """Counts since the start, and the meters alive now."""
        return AggregatorStats(
            lines=self._lines,
            datapoints=self._datapoints,
            meters=len(self._meters),
            steps=self._steps,
            dropped=dict(self._dropped),
        )

    def _end_of(self, now_ms: int) -> int:
        return -(-now_ms // self._step_ms) * self._step_ms

    def _count_malformed(self, data: bytes, well_formed: int) -> None:
        lines = sum(1 for line in data.split(b"\n") if line.strip())
        self._lines += max(lines - well_formed, 0)
        for line in data.split(b"\n"):
            if line.strip() and not UPDATES.match(line):
                self._dropped["bad_amount" if line.count(b":") >= 2 else "malformed"] += 1

    def _admit(self, prefix: bytes) -> Update:
        name = parse_meter(prefix)
        meter = self._meter(name)
        if name.kind is MeterKind.MONOTONIC_SAMPLED:
            return _sampler(meter, name.option or 0)
        update: Update = meter.update
        if isinstance(meter, Gauge) and name.option is not None:
            update = _gauge_with_ttl(meter, name.option)
        if len(prefix) <= _LONGEST_SPELLING and len(meter.prefixes) < _MOST_SPELLINGS:
            self._updates[prefix] = update
            meter.prefixes.add(prefix)
        return update

    def _meter(self, name: MeterName) -> Meter:
        identity = name.identity()
        meter = self._meters.get(identity)
        if meter is not None:
            return meter
        if len(self._meters) >= self._settings.max_meters:
            raise LineError("too_many_meters")
        if name.kind is MeterKind.AGE_GAUGE and len(self._ages) >= self._settings.max_age_gauges:
            raise LineError("too_many_age_gauges")
        meter = METERS[name.kind](name.kind, name.tags, self._touched)
        if isinstance(meter, Gauge):
            meter.ttl_ms = int(self._settings.gauge_ttl_s * 1000)
        elif isinstance(meter, AgeGauge):
            self._ages.append(meter)
        self._meters[identity] = meter
        return meter

    def _close(self, end_ms: int) -> None:
        report = Report(end_ms, self._step_ms)
        for meter in self._touched:
            meter.is_touched = False
            meter.last_ms = end_ms
            if isinstance(meter, Gauge):
                self._gauges[id(meter)] = meter
            elif not isinstance(meter, AgeGauge):
                meter.collect(report)
        self._touched.clear()
        expired = []
        for key, gauge in self._gauges.items():
            if gauge.last_ms + gauge.ttl_ms < end_ms:
                expired.append(key)
            else:
                gauge.collect(report)
        for key in expired:
            del self._gauges[key]
        for age in self._ages:
            age.collect(report)
        self._steps += 1
        self._waiting.append(report)
        if len(self._waiting) > _MOST_STEPS_WAITING:
            self._dropped["behind"] += len(self._waiting.popleft().values)
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write closed steps, oldest first, until `_NEW_SERIES_AT_ONCE` new series were met."""
        budget = _NEW_SERIES_AT_ONCE
        while self._waiting:
            report = self._waiting[0]
            while report.resolved < len(report.series):
                series = report.series[report.resolved]
                if series.handle < 0:
                    if not budget:
                        return
                    budget -= 1
                    self._resolve(series, report.end_ms)
                report.resolved += 1
            self._waiting.popleft()
            if report.series:
                self._write(report)
            self._sink.complete(report.end_ms)

    def _write(self, report: Report) -> None:
        handles = np.array([series.handle for series in report.series], dtype=np.int64)
        values = np.array(report.values, dtype=np.float64)
        if handles.min() < 0:
            kept = np.flatnonzero(handles >= 0)
            self._dropped["series_limit"] += len(handles) - len(kept)
            owners = [report.series[position] for position in kept]
            handles, values = handles[kept], values[kept]
        else:
            owners = report.series
        self._datapoints += len(handles)
        stale = self._sink.write(handles, report.end_ms, values)
        if len(stale):
            self._write_again([owners[position] for position in stale], values[stale], report)

    def _write_again(self, owners: list[Series], values: Values, report: Report) -> None:
        again = Report(report.end_ms, self._step_ms)
        again.series, again.values = owners, values.tolist()
        for series in owners:
            series.handle = -1
            self._resolve(series, report.end_ms)
        self._datapoints -= len(owners)
        self._write(again)

    def _resolve(self, series: Series, end_ms: int) -> None:
        if end_ms < series.retry_ms:
            return
        try:
            series.handle = self._sink.resolve(series.tags)
        except LimitExceededError:
            series.retry_ms = end_ms + _SWEEP_MS

    def _forget_idle(self, now_ms: int) -> None:
        oldest_ms = now_ms - int(self._settings.meter_ttl_s * 1000)
        idle = [
            (identity, meter)
            for identity, meter in self._meters.items()
            if meter.last_ms < oldest_ms
            and not meter.is_touched
            and not isinstance(meter, AgeGauge)
            and id(meter) not in self._gauges
        ]
        for identity, meter in idle:
            del self._meters[identity]
            for prefix in meter.prefixes:
                self._updates.pop(prefix, None)


def _sampler(meter: Meter, at_ms: int) -> Update:
    assert isinstance(meter, MonotonicSampled)
    return lambda text: meter.sample(at_ms, text)


def _gauge_with_ttl(gauge: Gauge, ttl_s: int) -> Update:
    def update(text: bytes) -> None:
        gauge.update(text)
        gauge.ttl_ms = max(ttl_s, _MIN_GAUGE_TTL_S) * 1000

    return update
