"""Numbers as people read them."""

import itertools
import math
from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.render import format_value
from breakwater.render.ticks import time_range, time_ticks
from breakwater.render.units import UnitName, scales_of


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0, "number", "0"),
        (1234, "number", "1.23k"),
        (999.96, "number", "1k"),
        (999_960, "number", "1M"),
        (0.05, "number", "0.05"),
        (0.00001, "number", "1.00e-05"),
        (-1500, "number", "-1.5k"),
        (42.0, "per_second", "42/s"),
        (0.0123, "seconds", "12.3 ms"),
        (0.0000009, "seconds", "900 ns"),
        (90, "seconds", "1.5 min"),
        (7200, "seconds", "2 h"),
        (0.9912, "ratio", "99.1%"),
        (12.5, "percent", "12.5%"),
        (1536, "bytes", "1.5 KiB"),
        (math.nan, "seconds", "\u2013"),
        (math.inf, "number", "\u2013"),
    ],
)
def test_format_value(value: float, unit: UnitName, written: str) -> None:
    """Three significant digits and the largest unit in which the value is at least one."""
    assert format_value(value, unit) == written


def test_scales_run_from_fine_to_coarse() -> None:
    """Every unit has scales, each larger than the one before."""
    for unit in get_args(UnitName):
        factors = [scale.factor for scale in scales_of(unit)]
        assert factors == sorted(set(factors))


@given(st.integers(0, 4_000_000_000_000), st.integers(1, 3_000_000_000_000), st.integers(1, 12))
def test_time_ticks_are_bounded_and_inside(start: int, span: int, count: int) -> None:
    """Never more marks than asked for plus the one at the edge, all within the time."""
    ticks = time_ticks(start, start + span, count=count)
    assert len(ticks) <= count + 1
    assert all(start <= tick.at_ms <= start + span for tick in ticks)


def test_midnight_shows_the_date() -> None:
    """The mark at midnight UTC names the day."""
    ticks = time_ticks(1_763_589_600_000, 1_763_604_000_000, count=5)
    assert [tick.label for tick in ticks] == ["22:00", "23:00", "Nov 20", "01:00", "02:00"]
    assert [tick.is_day for tick in ticks].count(True) == 1


def test_time_range_names_the_day_once() -> None:
    """The second day is written only when it is another one."""
    start = 1_763_627_460_000
    assert time_range(start, start + 900_000) == "2025-11-20 08:31 to 08:46 UTC"
    assert time_range(start, start + 86_400_000) == "2025-11-20 08:31 to 2025-11-21 08:31 UTC"
    assert time_range(start, start + 30_000) == "2025-11-20 08:31:00 to 08:31:30 UTC"


ZONES = ("UTC", "US/Pacific", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")


def stamp(text: str) -> int:
    """Milliseconds of a time written in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_an_hour_that_comes_twice_is_marked_twice() -> None:
    """When clocks are put back, both hours of that name have their mark, an hour apart."""
    ticks = time_ticks(
        stamp("2025-11-02T06:30"),
        stamp("2025-11-02T11:30"),
        count=6,
        zone=ZoneInfo("US/Pacific"),
    )
    assert [tick.label for tick in ticks] == ["Nov 2", "01:00", "01:00", "02:00", "03:00"]
    assert {b.at_ms - a.at_ms for a, b in itertools.pairwise(ticks)} == {3_600_000}


def test_an_hour_that_is_left_out_has_no_mark() -> None:
    """When clocks are put forward, the marks jump over the missing hour, not over time."""
    ticks = time_ticks(
        stamp("2025-03-09T07:30"),
        stamp("2025-03-09T12:30"),
        count=6,
        zone=ZoneInfo("US/Pacific"),
    )
    assert [tick.label for tick in ticks] == ["Mar 9", "01:00", "03:00", "04:00", "05:00"]
    assert {b.at_ms - a.at_ms for a, b in itertools.pairwise(ticks)} == {3_600_000}


def test_days_begin_at_local_midnight() -> None:
    """Day marks stand at midnight of the zone, 25 hours apart when clocks are put back."""
    ticks = time_ticks(
        stamp("2025-11-01T00:00"), stamp("2025-11-04T00:00"), count=4, zone=ZoneInfo("US/Pacific")
    )
    hours = [(b.at_ms - a.at_ms) // 3_600_000 for a, b in itertools.pairwise(ticks)]
    assert [tick.label for tick in ticks] == ["Nov 1", "Nov 2", "Nov 3"]
    assert hours == [24, 25]


def test_long_times_are_marked_by_month_and_year() -> None:
    """Marks over months stand on the first; January carries the year."""
    ticks = time_ticks(stamp("2024-10-05T00:00"), stamp("2025-06-20T00:00"), count=9)
    assert [tick.label for tick in ticks] == "Nov Dec 2025 Feb Mar Apr May Jun".split()
    years = time_ticks(stamp("1999-10-05T00:00"), stamp("2025-06-20T00:00"), count=9)
    assert [tick.label for tick in years] == ["2000", "2005", "2010", "2015", "2020", "2025"]


def test_short_times_are_marked_by_millisecond() -> None:
    """Within a second the marks carry milliseconds."""
    ticks = time_ticks(1_763_627_460_000, 1_763_627_460_200, count=5)
    assert [tick.label for tick in ticks][:2] == ["08:31:00.000", "08:31:00.050"]


@given(
    st.integers(0, 4_000_000_000_000),
    st.integers(1, 3_000_000_000_000),
    st.integers(1, 12),
    st.sampled_from(ZONES),
)
def test_time_ticks_hold_in_every_zone(start: int, span: int, count: int, zone: str) -> None:
    """Marks ascend, lie within the time, are no more than asked for, and read as local time."""
    where = ZoneInfo(zone)
    ticks = time_ticks(start, start + span, count=count, zone=where)
    stamps = [tick.at_ms for tick in ticks]
    assert stamps == sorted(set(stamps))
    assert len(ticks) <= count + 1
    assert all(start <= at <= start + span for at in stamps)
    for tick in ticks:
        local = datetime.fromtimestamp(tick.at_ms / 1000, tz=where)
        if ":" in tick.label:
            assert local.strftime("%H:%M").startswith(tick.label[:5])
