import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.diagnosis import binomial_onset, latency_onset, poisson_onset
from breakwater.diagnosis.onset import is_significant


@pytest.mark.parametrize("at", [10, 40, 70])
def test_a_drop_of_rate_is_found_where_it_is(at: int) -> None:
    """The interval of a clear drop contains the step at which it happened."""
    rng = np.random.default_rng(at)
    counts = np.concatenate([rng.poisson(20, at), rng.poisson(5, 90 - at)]).astype(float)
    onset = poisson_onset(counts)
    assert onset is not None
    assert onset.low <= at <= onset.high
    assert onset.high - onset.low <= 4
    assert is_significant(onset, 90)
    assert onset.after < 8
    assert onset.before > 16


def test_failures_are_dated_to_the_step() -> None:
    """A share that rises from 1 % to 30 % is dated exactly."""
    rng = np.random.default_rng(3)
    total = np.full(80, 40.0)
    bad = np.concatenate([rng.binomial(40, 0.01, 60), rng.binomial(40, 0.3, 20)]).astype(float)
    onset = binomial_onset(bad, total)
    assert onset is not None
    assert onset.index == 60
    assert is_significant(onset, 80)


def test_one_slow_request_is_not_a_change_of_latency() -> None:
    """A single outlier, however large, does not make an onset."""
    rng = np.random.default_rng(4)
    calls = np.full(90, 30.0)
    time_s = calls * rng.lognormal(np.log(0.02), 0.1, 90)
    time_s[50] += 20.0
    onset = latency_onset(time_s, calls)
    assert onset is not None
    assert not is_significant(onset, 90)


def test_latency_that_doubles_is_dated() -> None:
    """A lasting factor of two is found within a step, with both levels in seconds."""
    rng = np.random.default_rng(5)
    calls = rng.poisson(30, 90).astype(float) + 1
    level = np.where(np.arange(90) < 55, 0.02, 0.04)
    onset = latency_onset(calls * level * rng.lognormal(0, 0.1, 90), calls)
    assert onset is not None
    assert abs(onset.index - 55) <= 1
    assert abs(onset.before - 0.02) < 0.003
    assert abs(onset.after - 0.04) < 0.006


@given(st.integers(0, 10_000), st.floats(0.5, 50))
def test_steady_traffic_has_no_significant_onset(seed: int, rate: float) -> None:
    """Poisson counts of one rate never make an onset that beats chance."""
    counts = np.random.default_rng(seed).poisson(rate, 120).astype(float)
    onset = poisson_onset(counts)
    assert onset is not None
    assert not is_significant(onset, 120)


@given(st.integers(0, 10_000))
def test_the_interval_holds_the_best_moment(seed: int) -> None:
    """Low <= index <= high, inside the series, whatever the data."""
    rng = np.random.default_rng(seed)
    total = rng.integers(0, 20, 40).astype(float)
    bad = np.minimum(rng.integers(0, 20, 40), total).astype(float)
    onset = binomial_onset(bad, total)
    if onset is not None:
        assert 0 < onset.low <= onset.index <= onset.high < 40


def test_too_few_steps_have_no_onset() -> None:
    """Five steps cannot hold a change and its two sides."""
    assert poisson_onset(np.ones(5)) is None
    assert binomial_onset(np.ones(5), np.ones(5)) is None
    assert latency_onset(np.ones(5), np.ones(5)) is None


def test_silence_has_no_onset_of_failures() -> None:
    """Without a call there is no share of failed calls."""
    assert binomial_onset(np.zeros(30), np.zeros(30)) is None
