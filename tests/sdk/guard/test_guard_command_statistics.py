"""Rolling statistics: nothing is lost, whatever thread it comes from."""

import math
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.guard.commanding import BackendError, fail, guard, in_threads

from breakwater.sdk.guard import Command, CommandConfig, EventType, StatisticsConfig, default_guards
from breakwater.sdk.guard.counting.statistics import Statistics
from breakwater.sdk.histogram import Histogram, bounds_s, bucket_of, merged
from breakwater.testing import FakeClock

SECONDS = st.floats(min_value=1e-9, max_value=1e6, allow_nan=False)


def statistics_of(config: StatisticsConfig | None = None) -> Statistics:
    """Statistics of nobody in particular."""
    return Statistics(
        config or StatisticsConfig(), peak=lambda: 0, on_fold=lambda _n, _at_s, _now_s: math.inf
    )


def test_calls_leave_the_window_bucket_by_bucket(clock: FakeClock) -> None:
    """What is ten seconds old is no longer in the rolling counts, but in those since start."""
    command = guard(clock, minimum_calls=100)
    command.call_sync(int)
    clock.advance(5.0)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    figures = command.figures()
    assert (figures.count(EventType.SUCCESS), figures.count(EventType.FAILURE)) == (1, 1)
    assert (figures.health_total, figures.health_errors, figures.error_percent) == (2, 1, 50)
    clock.advance(6.0)
    figures = command.figures()
    assert (figures.count(EventType.SUCCESS), figures.count(EventType.FAILURE)) == (0, 1)
    clock.advance(60.0)
    figures = command.figures()
    assert not any(figures.rolling)
    assert figures.since_start[EventType.SUCCESS] == 1
    assert figures.execution.count == 0


def test_a_call_counts_in_the_bucket_it_ended_in(clock: FakeClock) -> None:
    """The first call after a turn is in the new bucket, those before it in the old one."""
    command = guard(clock)
    for _ in range(3):
        command.call_sync(int)
    clock.advance(9.0)
    command.call_sync(int)
    assert command.figures().count(EventType.SUCCESS) == 4
    clock.advance(1.0)
    assert command.figures().count(EventType.SUCCESS) == 1


