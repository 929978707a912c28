"""From lines to datapoints: every update finds its meter, every step every meter reports.

A line costs one dictionary look-up of the raw bytes before its amount and one addition, about a
microsecond; a meter's name is parsed the first time it is seen. An update belongs to the step in
which it arrives. Meters that were not touched in a step cost nothing, gauges and age gauges aside.
"""

from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

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
from breakwater.model import Clock

_SWEEP_MS = 60_000
_LONGEST_CATCH_UP_STEPS = 60
_LONGEST_STEP_BACK_STEPS = 2
_MIN_GAUGE_TTL_S = 5
_NEW_SERIES_AT_ONCE = 1_000
_ASKED_AT_ONCE = 4_000
_SWEPT_AT_ONCE = 20_000
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
    step, shortly after the step's end, and again while `is_behind`: one call takes some
    milliseconds, so a step of very many meters, or of new series, is written in several. Memory is
    bounded by `max_meters`.
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
        self._closing: Iterator[Report] | None = None
        self._waiting: deque[Report] = deque()
        self._waiting_steps = 0
        self._new_left = self._write_left = 0
        self._sweep: Iterator[tuple[str, ...]] | None = None
        self._end_ms = self._end_of(clock.now_ms())
        self._next_sweep_ms = self._end_ms + _SWEEP_MS
        self._lines = self._datapoints = self._steps = 0
        self._dropped: Tally[str] = Tally()

    def receive(self, data: bytes, now_ms: int) -> None:
        """Take one datagram of lines that arrived at `now_ms`; never raises for what is in it.

        Whoever has other things to do calls `flush` first, while a step `is_over`: else all of
        the step is closed here.
        """
        while self.is_over(now_ms):
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
        """Close steps that ended before `now_ms` and write them, as far as some milliseconds reach.

        The step in progress stays open.
        """
        self._new_left, self._write_left = _NEW_SERIES_AT_ONCE, 2 * _ASKED_AT_ONCE
        left = _ASKED_AT_ONCE
        while left > 0 and self.is_over(now_ms):
            left -= self._close_some(now_ms)
            self._write_waiting()
        self._write_waiting()
        self._forget_idle(now_ms)

    def is_over(self, now_ms: int) -> bool:
        """Whether a step has ended that is not closed yet: an update now belongs to a later one."""
        return (
            self._closing is not None
            or now_ms > self._end_ms
            or self._steps_behind(now_ms) < -_LONGEST_STEP_BACK_STEPS
        )

    @property
    def is_behind(self) -> bool:
        """Whether a step that has ended is not written yet; `flush` goes on with it."""
        return self._closing is not None or bool(self._waiting)

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

    def _steps_behind(self, now_ms: int) -> int:
        return (self._end_of(now_ms) - self._end_ms) // self._step_ms

    def _close_some(self, now_ms: int) -> int:
        """Ask some more meters for their values; returns about how much work that was."""
        if self._closing is None:
            self._closing = self._reports(self._end_ms)
        report = next(self._closing)
        self._waiting.append(report)
        if report.is_last:
            self._closing = None
            self._steps += 1
            self._waiting_steps += 1
            self._end_ms = self._end_after(now_ms)
            if self._waiting_steps > _MOST_STEPS_WAITING:
                self._give_up_oldest()
        return len(report.values) + _ASKED_AT_ONCE // 100

    def _end_after(self, now_ms: int) -> int:
        """The end of the step after the one that was closed."""
        behind = self._steps_behind(now_ms)
        if behind > _LONGEST_CATCH_UP_STEPS:
            return self._end_of(now_ms) - _LONGEST_CATCH_UP_STEPS * self._step_ms
        if behind < -_LONGEST_STEP_BACK_STEPS:  # the clock was set back: follow it
            return self._end_of(now_ms)
        return self._end_ms + self._step_ms

    def _give_up_oldest(self) -> None:
        is_last = False
        while not is_last:
            report = self._waiting.popleft()
            self._dropped["behind"] += len(report.values)
            is_last = report.is_last
        self._waiting_steps -= 1

    def _reports(self, end_ms: int) -> Iterator[Report]:
        """What the meters report for a step, in pieces; no update may come before the last."""
        touched = self._touched.copy()
        self._touched.clear()
        report = Report(end_ms, self._step_ms)
        for asked, meter in enumerate(touched):
            if len(report.values) >= _ASKED_AT_ONCE or asked % _ASKED_AT_ONCE == _ASKED_AT_ONCE - 1:
                yield report
                report = Report(end_ms, self._step_ms)
            meter.is_touched = False
            meter.last_ms = end_ms
            if isinstance(meter, Gauge):
                self._gauges[id(meter)] = meter
            elif not isinstance(meter, AgeGauge):
                meter.collect(report)
        for key, gauge in list(self._gauges.items()):
            if gauge.last_ms + gauge.ttl_ms < end_ms:
                del self._gauges[key]
                continue
            gauge.collect(report)
            if len(report.values) >= _ASKED_AT_ONCE:
                yield report
                report = Report(end_ms, self._step_ms)
        for age in self._ages:
            age.collect(report)
        report.is_last = True
        yield report

    def _write_waiting(self) -> None:
        """Write what was reported, oldest first, as far as this flush may go."""
        while self._waiting and self._write_left > 0 and self._new_left > 0:
            report = self._waiting[0]
            unknown = [s for s in report.series if s.handle < 0 and s.retry_ms <= report.end_ms]
            self._resolve(unknown[: self._new_left], report.end_ms)
            self._new_left -= len(unknown)
            if self._new_left < 0:
                return
            self._waiting.popleft()
            self._write_left -= len(report.values)
            if report.series:
                self._write(report)
            if report.is_last:
                self._waiting_steps -= 1
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
        self._resolve(owners, report.end_ms)
        self._datapoints -= len(owners)
        self._write(again)

    def _resolve(self, owners: list[Series], end_ms: int) -> None:
        """Give series their handles; where there is no room, none for a minute."""
        if not owners:
            return
        resolved = self._sink.resolve_all([series.tags for series in owners])
        for series, handle in zip(owners, resolved.handles.tolist(), strict=True):
            series.handle = handle
            if handle < 0:
                series.retry_ms = end_ms + _SWEEP_MS

    def _forget_idle(self, now_ms: int) -> None:
        """Forget some of the meters that were not updated for long."""
        if self._sweep is None:
            if now_ms < self._next_sweep_ms:
                return
            self._next_sweep_ms = now_ms + _SWEEP_MS
            self._sweep = iter(list(self._meters))
        oldest_ms = now_ms - int(self._settings.meter_ttl_s * 1000)
        identities = list(islice(self._sweep, _SWEPT_AT_ONCE))
        if len(identities) < _SWEPT_AT_ONCE:
            self._sweep = None
        for identity in identities:
            meter = self._meters[identity]
            is_idle = meter.last_ms < oldest_ms and not meter.is_touched
            if is_idle and not isinstance(meter, AgeGauge) and id(meter) not in self._gauges:
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
