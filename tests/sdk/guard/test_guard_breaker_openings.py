"""How long it stays open, how it comes back, and refusals that are only counted."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.guard.breaking import SMALL, admitted, call, changed, opened, probes, state

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.openings import open_seconds
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.verdict import Verdict


def relapse(breaker: Breaker) -> float:
    """Let it probe and fail as soon as it may; how long it was open."""
    opened_s = breaker.stats().reopens_s
    for probe in probes(breaker, opened_s + 0.01):
        breaker.settle(probe, Verdict.FAILURE, opened_s + 0.01)
    return breaker.stats().reopens_s - opened_s - 0.01


def recover(breaker: Breaker) -> float:
    """Let it probe and succeed as soon as it may; when that was."""
    now_s = breaker.stats().reopens_s + 0.01
    for probe in probes(breaker, now_s):
        breaker.settle(probe, Verdict.SUCCESS, now_s)
    assert state(breaker) is BreakerState.CLOSED
    return now_s


def test_the_open_time_is_fixed_unless_told_otherwise() -> None:
    """Every wait is the same."""
    breaker = opened()
    assert [relapse(breaker) for _ in range(3)] == pytest.approx([2.0, 2.0, 2.0])


def test_the_open_time_grows_with_every_failed_round_up_to_its_cap() -> None:
    """Two, four, eight, then no more than ten seconds."""
    breaker = opened(changed(SMALL, open_factor=2.0, max_open_s=10.0))
    assert [relapse(breaker) for _ in range(4)] == pytest.approx([4.0, 8.0, 10.0, 10.0])


def test_a_recovery_starts_the_open_time_over() -> None:
    """What comes after is a new story."""
    breaker = opened(changed(SMALL, open_factor=2.0))
    relapse(breaker)
    now_s = recover(breaker)
    for _ in range(4):
        call(breaker, now_s, fails=True)
    assert breaker.stats().reopens_s == pytest.approx(now_s + 2.0)


def test_with_a_ramp_only_its_end_is_a_recovery() -> None:
    """A relapse within the ramp waits longer than the time before."""
    breaker = opened(changed(SMALL, open_factor=2.0, ramp_s=10.0))
    now_s = recover(breaker)
    permit = admitted(breaker, now_s)
    for _ in range(4):
        breaker.settle(permit, Verdict.FAILURE, now_s)
    assert breaker.stats().reopens_s == pytest.approx(now_s + 4.0)
    now_s = recover(breaker)
    breaker.tick(now_s + 10.0)
    assert breaker.stats().opening == 0


@given(st.floats(0.0, 1.0), st.integers(1, 5000), st.floats(1.0, 10.0), st.floats(0.0, 0.999999))
def test_jitter_spreads_the_time_about_the_configured_one(
    jitter: float, opening: int, factor: float, drawn: float
) -> None:
    """Never outside +-jitter of the capped time, however often it opened."""
    config = BreakerConfig(open_s=2.0, open_jitter=jitter, open_factor=factor, max_open_s=30.0)
    seconds = open_seconds(config, opening, lambda: drawn)
    plain = open_seconds(changed(config, open_jitter=0.0), opening, lambda: drawn)
    assert 2.0 <= plain <= 30.0
    assert plain * (1.0 - jitter) - 1e-9 <= seconds <= plain * (1.0 + jitter) + 1e-9


def test_an_open_time_above_the_cap_is_not_cut() -> None:
    """The cap bounds the growth, not what was asked for."""
    assert open_seconds(BreakerConfig(open_s=90.0, max_open_s=60.0), 1, lambda: 0.5) == 90.0


def test_a_retry_after_lengthens_the_open_time_up_to_the_cap() -> None:
    """The callee knows best when to come back, within reason."""
    for told_s, waits_s in ((30.0, 30.0), (1.0, 2.0), (9000.0, 60.0), (float("nan"), 2.0)):
        breaker = Breaker(SMALL)
        for _ in range(4):
            breaker.settle(admitted(breaker, 100.0), Verdict.FAILURE, 100.0, 0.0, told_s)
        assert breaker.stats().reopens_s == 100.0 + waits_s


def test_a_late_retry_after_is_heeded_while_open() -> None:
    """It moves no state, but the wait gets longer."""
    breaker = Breaker(SMALL)
    late = admitted(breaker, 100.0)
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    breaker.settle(late, Verdict.FAILURE, 101.0, 1.0, 20.0)
    assert breaker.stats().reopens_s == 121.0


def test_a_retry_after_plays_no_part_where_it_is_not_honoured() -> None:
    """Nor does one that came with a success."""
    breaker = Breaker(changed(SMALL, honour_retry_after=False))
    for _ in range(4):
        breaker.settle(admitted(breaker, 100.0), Verdict.FAILURE, 100.0, 0.0, 30.0)
    assert breaker.stats().reopens_s == 102.0
    breaker = Breaker(changed(SMALL, retry_after_opens=True))
    breaker.settle(admitted(breaker, 100.0), Verdict.SUCCESS, 100.0, 0.0, 30.0)
    assert state(breaker) is BreakerState.CLOSED


def test_a_retry_after_may_open_it_by_itself() -> None:
    """One failure that says how long to stay away is enough, if that is asked for."""
    breaker = Breaker(changed(SMALL, retry_after_opens=True))
    breaker.settle(admitted(breaker, 100.0), Verdict.FAILURE, 100.0, 0.0, 30.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.stats().reopens_s == 130.0


def test_a_probe_with_a_retry_after_lengthens_the_next_wait() -> None:
    """The answer of a failed round is heeded like any other."""
    breaker = opened()
    out = probes(breaker, 103.0)
    breaker.settle(out[0], Verdict.FAILURE, 103.0, 0.0, 15.0)
    breaker.settle(out[1], Verdict.FAILURE, 103.5)
    assert breaker.stats().reopens_s == 118.0


def test_a_ramp_lets_a_growing_share_through() -> None:
    """A tenth, then half, then all; the refusals are counted apart."""
    breaker = opened(changed(SMALL, ramp_s=10.0))
    now_s = recover(breaker)
    admitted(breaker, now_s)
    shares = [
        sum(breaker.admit(now_s + after_s) is not None for _ in range(100)) / 100
        for after_s in (0.0, 1.0, 5.0, 10.0)
    ]
    assert shares == pytest.approx([0.0, 0.1, 0.5, 1.0], abs=0.011)
    found = breaker.stats()
    assert found.ramp_refused == 300 - round(100 * sum(shares[:3]))
    assert not found.is_ramping


def test_the_first_call_of_a_ramp_goes_through() -> None:
    """A service with one call an hour is not refused it."""
    breaker = opened(changed(SMALL, ramp_s=10.0))
    now_s = recover(breaker)
    assert breaker.admit(now_s) is not None
    assert breaker.admit(now_s) is None
    assert breaker.refusal(now_s).reason == "breaker_ramping"


def test_a_ramp_follows_its_configuration() -> None:
    """Set to nothing, it ends at once."""
    breaker = opened(changed(SMALL, ramp_s=1000.0))
    now_s = recover(breaker)
    breaker.configure(SMALL, now_s + 1.0)
    assert len(probes(breaker, now_s + 1.0)) == 100


def test_refusals_that_are_not_enforced_are_only_counted() -> None:
    """At 25 % three of four refused calls go through, and their results have no say."""
    breaker = opened(changed(SMALL, enforcing_percent=25.0), random=Random(7).random)
    got = [breaker.admit(101.0) for _ in range(1000)]
    through = [permit for permit in got if permit is not None]
    assert 700 < len(through) < 800
    for permit in through:
        breaker.settle(permit, Verdict.SUCCESS, 101.0)
    found = breaker.stats()
    assert found.shadow_refused == len(through)
    assert found.short_circuited == 1000 - len(through)
    assert (found.state, found.stale_results, found.window_calls) == ("open", 0, 4)


def test_nothing_enforced_refuses_nothing_and_still_moves() -> None:
    """A shadow roll-out shows what it would have done: the states go on as ever."""
    breaker = opened(changed(SMALL, enforcing_percent=0.0), random=Random(7).random)
    assert len(probes(breaker, 101.0)) == 100
    assert len(probes(breaker, 103.0)) == 100
    assert breaker.stats().probes_out == 3
    assert breaker.stats().short_circuited == 0


def test_a_ramp_that_is_not_enforced_judges_every_call() -> None:
    """Calls that it only counts are calls of a closed breaker."""
    config = changed(SMALL, ramp_s=10.0, enforcing_percent=0.0)
    breaker = opened(config, random=Random(7).random)
    now_s = breaker.stats().reopens_s + 0.1
    out = probes(breaker, now_s)
    for probe in out[:3]:
        breaker.settle(probe, Verdict.SUCCESS, now_s)
    for _ in range(4):
        call(breaker, now_s, fails=True)
    assert state(breaker) is BreakerState.OPEN
