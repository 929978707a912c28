"""Updates made datapoints on a grid."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model.normalization import (
    NORMALIZERS,
    CounterNormalizer,
    RateNormalizer,
    gauge_normalizer,
    sum_normalizer,
)

STEP = 10_000


def test_a_rate_is_weighted_across_boundaries() -> None:
    """Each step is the mean of the rates that reach into it, by time."""
    rates = RateNormalizer(STEP)
    assert rates.update(105_000, 1.0) == [(100_000, 0.5)]
    assert rates.update(115_000, 3.0) == [(110_000, 0.5 + 1.5)]
    assert rates.update(117_000, 10.0) == []
    ((stamp_ms, value),) = rates.update(125_000, 5.0)
    assert (stamp_ms, round(value, 9)) == (120_000, 1.5 + 2.0 + 1.5)


def test_a_rate_on_the_grid_is_itself() -> None:
    """An update at the end of each step is that step's value."""
    rates = RateNormalizer(STEP)
    found = [rates.update(stamp, value) for stamp, value in [(10_000, 1.0), (20_000, 2.0)]]
    assert found == [[(10_000, 1.0)], [(20_000, 2.0)]]


def test_a_pause_starts_anew() -> None:
    """After more than the heartbeat nothing is said of the time between."""
    rates = RateNormalizer(STEP)
    rates.update(105_000, 1.0)
    assert rates.update(155_000, 4.0) == [(150_000, 2.0)]


def test_within_the_heartbeat_a_value_fills_the_steps_between() -> None:
    """With a longer heartbeat an update counts since the one before it."""
    rates = RateNormalizer(STEP, heartbeat_ms=60_000)
    rates.update(105_000, 1.0)
    assert rates.update(135_000, 4.0) == [(110_000, 2.5), (120_000, 4.0), (130_000, 4.0)]


@pytest.mark.parametrize("stamp_ms", [105_000, 90_000])
def test_what_does_not_move_on_is_passed_over(stamp_ms: int) -> None:
    """Repeated and older stamps of a rate change nothing."""
    rates = RateNormalizer(STEP)
    rates.update(105_000, 1.0)
    assert rates.update(stamp_ms, 9.0) == []
    assert rates.update(115_000, 3.0) == [(110_000, 2.0)]


def test_a_counter_is_its_growth_a_second() -> None:
    """The first total settles nothing; one that fell counts as no growth."""
    totals = CounterNormalizer(STEP)
    assert totals.update(100_000, 50.0) == []
    assert totals.update(110_000, 150.0) == [(110_000, 10.0)]
    assert totals.update(120_000, 3.0) == [(120_000, 0.0)]


def test_gauges_keep_the_greatest_and_sums_add_up() -> None:
    """The step before the newest still takes updates; older ones are passed over."""
    gauge, total = gauge_normalizer(STEP), sum_normalizer(STEP)
    for stamp_ms, value, greatest, added in [
        (95_000, 2.0, [(100_000, 2.0)], [(100_000, 2.0)]),
        (100_000, 5.0, [(100_000, 5.0)], [(100_000, 7.0)]),
        (105_000, 1.0, [(110_000, 1.0)], [(110_000, 1.0)]),
        (99_000, 3.0, [(100_000, 5.0)], [(100_000, 10.0)]),
        (85_000, 9.0, [], []),
        (112_000, math.nan, [], []),
    ]:
        assert gauge.update(stamp_ms, value) == greatest
        assert total.update(stamp_ms, value) == added


def test_a_step_nobody_touched_holds_nothing_older() -> None:
    """A late update to a step that was skipped meets no value of an earlier step."""
    total = sum_normalizer(STEP)
    total.update(100_000, 5.0)
    total.update(130_000, 1.0)
    assert total.update(120_000, 2.0) == [(120_000, 2.0)]


@pytest.mark.parametrize("kind", NORMALIZERS)
@given(
    updates=st.lists(st.tuples(st.integers(1, 300_000), st.floats(0, 1e6)), max_size=30),
    step_ms=st.sampled_from([1000, 10_000, 60_000]),
)
def test_stamps_lie_on_the_grid(kind: str, updates: list[tuple[int, float]], step_ms: int) -> None:
    """Whatever comes, datapoints are finite and stamped with ends of steps."""
    normalizer = NORMALIZERS[kind](step_ms)
    for stamp_ms, value in updates:
        for stamp, settled in normalizer.update(stamp_ms, value):
            assert stamp % step_ms == 0
            assert math.isfinite(settled)


@given(st.floats(0, 1e6), st.lists(st.integers(1, 9_999), min_size=2, max_size=40))
def test_a_constant_rate_stays_what_it_is(rate: float, gaps_ms: list[int]) -> None:
    """However irregular the updates, a rate that never changes is every full step's value."""
    rates, stamp_ms, settled = RateNormalizer(STEP), 0, []
    for gap_ms in gaps_ms:
        stamp_ms += gap_ms
        settled += rates.update(stamp_ms, rate)
    for _, value in settled[1:]:
        assert value == pytest.approx(rate)
