"""A window cut into stretches: the same numbers however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.metrics import (
    MetricsEngine,
    MetricsSettings,
    QueryResult,
    QueryValueError,
)
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000
SECONDS = 40
DATA = "name,calls,:eq,(,nf.app,),:by"

PROGRAMS = [
    DATA,
    f"{DATA},5,:rolling-count",
    f"{DATA},3,:rolling-min",
    f"{DATA},3,:rolling-max",
    f"{DATA},4,:rolling-sum",
    f"{DATA},4,2,:rolling-mean",
    f"{DATA},3,:delay",
    f"{DATA},4s,:trend",
    f"{DATA},:integral",
    f"{DATA},:derivative",
    f"{DATA},:cumulative-max",
    f"{DATA},3,0.1,0.5,:des",
    f"{DATA},3,0.1,0.5,:sdes",
    f"{DATA},:des-fast,:sdes-slow",
    f"{DATA},:sum,3,:rolling-sum,2,:delay",
    f"{DATA},max,:stat",
    f"{DATA},:integral,avg,:stat",
    f"{DATA},total,1,:topk-others-avg,3,:rolling-sum",
    f"{DATA},last,2,:bottomk",
    f"{DATA},:stat-max,5,:gt,:filter",
    f"{DATA},:stat-avg,:over,:lt,:filter,:sum",
    f"{DATA},avg,7s,:consolidate,:derivative",
    f"{DATA},max,:stat,avg,3s,:consolidate",
    f"{DATA},:stddev",
    f"{DATA},:pct",
    "name,calls,:eq,:avg,name,calls,:eq,:sum,5,:rolling-sum,:div",
    "name,calls,:eq,2,:rolling-max,10,0.1,0.5,0.2,0.2,4,:des-epic-signal",
    ":random,secondOfMinute,:time,:add,gs+5s,ge-5s,:time-span,:mul",
    "name,calls,:eq,(,0h,3s,),:offset",
    "name,nothing,:eq,3,:rolling-sum",
]
CELL = st.none() | st.floats(min_value=-1e6, max_value=1e6) | st.sampled_from([0.0, 1e300, 1e-9])
ROWS = st.lists(st.lists(CELL, min_size=SECONDS, max_size=SECONDS), min_size=1, max_size=4)


def filled(rows: list[list[float | None]]) -> MetricsEngine:
    """Series `calls` of apps 0, 1, ..., one value a second from T0 + 1 s."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(), clock)
    handles = np.array(
        [engine.resolve({"name": "calls", "nf.app": str(app)}) for app in range(len(rows))]
    )
    columns = np.array(rows, dtype=np.float64)
    for second in range(SECONDS):
        clock.advance(1)
        engine.write(handles, T0 + (second + 1) * 1000, columns[:, second])
    return engine


def whole(engine: MetricsEngine, program: str, step_ms: int) -> QueryResult:
    """The window at once."""
    return engine.query(program, start_ms=T0, end_ms=T0 + SECONDS * 1000, step_ms=step_ms)


def in_stretches(
    engine: MetricsEngine, program: str, step_ms: int, points: int
) -> list[QueryResult]:
    """The window in stretches."""
    end_ms = T0 + SECONDS * 1000
    return list(
        engine.stretches(program, start_ms=T0, end_ms=end_ms, step_ms=step_ms, points=points)
    )


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@settings(deadline=None, max_examples=15)
@given(rows=ROWS, points=st.integers(1, SECONDS + 1), step_ms=st.sampled_from([1000, 2000, 5000]))
def test_any_cut_gives_identical_numbers(
    program: str, rows: list[list[float | None]], points: int, step_ms: int
) -> None:
    """Lines, labels and every bit of every value are those of the whole window."""
    engine = filled(rows)
    wanted = whole(engine, program, step_ms)
    found = in_stretches(engine, program, step_ms, points)
    assert found[0].start_ms == wanted.start_ms
    for stretch in found:
        assert [(line.tags, line.label) for line in stretch.lines] == [
            (line.tags, line.label) for line in wanted.lines
        ]
    for number, line in enumerate(wanted.lines):
        values = np.concatenate([stretch.lines[number].values for stretch in found])
        np.testing.assert_array_equal(values, line.values)


def test_stretches_are_consecutive_and_as_long_as_asked() -> None:
    """All but the last have the points asked for, and none is missing between two."""
    engine = filled([[1.0] * SECONDS])
    found = in_stretches(engine, DATA, 1000, 15)
    assert [len(each.lines[0].values) for each in found] == [15, 15, 10]
    assert [each.start_ms for each in found] == [T0 + 1000, T0 + 16_000, T0 + 31_000]


@pytest.mark.parametrize("points", [0, 100_001])
def test_the_length_of_a_stretch_is_bounded(points: int) -> None:
    """A stretch is neither empty nor without end."""
    engine = filled([[1.0] * SECONDS])
    with pytest.raises(QueryValueError, match="1 to 100000 points"):
        in_stretches(engine, DATA, 1000, points)


def test_a_series_that_appears_later_starts_afresh() -> None:
    """A line that was not there misses its values before, and joins with state of its own."""
    engine = filled([[1.0] * SECONDS])
    stretches = engine.stretches(
        f"{DATA},3,:rolling-sum", start_ms=T0, end_ms=T0 + SECONDS * 1000, points=20
    )
    first = next(stretches)
    late = {"name": "calls", "nf.app": "late"}
    engine.write_series(late, T0 + SECONDS * 1000, 5.0)
    second = next(stretches)
    assert [len(first.lines), len(second.lines)] == [1, 2]
    assert second.lines[0].values[0] == 3.0
    assert second.lines[1].values[-1] == 5.0
