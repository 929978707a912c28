"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.render import format_value
from breakwater.render.ticks import time_range, time_ticks, value_axis
from breakwater.render.units import UnitName, format_axis


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


def test_axis_labels_share_scale_and_decimals() -> None:
    """All labels of one axis are written alike; zero needs no unit."""
    assert format_axis([0, 0.25, 0.5, 0.75], "seconds") == ["0", "250 ms", "500 ms", "750 ms"]
    assert format_axis([0, 0.5, 1.0], "number") == ["0", "0.5", "1.0"]
    assert format_axis([0, 1e9, 2e9], "number") == ["0", "1G", "2G"]


def test_minutes_get_round_minutes() -> None:
    """Steps are round in the unit shown, not in seconds."""
    axis = value_axis(0, 2700, count=3, unit="seconds")
    assert axis.labels == ["0", "15 min", "30 min", "45 min"]


def test_flat_data_still_has_an_axis() -> None:
    """One value alone spans an axis that contains it."""
    for value in (0.0, 5.0, -5.0):
        axis = value_axis(value, value, count=4, unit="number")
        assert axis.low <= value <= axis.high
        assert axis.low < axis.high


@given(
    st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.sampled_from(["number", "seconds", "bytes"])
)
def test_value_axis_holds_its_data(one: float, other: float, unit: UnitName) -> None:
    """Ends enclose the data, ticks ascend, and labels of different ticks differ."""
    low, high = min(one, other), max(one, other)
    axis = value_axis(low, high, count=5, unit=unit)
    slack = 1e-6 * max(abs(low), abs(high), 1e-12)
    assert axis.low <= low + slack
    assert axis.high >= high - slack
    assert axis.ticks == sorted(axis.ticks)
    assert 2 <= len(axis.ticks) <= 12


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
