"""Programs over stored datapoints, against what a plain loop says."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.metrics import (
    InvalidStepError,
    InvalidTimeError,
    MetricsEngine,
    MetricsSettings,
    QueryLimitError,
    QueryTimeoutError,
)
from breakwater.metrics.reading.reader import consolidated
from breakwater.model.percentiles import UPPER_BOUNDS
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000


def engine(**changes: int) -> tuple[MetricsEngine, FakeClock]:
    """An engine with steps of one second, and its clock."""
    clock = FakeClock(T0)
    return MetricsEngine(MetricsSettings(**changes), clock), clock  # type: ignore[arg-type] # ints only


def filled(rows: dict[tuple[str, str], list[float | None]], **changes: int) -> MetricsEngine:
    """Series named `calls` by (app, node), one value a second from T0 + 1 s."""
    made, clock = engine(**changes)
    for second in range(max(len(values) for values in rows.values())):
        clock.advance(1)
        for (app, node), values in rows.items():
            value = values[second] if second < len(values) else None
            if value is not None:
                tags = {"name": "calls", "nf.app": app, "nf.node": node}
                made.write_series(tags, T0 + (second + 1) * 1000, value)
    return made


CELL = st.none() | st.integers(min_value=-50, max_value=50).map(float)
ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2", "3", "4"])),
    st.lists(CELL, min_size=6, max_size=6),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from(["sum", "count", "min", "max"]))
def test_group_by_is_what_a_loop_says(
    rows: dict[tuple[str, str], list[float | None]], function: str
) -> None:
    """Each group folds the values its series have at each point; no value, no point."""
    program = f"name,calls,:eq,:{function},(,nf.app,),:by"
    result = filled(rows).query(program, start_ms=T0, end_ms=T0 + 6000)
    groups: dict[str, list[list[float | None]]] = defaultdict(list)
    for (app, _), values in rows.items():
        if any(value is not None for value in values):
            groups[app].append(values)
    assert [line.tags["nf.app"] for line in result.lines] == sorted(groups)
    for line in result.lines:
        members = groups[line.tags["nf.app"]]
        expected = [loop(function, [m[i] for m in members]) for i in range(6)]
        np.testing.assert_array_equal(line.values, expected)


def loop(function: str, values: list[float | None]) -> float:
    """Fold the values that are there."""
    found = [value for value in values if value is not None]
    if not found:
        return math.nan
    if function == "count":
        return float(len(found))
    if function == "sum":
        return sum(found)
    return min(found) if function == "min" else max(found)


def test_a_stamp_is_the_end_of_its_interval() -> None:
    """The window is (start, end]: the first point is one step after the start."""
    made = filled({("a", "1"): [1.0, 2.0, 3.0]})
    result = made.query("name,calls,:eq,:sum", start_ms=T0, end_ms=T0 + 3000)
    assert (result.start_ms, result.step_ms) == (T0 + 1000, 1000)
    assert result.lines[0].values.tolist() == [1.0, 2.0, 3.0]


def test_start_equal_to_end_is_one_point() -> None:
    """A window without length asks for the point at its end."""
    made = filled({("a", "1"): [1.0, 2.0]})
    result = made.query("name,calls,:eq", start_ms=T0 + 2000, end_ms=T0 + 2000)
    assert (result.start_ms, result.lines[0].values.tolist()) == (T0 + 2000, [2.0])


def test_no_match_is_one_line_without_data_or_no_line() -> None:
    """An aggregate of nothing is a NaN line named NO_DATA; a grouping of nothing is empty."""
    made, _ = engine()
    alone = made.query("name,none,:eq,:sum", start_ms=T0, end_ms=T0 + 2000).lines
    assert [(line.tags, line.label) for line in alone] == [({"name": "NO_DATA"}, "NO DATA")]
    assert np.isnan(alone[0].values).all()
    assert made.query("name,none,:eq,(,k,),:by", start_ms=T0, end_ms=T0 + 2000).lines == []


def test_a_new_series_is_in_the_next_answer() -> None:
    """No index is rebuilt: what was just written is found, also by a plan that was kept."""
    made, clock = engine()
    program = "name,calls,:eq,(,nf.app,),:by"
    for app in ("a", "b", "c"):
        made.write_series({"name": "calls", "nf.app": app}, T0 + 1000, 1.0)
        found = made.query(program, start_ms=T0, end_ms=T0 + 1000).lines
        assert found[-1].tags["nf.app"] == app
    assert clock.now_ms() == T0


def test_rates_and_gauges_are_averaged_differently() -> None:
    """A missing rate means nothing happened; a missing gauge means nobody looked."""
    made, clock = engine()
    clock.advance(4)
    for kind in ("rate", "gauge"):
        made.write_series({"name": "xx", "atlas.dstype": kind}, T0 + 1000, 6.0)
        made.write_series({"name": "xx", "atlas.dstype": kind}, T0 + 3000, 6.0)
    program = "name,xx,:eq,:sum,(,atlas.dstype,),:by"
    lines = made.query(program, start_ms=T0, end_ms=T0 + 4000, step_ms=4000).lines
    assert {line.tags["atlas.dstype"]: line.values.tolist() for line in lines} == {
        "gauge": [6.0],
        "rate": [3.0],
    }


@pytest.mark.slow
@given(
    st.lists(st.lists(CELL, min_size=6, max_size=6), min_size=1, max_size=4),
    st.sampled_from(["sum", "min", "max", "avg"]),
    st.sampled_from([1, 2, 3, 6]),
)
def test_consolidation_is_what_a_loop_says(
    rows: list[list[float | None]], by: str, multiple: int
) -> None:
    """Datapoints of a longer step are folded; only an empty interval has no value."""
    values = np.array([[math.nan if v is None else v for v in row] for row in rows])
    for ours, row in zip(consolidated(values, multiple, by), rows, strict=True):
        for point, value in enumerate(ours):
            found = row[point * multiple : (point + 1) * multiple]
            total = loop("sum" if by == "avg" else by, found)
            expected = total / multiple if by == "avg" else total
            np.testing.assert_allclose(value, expected)


def test_percentiles_of_merged_buckets() -> None:
    """Buckets of several instances are added before the percentile is estimated."""
    made, clock = engine()
    clock.advance(1)
    for node, bucket, rate in (("1", "T0083", 3.0), ("2", "T0083", 1.0), ("2", "T0090", 4.0)):
        tags = {"name": "lat", "nf.node": node, "percentile": bucket, "statistic": "percentile"}
        made.write_series(tags, T0 + 1000, rate)
    program = "name,lat,:eq,(,50,100,),:percentiles"
    lines = made.query(program, start_ms=T0, end_ms=T0 + 1000).lines
    assert [line.tags["percentile"] for line in lines] == [" 50.0", "100.0"]
    half, whole = (float(line.values[0]) for line in lines)
    low, high = UPPER_BOUNDS[0x82] * 1e-9, UPPER_BOUNDS[0x83] * 1e-9
    assert low < half <= high
    assert whole == pytest.approx(UPPER_BOUNDS[0x90] * 1e-9)


def test_limits_carry_count_and_limit() -> None:
    """Too many lines, points or input datapoints: the error says how many and how many may be."""
    made = filled({("a", str(node)): [1.0] for node in range(5)}, max_lines=3)
    with pytest.raises(QueryLimitError, match="too many lines: 5 > 3"):
        made.query("name,calls,:eq,(,nf.node,),:by", start_ms=T0, end_ms=T0 + 1000)
    with pytest.raises(QueryLimitError, match="too many lines: 5 > 3"):
        made.query("name,calls,:eq,:all", start_ms=T0, end_ms=T0 + 1000)
    with pytest.raises(QueryLimitError, match="points in a line: 600000 > 500000"):
        made.query("name,calls,:eq", start_ms=T0 - 600_000_000, end_ms=T0)
    with pytest.raises(QueryLimitError, match="points in the answer: 600000 > 500000"):
        made.query("1,2", start_ms=T0 - 300_000_000, end_ms=T0)
    small = filled({("a", "1"): [1.0]}, max_input_points=10)
    with pytest.raises(QueryLimitError, match="input datapoints: 11 > 10"):
        small.query("name,calls,:eq", start_ms=T0, end_ms=T0 + 11_000)


def test_an_empty_window_of_decades_asks_for_no_memory() -> None:
    """What ends before all that is held is missing, and not looked for at the stored step."""
    made, _ = engine()
    day_ms = 86_400_000
    for program in ("name,nope,:eq,:sum", "name,nope,:eq,:max", "name,nope,:eq,:sum,1h,:offset"):
        found = made.query(program, start_ms=0, end_ms=T0, step_ms=day_ms)
        assert len(found.lines[0].values) == T0 // day_ms
        assert np.isnan(found.lines[0].values).all()
        cost = made.estimate(program, start_ms=0, end_ms=T0, step_ms=day_ms)
        assert cost.bytes < 4_000_000
    made.write_series({"name": "c"}, T0, 86_400.0)
    held = made.query("name,c,:eq,:sum", start_ms=0, end_ms=T0 + day_ms, step_ms=day_ms)
    assert np.flatnonzero(~np.isnan(held.lines[0].values)).tolist() == [-(-T0 // day_ms) - 1]
    by_app = "name,nope,:eq,(,nf.app,),:by"
    assert made.query(by_app, start_ms=0, end_ms=T0, step_ms=86_400_000).lines == []


def test_buckets_do_not_count_as_lines() -> None:
    """Percentiles of several lines may read more buckets than an answer may have lines."""
    made, clock = engine(max_lines=4)
    clock.advance(1)
    for node in ("1", "2"):
        for bucket in range(10):
            tags = {"name": "lat", "nf.node": node, "percentile": f"T{bucket + 100:04X}"}
            made.write_series(tags, T0 + 1000, 1.0)
    two = "name,lat,:eq,(,nf.node,),:by,(,50,99,),:percentiles"
    assert len(made.query(two, start_ms=T0, end_ms=T0 + 1000).lines) == 4
    three = "name,lat,:eq,(,nf.node,),:by,(,50,90,99,),:percentiles"
    with pytest.raises(QueryLimitError, match="too many lines: 6 > 4"):
        made.query(three, start_ms=T0, end_ms=T0 + 1000)


def test_a_deadline_that_passed_ends_the_query() -> None:
    """A query without time left says so."""
    with pytest.raises(QueryTimeoutError):
        filled({("a", "1"): [1.0]}).query("name,calls,:eq", start_ms=T0, end_ms=T0, timeout_s=-1.0)


def test_windows_off_the_grid_are_explained() -> None:
    """A step that is no multiple of the store's, and an end before the start, are errors."""
    made, _ = engine(step_ms=5000)
    with pytest.raises(InvalidStepError, match="not a multiple of the stored step of 5000 ms"):
        made.query("1", start_ms=T0, end_ms=T0, step_ms=6000)
    with pytest.raises(InvalidStepError, match="allowed: 1, 2, 3"):
        made.query("1", start_ms=T0, end_ms=T0, step_ms=7000)
    with pytest.raises(InvalidTimeError, match="before start"):
        made.query("1", start_ms=T0, end_ms=T0 - 5000)


