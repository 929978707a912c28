"""Words with state and words on whole lines, against what a plain loop or their table says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryError, QueryLimitError
from breakwater.metrics.evaluation.ranking import Leaders
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000
NAN = math.nan
DATA = "name,calls,:eq,:sum"


def answer(values: list[float], program: str) -> list[float]:
    """The one line a program gives for `calls`, a value a second."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(), clock)
    tags = {"name": "calls"}
    engine.resolve(tags)
    for second, value in enumerate(values, start=1):
        clock.advance(1)
        engine.write_series(tags, T0 + second * 1000, value)
    result = engine.query(program, start_ms=T0, end_ms=T0 + len(values) * 1000)
    (line,) = result.lines
    return [round(float(value), 3) for value in line.values]


@pytest.mark.parametrize(
    ("word", "values", "expected"),
    [
        ("3,:rolling-count", [0, 1, -1, NAN, 0, 1, 1, 1, 1, 0], [0, 1, 2, 2, 1, 1, 2, 3, 3, 2]),
        ("3,:rolling-min", [0, 1, -1, NAN, 0, 1, 1, 1, 1, 0], [0, 0, -1, -1, -1, 0, 0, 1, 1, 0]),
        ("3,:rolling-max", [0, 1, -1, NAN, 0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 0, 1, 1, 1, 1, 1]),
        (
            "3,:rolling-sum",
            [0, 1, -1, NAN, NAN, NAN, 1, 1, 1, 0],
            [0, 1, 0, 0, -1, NAN, 1, 2, 3, 2],
        ),
        (
            "3,2,:rolling-mean",
            [0, 1, -1, NAN, NAN, 0, 1, 1, 1, 0],
            [NAN, 0.5, 0, 0, NAN, NAN, 0.5, 0.667, 1, 0.667],
        ),
        (
            "2s,:trend",
            [0, 1, -1, NAN, 0, 1, 2, 1, 1, 0],
            [NAN, 0.5, 0, -0.5, 0, 0.5, 1.5, 1.5, 1, 0.5],
        ),
        ("1s,:trend", [0, NAN, 2], [0, NAN, 2]),
        ("2,:delay", [1, 2, NAN, 4], [NAN, NAN, 1, 2]),
        (":integral", [NAN, 1, -1, NAN, 0, 1, 2], [NAN, 1, 0, 0, 0, 1, 3]),
        (":derivative", [1, 3, NAN, 4, 5], [NAN, 2, NAN, NAN, 1]),
        (":cumulative-max", [NAN, -2, 5, NAN, 3], [NAN, -2, 5, 5, 5]),
        ("2,0.5,0.5,:des", [1, 3, 5, NAN, 5], [NAN, NAN, 2, 3.75, 3.75]),
        ("total,:stat", [1, NAN, 2], [3, 3, 3]),
        ("count,:stat", [1, NAN, 2], [2, 2, 2]),
        ("last,:stat", [1, 2, NAN], [2, 2, 2]),
        ("avg,:stat", [NAN, NAN], [NAN, NAN]),
    ],
)
def test_words_do_what_their_tables_say(
    word: str, values: list[float], expected: list[float]
) -> None:
    """Each word on a line small enough to work out by hand."""
    np.testing.assert_array_equal(answer(values, f"{DATA},{word}"), expected)


CELLS = st.lists(st.just(NAN) | st.integers(-9, 9).map(float), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(values=CELLS, n=st.integers(1, 12), is_least=st.booleans())
def test_rolling_extremes_are_what_a_loop_says(
    values: list[float], n: int, *, is_least: bool
) -> None:
    """The queue of candidates gives the extreme of every window."""
    word, choose = ("rolling-min", min) if is_least else ("rolling-max", max)
    expected = []
    for end in range(1, len(values) + 1):
        there = [value for value in values[max(end - n, 0) : end] if not math.isnan(value)]
        expected.append(choose(there) if there else NAN)
    np.testing.assert_array_equal(answer(values, f"{DATA},{n},:{word}"), expected)


def test_a_huge_value_leaves_nothing_behind() -> None:
    """A sum is made anew when a value of another magnitude leaves the window."""
    found = answer([1.0, 1e300, 1.0, 1.0, 1.0], f"{DATA},2,:rolling-sum")
    assert found[3:] == [2.0, 2.0]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("0,:rolling-sum", "window of 1 to 5000000 points, is 0"),
        ("-1,:delay", "is -1"),
        ("3,0,:rolling-mean", "needs 1 to 3 values of 3, is 0"),
        ("3,4,:rolling-mean", "is 4"),
        ("0,0.1,0.1,:sdes", "at least 1 point"),
        (":stat-max", "outside of a filter write 'max,:stat'"),
        ("nowhere,ge,:time-span,:add", "invalid time 'nowhere'"),
        ("ge,gs,:time-span,:add", "the end is before the start"),
    ],
)
def test_what_only_shows_when_evaluated(word: str, message: str) -> None:
    """Windows that cannot be are refused when the program is run on data."""
    with pytest.raises(QueryError, match=message):
        answer([1.0, 2.0], f"{DATA},{word}")


def test_windows_are_bounded_over_all_lines() -> None:
    """The memory of an expression is bounded however many lines and points it is asked for."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(), clock)
    for app in range(20):
        engine.write_series({"name": "calls", "nf.app": str(app)}, T0, 1.0)
    with pytest.raises(QueryLimitError, match="values in the windows of :delay"):
        engine.query("name,calls,:eq,(,nf.app,),:by,1000000,:delay", start_ms=T0, end_ms=T0)


@given(st.lists(st.floats(-5, 5) | st.just(NAN), max_size=20), st.integers(1, 5), st.booleans())
def test_leaders_are_the_first_of_a_sort(numbers: list[float], count: int, is_top: bool) -> None:  # noqa: FBT001 - drawn
    """What is kept are the highest or lowest numbers, NaN above all."""

    def worth(number: float) -> tuple[int, float]:
        return (1, 0.0) if math.isnan(number) else (0, number)

    leaders = Leaders(count, is_top=is_top)
    left = [leaders.offer(number, place) for place, number in enumerate(numbers)]
    kept = leaders.positions()
    gone = [place for place in left if place is not None]
    assert sorted([*kept, *gone]) == list(range(len(numbers)))
    wanted = sorted(map(worth, numbers), reverse=is_top)[:count]
    assert sorted((worth(numbers[place]) for place in kept), reverse=is_top) == wanted
