"""Where the grid lines of an axis stand: round numbers, round times in UTC."""

import math
from datetime import UTC, datetime
from typing import Final

import msgspec

from breakwater.render.units import UnitName, format_axis, scale_of

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_TIME_STEPS: Final = (
    *(count * _SECOND for count in (1, 2, 5, 10, 15, 30)),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14, 28, 56, 112, 364)),
)
_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """A value axis: `low` and `high` are its ends, `ticks` lie between them, ascending."""

    low: float
    high: float
    ticks: list[float]
    labels: list[str]


class TimeTick(msgspec.Struct, frozen=True, kw_only=True):
    """One mark of the time axis; `is_day` says that the label is a date."""

    at_ms: int
    label: str
    is_day: bool


def value_axis(low: float, high: float, *, count: int, unit: UnitName) -> Axis:
    """The axis that holds `low` to `high` with about `count` intervals of a round size.

    Round means round in the unit shown: 15 min rather than 1000 s. Both ends are ticks.
    Flat data is shown from zero.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-30:
        low, high = 0.0, 1.0
    factor = scale_of(unit, max(abs(low), abs(high))).factor
    step = _round_step((high - low) / factor / max(count, 1), sixty=factor in {60.0, 3600.0})
    first = math.floor(low / factor / step + 1e-9)
    last = math.ceil(high / factor / step - 1e-9)
    ticks = [index * step * factor for index in range(first, max(last, first + 1) + 1)]
    return Axis(low=ticks[0], high=ticks[-1], ticks=ticks, labels=format_axis(ticks, unit))


def _round_step(rough: float, *, sixty: bool) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    choices = [power * factor for factor in _ROUND]
    if sixty and rough > 1:
        choices = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, *choices]
    return min((step for step in choices if step >= rough * 0.999), default=power * 10)


def time_ticks(start_ms: int, end_ms: int, *, count: int) -> list[TimeTick]:
    """At most `count` marks between the two times, on round UTC times; empty when none fits.

    A mark at midnight carries the date instead of the time.
    """
    span = end_ms - start_ms
    step = next(
        (step for step in _TIME_STEPS if span // step < max(count, 1)),
        math.ceil(span / max(count, 1) / _DAY) * _DAY,
    )
    first = -(-start_ms // step) * step
    return [_time_tick(at_ms, step) for at_ms in range(first, end_ms + 1, step)]


def _time_tick(at_ms: int, step_ms: int) -> TimeTick:
    at = _utc(at_ms)
    if at_ms % _DAY == 0:
        year = f" {at.year}" if step_ms >= 28 * _DAY else ""
        return TimeTick(at_ms=at_ms, label=f"{_MONTHS[at.month - 1]} {at.day}{year}", is_day=True)
    pattern = "%H:%M:%S" if step_ms < _MINUTE else "%H:%M"
    return TimeTick(at_ms=at_ms, label=at.strftime(pattern), is_day=False)


def time_range(start_ms: int, end_ms: int) -> str:
    """Both ends in words, for example `2025-11-20 08:31 to 08:46 UTC`."""
    start, end = _utc(start_ms), _utc(end_ms)
    pattern = "%H:%M:%S" if end_ms - start_ms < 10 * _MINUTE else "%H:%M"
    last = end.strftime(pattern if start.date() == end.date() else f"%Y-%m-%d {pattern}")
    return f"{start.strftime('%Y-%m-%d ' + pattern)} to {last} UTC"


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