def test_latest_complete_follows_the_line_intake() -> None:
    """While steps are reported complete, the last of them is the newest to trust."""
    made, clock = engine()
    clock.advance(10.5)
    assert made.latest_complete_ms() == T0 + 9000
    made.complete(T0 + 10_000)
    assert made.latest_complete_ms() == T0 + 10_000
    clock.advance(60)
    assert made.latest_complete_ms() == T0 + 69_000


def test_stats_tell_what_there_is() -> None:
    """Series, datapoints, queries and failures are counted."""
    made = filled({("a", "1"): [1.0, 2.0], ("b", "1"): [1.0]})
    made.query("name,calls,:eq", start_ms=T0, end_ms=T0)
    with pytest.raises(QueryLimitError):
        made.query("1", start_ms=0, end_ms=T0)
    stats = made.stats()
    assert (stats.series, stats.datapoints, stats.queries, stats.failed_queries) == (2, 3, 2, 1)
    assert stats.size_bytes > 0


def test_a_clock_set_back_is_seen() -> None:
    """From a clock being set back to the next write, the engine does not take the present."""
    kept, clock = engine()
    handle = np.array([kept.resolve({"name": "calls"})])
    seen = []
    for seconds in (0, 1800, -1800, 1750):
        clock.leap(seconds)
        seen.append(kept.takes_present)
        kept.write(handle, clock.now_ms(), np.ones(1))
        seen.append(kept.takes_present)
    assert seen == [True, True, True, True, False, True, True, True]
    assert kept.stats().dropped == {}
