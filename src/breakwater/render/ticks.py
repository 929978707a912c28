"""Where the marks of a time axis stand: on round times of a zone's clocks."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

import msgspec

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_CLOCK_STEPS: Final = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(count * _SECOND for count in (1, 2, 5, 10, 15, 30)),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
)
_DAY_STEPS: Final = (1, 2, 7, 14)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class TimeTick(msgspec.Struct, frozen=True, kw_only=True):
    """One mark of the time axis; `is_day` says that the label is a date."""

    at_ms: int
    label: str
    is_day: bool


def time_ticks(start_ms: int, end_ms: int, *, count: int, zone: tzinfo = UTC) -> list[TimeTick]:
    """At most `count` marks between the two times, on round times of the zone's clocks.

    A mark at midnight carries the date instead of the time. Where clocks are put back, an hour
    that comes twice is marked twice; one that is left out has no mark.
    """
    count = max(count, 1)
    span = end_ms - start_ms
    for step in _CLOCK_STEPS:
        # A day may be as short as 23 hours; a first guess that is too fine is thrown away.
        if span // step < count + 2:
            ticks = _clock_ticks(start_ms, end_ms, step, zone)
            if len(ticks) <= count:
                return ticks
    for days in _DAY_STEPS:
        if span // (days * _DAY) < count + 2:
            ticks = _day_ticks(start_ms, end_ms, days, zone)
            if len(ticks) <= count:
                return ticks
    for months in _month_steps():
        if span // (months * 28 * _DAY) < 2 * count + 2:
            ticks = _month_ticks(start_ms, end_ms, months, zone)
            if len(ticks) <= count:
                break
    return ticks


def _clock_ticks(start_ms: int, end_ms: int, step_ms: int, zone: tzinfo) -> list[TimeTick]:
    found = []
    for first, last, offset in _constant_offsets(start_ms, end_ms, zone):
        begin = -(-(first + offset) // step_ms) * step_ms - offset
        found += [_time_tick(at, at + offset, step_ms) for at in range(begin, last, step_ms)]
    return found


def _constant_offsets(start_ms: int, end_ms: int, zone: tzinfo) -> Iterator[tuple[int, int, int]]:
    """Stretches [first, last) that make up start to end, and what clocks add to UTC in each."""
    first, offset = start_ms, _offset_ms(start_ms, zone)
    for probe in range(start_ms + _HOUR, end_ms + _HOUR, _HOUR):
        at = min(probe, end_ms)
        if _offset_ms(at, zone) == offset:
            continue
        low, high = at - _HOUR, at
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_ms(middle, zone) == offset else (low, middle)
        yield first, high, offset
        first, offset = high, _offset_ms(high, zone)
    yield first, end_ms + 1, offset


def _offset_ms(at_ms: int, zone: tzinfo) -> int:
    offset = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _MILLISECOND


def _time_tick(at_ms: int, local_ms: int, step_ms: int) -> TimeTick:
    local = _utc(local_ms)
    if local_ms % _DAY == 0:
        return TimeTick(at_ms=at_ms, label=_day_label(local), is_day=True)
    pattern = "%H:%M:%S" if step_ms < _MINUTE else "%H:%M"
    label = local.strftime(pattern)
    if step_ms < _SECOND:
        label += f".{local_ms % _SECOND:03d}"
    return TimeTick(at_ms=at_ms, label=label, is_day=False)


def _day_label(day: date) -> str:
    return f"{_MONTHS[day.month - 1]} {day.day}"


def _day_ticks(start_ms: int, end_ms: int, days: int, zone: tzinfo) -> list[TimeTick]:
    last = min(_local(end_ms, zone).toordinal(), date.max.toordinal())
    first = _local(start_ms, zone).toordinal() - 1
    first += (1 - first) % days  # weeks begin on the day 1 began, a Monday
    ordinals = (date.fromordinal(ordinal) for ordinal in range(first, last + 1, days))
    ticks = [_day_tick(day, _day_label(day), zone) for day in ordinals]
    return [tick for tick in ticks if start_ms <= tick.at_ms <= end_ms]


def _month_ticks(start_ms: int, end_ms: int, months: int, zone: tzinfo) -> list[TimeTick]:
    start, end = _local(start_ms, zone), _local(end_ms, zone)
    first = (start.year * 12 + start.month - 1) // months * months
    ticks = []
    for month in range(first, min(end.year * 12 + end.month, 10_000 * 12), months):
        year, name = month // 12, _MONTHS[month % 12]
        if year >= 1:
            label = name if month % 12 else str(year)
            ticks.append(_day_tick(date(year, month % 12 + 1, 1), label, zone))
    return [tick for tick in ticks if start_ms <= tick.at_ms <= end_ms]


def _day_tick(day: date, label: str, zone: tzinfo) -> TimeTick:
    begin = datetime(day.year, day.month, day.day, tzinfo=zone)
    return TimeTick(at_ms=(begin - _EPOCH) // _MILLISECOND, label=label, is_day=True)


def _month_steps() -> Iterator[int]:
    yield from (1, 2, 3, 6)
    for power in itertools.count():
        yield from (12 * factor * 10**power for factor in (1, 2, 5))


def time_range(start_ms: int, end_ms: int, zone: tzinfo = UTC) -> str:
    """Both ends in words, for example `2025-11-20 08:31 to 08:46 UTC`."""
    start, end = _local(start_ms, zone), _local(end_ms, zone)
    pattern = "%H:%M:%S" if end_ms - start_ms < 10 * _MINUTE else "%H:%M"
    last = end.strftime(pattern if start.date() == end.date() else f"%Y-%m-%d {pattern}")
    return f"{start.strftime('%Y-%m-%d ' + pattern)} to {last} {end.tzname()}"


def _utc(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return _utc(at_ms).astimezone(zone)