def test_short_circuits_are_not_part_of_the_health(clock: FakeClock) -> None:
    """Else an open circuit would look worse the longer it protects."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    for _ in range(5):
        with pytest.raises(Exception, match="refused"):
            command.call_sync(fail)
    figures = command.figures()
    assert (figures.health_total, figures.count(EventType.SHORT_CIRCUITED)) == (2, 5)
    assert figures.count(EventType.EXCEPTION_THROWN) == 7


@pytest.mark.slow
def test_no_event_is_lost_with_twenty_threads() -> None:
    """Every success, failure and refusal of 20 threads is counted once, while others read."""
    command = default_guards().command(
        "stress", CommandConfig(statistics=StatisticsConfig(window_s=3600.0)), replace=True
    )
    start = threading.Barrier(21)
    done = threading.Event()

    @command
    def work(*, fails: bool) -> None:
        if fails:
            raise BackendError

    def body() -> None:
        start.wait()
        for i in range(2_000):
            try:
                work(fails=i % 40 == 39)
            except BackendError:
                continue

    def read() -> None:
        start.wait()
        while not done.is_set():
            command.figures()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        in_threads(20, body)
    finally:
        done.set()
        sys.setswitchinterval(before)
    reader.join()
    figures = command.figures()
    assert figures.since_start[EventType.SUCCESS] == 20 * 1_950
    assert figures.since_start[EventType.FAILURE] == 20 * 50
    assert figures.rolling[EventType.SUCCESS] == 20 * 1_950
    assert figures.execution.count == figures.total.count == 20 * 2_000
    assert 1 <= figures.rolling[EventType.COMMAND_MAX_ACTIVE] <= 20
    breaker = command.stats().breaker
    assert breaker is not None
    assert breaker.window_calls <= 20 * 2_000
    assert breaker.window_failures <= 20 * 50


def test_the_highest_concurrency_of_the_window_is_kept(clock: FakeClock) -> None:
    """Five at once, then one at a time: five, until the window has passed."""
    command = guard(clock, max_concurrent=8)
    inside = threading.Barrier(5)
    in_threads(5, lambda: command.call_sync(inside.wait, 10.0))
    command.call_sync(int)
    assert command.figures().rolling[EventType.COMMAND_MAX_ACTIVE] == 5
    clock.advance(20.0)
    command.call_sync(int)
    figures = command.figures()
    assert figures.rolling[EventType.COMMAND_MAX_ACTIVE] == 1
    assert figures.since_start[EventType.COMMAND_MAX_ACTIVE] == 5


def test_execution_and_whole_call_are_measured_apart(clock: FakeClock) -> None:
    """Two attempts of 1 s with 3 s between them: two executions of 1 s, one call of 5 s."""
    command = guard(clock, minimum_calls=10)
    figures = Statistics(
        StatisticsConfig(), peak=lambda: 0, on_fold=lambda _n, _at_s, _now_s: math.inf
    )
    for _ in range(2):
        figures.executed(1.0, 100.0)
    figures.ended(5.0, 100.0)
    seen = figures.figures(100.0)
    assert (seen.execution.count, seen.execution.max_s) == (2, 1.0)
    assert (seen.total.count, seen.total.mean_s) == (1, 5.0)
    assert command.figures().execution.count == 0


def test_other_windows_start_the_rolling_counts_anew(clock: FakeClock) -> None:
    """Counts since start go on; buckets of another width could not be compared."""
    command = guard(clock)
    command.call_sync(int)
    command.configure(CommandConfig(statistics=StatisticsConfig(window_s=60.0)))
    command.call_sync(int)
    figures = command.figures()
    assert figures.count(EventType.SUCCESS) == 1
    assert figures.since_start[EventType.SUCCESS] == 2
    assert figures.window_s == 60.0


@given(st.lists(SECONDS, min_size=1, max_size=200))
def test_percentiles_are_within_half_a_percent_and_ends_are_exact(values: list[float]) -> None:
    """A bucket is at most 1/128 wide; minimum, maximum and mean come from the values themselves."""
    histogram = Histogram()
    histogram.add(values)
    seen = histogram.snapshot()
    assert (seen.count, seen.min_s, seen.max_s) == (len(values), min(values), max(values))
    assert seen.mean_s == pytest.approx(sum(values) / len(values))
    assert seen.percentile_s(100.0) == max(values)
    ordered = sorted(values)
    for percent in (1.0, 25.0, 50.0, 90.0, 99.0):
        rank = max(1, math.ceil(percent / 100.0 * len(ordered)))
        assert seen.percentile_s(percent) == pytest.approx(ordered[rank - 1], rel=1 / 120)
    many = seen.percentiles_s((1.0, 50.0, 99.0))
    assert many == sorted(many)


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_histograms_merge_by_adding(left: list[float], right: list[float]) -> None:
    """The merge of two is what one would have held that saw both."""
    parts = []
    for values in (left, right, left + right):
        histogram = Histogram()
        histogram.add(values)
        parts.append(histogram)
    both, one = merged(parts[:2]), parts[2].snapshot()
    assert both.buckets == one.buckets
    assert (both.count, both.min_s, both.max_s) == (one.count, one.min_s, one.max_s)
    assert both.sum_s == pytest.approx(one.sum_s)


@given(SECONDS)
def test_a_value_lies_within_its_bucket(seconds: float) -> None:
    """Bounds are those of the upper half of an IEEE single, up to its rounding."""
    low_s, high_s = bounds_s(bucket_of(seconds))
    assert low_s <= seconds * (1 + 1e-6)
    assert seconds * (1 - 1e-6) < high_s
    assert high_s <= low_s * (1 + 1 / 100)


def test_a_command_that_was_never_called_has_figures(clock: FakeClock) -> None:
    """All zero, rather than an error."""
    command = Command("idle", guards=guard(clock).guards)
    figures = command.figures()
    assert not any(figures.rolling)
    assert (figures.execution.percentile_s(99.0), figures.execution.mean_s) == (0.0, 0.0)


def test_many_events_at_once_are_counted_by_number() -> None:
    """Items of a stream are told in one go."""
    statistics = statistics_of()
    statistics.count(EventType.EMIT, 5.0, 1_000)
    assert statistics.figures(5.0).count(EventType.EMIT) == 1_000
