"""Time zones by name, and the marks of one time axis each."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from breakwater.render.errors import ChartError
from breakwater.render.heading import SMALL_SIZE
from breakwater.render.text import width
from breakwater.render.ticks import TimeTick, time_ticks

_TICK_GAP: Final = 30.0
_MOST_TICKS: Final = 12
_UTC_NAMES: Final = frozenset(("UTC", "Etc/UTC", "GMT", "Z"))


class TimeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One time axis: what its clocks are called, and its marks."""

    name: str
    ticks: list[TimeTick]


def find_zone(name: str) -> tzinfo:
    """The zone of an IANA name; raises ChartError when the machine knows none of that name."""
    if name in _UTC_NAMES:
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as reason:
        raise ChartError(
            f"there is no time zone '{name[:80]}'; expected one like UTC or US/Pacific"
        ) from reason


def time_row(name: str, start_ms: int, end_ms: int, *, across: float) -> TimeRow:
    """The axis of a zone, `across` pixels wide."""
    zone = find_zone(name)
    sample = "00:00:00.000" if end_ms - start_ms < 5_000 else "00:00:00"
    fitting = int(across / (width(sample, SMALL_SIZE) + _TICK_GAP))
    ticks = time_ticks(start_ms, end_ms, count=min(max(fitting, 1), _MOST_TICKS), zone=zone)
    return TimeRow(name=clock_name(zone, start_ms, end_ms), ticks=ticks)


def clock_name(zone: tzinfo, start_ms: int, end_ms: int) -> str:
    """What the clocks are called then: `PST`, or `PDT/PST` when they were put back meanwhile."""
    names = [
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(zone).tzname()
        for at in (start_ms, end_ms)
    ]
    return "/".join(dict.fromkeys(name or "" for name in names))
