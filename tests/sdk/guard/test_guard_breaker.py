"""The circuit breaker, rule by rule: when it opens, what a probe may say, what says nothing."""

import pytest
from tests.sdk.guard.breaking import SMALL, admitted, call, changed, opened, probes, state

from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallRefusedError, SettingsError
from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.verdict import Verdict

CALL = CallInfo(command="titles", context=CallContext(), endpoint="/title")


def test_it_stays_closed_below_the_minimum_of_calls() -> None:
    """Three failures out of three are too few to judge."""
    breaker = Breaker(SMALL)
    for _ in range(3):
        call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.CLOSED


def test_it_opens_at_the_share_of_failures() -> None:
    """Half of four calls failed: open, and nothing is admitted."""
    breaker = Breaker(SMALL)
    for fails in (False, True, False, True):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.admit(101.9) is None
    assert breaker.stats().short_circuited == 1


def test_a_success_that_completes_the_minimum_is_judged_too() -> None:
    """Three failures and then a success are 75 % of four."""
    breaker = Breaker(SMALL)
    for fails in (True, True, True, False):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.OPEN


def test_old_failures_leave_the_window() -> None:
    """What happened longer ago than the window counts no more."""
    breaker = Breaker(SMALL)
    for _ in range(3):
        call(breaker, 100.0, fails=True)
    for _ in range(3):
        call(breaker, 111.5, fails=False)
    call(breaker, 111.5, fails=True)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_calls == 4


def test_slow_calls_open_it_though_all_succeed() -> None:
    """Slow is longer than the limit, not as long as it."""
    breaker = Breaker(changed(SMALL, slow_call_s=1.0, slow_percent=75.0))
    for took_s in (1.5, 1.5, 1.0, 1.5):
        assert state(breaker) is BreakerState.CLOSED
        call(breaker, 100.0, fails=False, took_s=took_s)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.stats().window_slow == 3


def test_a_failure_may_be_slow_as_well() -> None:
    """Failed and slow are two rates over the same calls."""
    breaker = Breaker(changed(SMALL, slow_call_s=1.0, slow_percent=100.0, failure_percent=100.0))
    for fails in (True, False, True, True):
        call(breaker, 100.0, fails=fails, took_s=2.0)
    assert state(breaker) is BreakerState.OPEN


@pytest.mark.parametrize("verdict", [Verdict.IGNORED, Verdict.CANCELLED, Verdict.NOT_TRIED])
def test_what_says_nothing_of_the_callee_is_not_counted(verdict: Verdict) -> None:
    """Ignored, cancelled and untried calls are neither successes nor failures."""
    breaker = Breaker(SMALL)
    for _ in range(10):
        breaker.settle(admitted(breaker, 100.0), verdict, 100.0)
    assert breaker.stats().window_calls == 0


def test_refusals_further_in_count_where_that_is_asked_for() -> None:
    """With `counts_rejections` a full bulkhead opens the breaker; it is never slow."""
    breaker = Breaker(changed(SMALL, counts_rejections=True, slow_call_s=1.0))
    for _ in range(4):
        breaker.settle(admitted(breaker, 100.0), Verdict.NOT_TRIED, 100.0, 5.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.stats().window_slow == 0


def test_a_timeout_is_a_failure() -> None:
    """The callee that does not answer in time has not answered."""
    breaker = Breaker(SMALL)
    for _ in range(4):
        breaker.settle(admitted(breaker, 100.0), Verdict.TIMEOUT, 100.0)
    assert state(breaker) is BreakerState.OPEN


def test_it_stays_open_for_the_whole_open_time() -> None:
    """At the very end of it a call is still refused, a moment later one is let through."""
    breaker = opened()
    assert breaker.admit(102.0) is None
    assert breaker.admit(102.001) is not None
    assert state(breaker) is BreakerState.HALF_OPEN


def test_half_open_admits_no_more_than_its_permits() -> None:
    """However many callers wait for it, three go through."""
    assert len(probes(opened(), 102.1)) == 3


def test_good_probes_close_it_and_forget_the_past() -> None:
    """A closed breaker starts from an empty window."""
    breaker = opened()
    for probe in probes(breaker, 102.1)[:2]:
        breaker.settle(probe, Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_calls == 0


def test_bad_probes_open_it_again_from_now() -> None:
    """The wait starts anew."""
    breaker = opened()
    for probe in probes(breaker, 102.1)[:2]:
        breaker.settle(probe, Verdict.FAILURE, 103.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.admit(105.0) is None
    assert breaker.admit(105.1) is not None


def test_slow_probes_open_it_again() -> None:
    """A callee that answers, but slowly, is not well yet."""
    breaker = opened(changed(SMALL, slow_call_s=1.0, slow_percent=60.0))
    for probe in probes(breaker, 102.1)[:2]:
        breaker.settle(probe, Verdict.SUCCESS, 103.5, 1.4)
    assert state(breaker) is BreakerState.OPEN


def test_a_round_may_wait_for_all_its_results() -> None:
    """Without `decides_early` two good probes of three decide nothing."""
    breaker = opened(changed(SMALL, decides_early=False))
    first, second, third = probes(breaker, 102.1)
    breaker.settle(first, Verdict.SUCCESS, 102.2)
    breaker.settle(second, Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.settle(third, Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.CLOSED


def test_a_round_is_decided_at_the_smaller_of_minimum_and_permits() -> None:
    """Of ten permits with a minimum of four, four results decide."""
    breaker = opened(changed(SMALL, half_open_permits=10, decides_early=False))
    out = probes(breaker, 102.1)
    assert len(out) == 10
    for probe in out[:3]:
        breaker.settle(probe, Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.settle(out[3], Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.CLOSED


def test_a_call_from_before_says_nothing_to_a_half_open_breaker() -> None:
    """A call admitted while closed is no probe, whenever it ends (resilience4j#935 lacks this)."""
    breaker = Breaker(SMALL)
    slow = [admitted(breaker, 99.0) for _ in range(5)]
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    assert len(probes(breaker, 102.1)) == 3
    for permit in slow:
        breaker.settle(permit, Verdict.SUCCESS, 102.5)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.stats().stale_results == 5


def test_an_open_breaker_records_late_results_and_stays() -> None:
    """They go into the window that opened it, so that it shows the truth, and move nothing."""
    breaker = Breaker(SMALL)
    late = [admitted(breaker, 100.0) for _ in range(9)]
    for permit in late[:4]:
        breaker.settle(permit, Verdict.FAILURE, 100.0)
    for permit in late[4:]:
        breaker.settle(permit, Verdict.SUCCESS, 101.0)
    assert state(breaker) is BreakerState.OPEN
    assert (breaker.stats().window_calls, breaker.stats().window_failures) == (9, 4)
    assert breaker.stats().opened == 1


def test_a_refused_call_never_reopens_a_half_open_breaker() -> None:
    """Refusals under the probe's feet kept Hystrix open for ever (Hystrix#1853)."""
    breaker = opened()
    waiting = probes(breaker, 102.1)
    for _ in range(50):
        assert breaker.admit(102.1) is None
    for probe in waiting:
        breaker.settle(probe, Verdict.SUCCESS, 102.2)
    assert state(breaker) is BreakerState.CLOSED


@pytest.mark.parametrize("verdict", [Verdict.IGNORED, Verdict.CANCELLED, Verdict.NOT_TRIED])
def test_a_probe_without_a_verdict_gives_its_permit_back(verdict: Verdict) -> None:
    """It neither closes nor opens the breaker, and another may go."""
    breaker = opened(changed(SMALL, counts_rejections=True))
    for probe in probes(breaker, 102.1):
        breaker.settle(probe, verdict, 102.1)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert len(probes(breaker, 102.2)) == 3


def test_a_hung_probe_loses_its_permit_and_its_say() -> None:
    """A probe that never reports sticks nothing; reporting late it changes nothing."""
    breaker = opened()
    hung = probes(breaker, 102.5)
    assert breaker.admit(107.4) is None
    fresh = probes(breaker, 107.5)
    assert len(fresh) == 3
    for probe in hung:
        breaker.settle(probe, Verdict.FAILURE, 107.6)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.stats().expired_probes == 3
    for probe in fresh:
        breaker.settle(probe, Verdict.SUCCESS, 107.7)
    assert state(breaker) is BreakerState.CLOSED


def test_a_probe_reports_only_once() -> None:
    """Settling a permit twice counts once."""
    breaker = opened()
    probe = admitted(breaker, 102.1)
    breaker.settle(probe, Verdict.SUCCESS, 102.1)
    breaker.settle(probe, Verdict.SUCCESS, 102.1)
    assert state(breaker) is BreakerState.HALF_OPEN


@pytest.mark.parametrize("end", ["open", "closed"])
def test_a_round_that_is_never_decided_ends(end: str) -> None:
    """After `max_half_open_s` it goes where the configuration says."""
    breaker = opened(changed(SMALL, max_half_open_s=3.0, undecided_goes_to=end))
    probes(breaker, 102.5)
    breaker.tick(105.4)
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.tick(105.5)
    assert state(breaker) == end
    assert breaker.stats().undecided_rounds == 1


def test_it_turns_half_open_by_itself_if_asked_to() -> None:
    """A timer at `next_tick_s` finds the state changed though nobody called."""
    breaker = opened(changed(SMALL, automatic_half_open=True))
    assert breaker.next_tick_s == 102.0
    breaker.tick(102.1)
    assert state(breaker) is BreakerState.HALF_OPEN


def test_without_automatic_only_a_call_turns_it_half_open() -> None:
    """Time alone leaves it open."""
    breaker = opened()
    breaker.tick(500.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.next_tick_s == float("inf")


def test_as_a_gate_it_refuses_with_a_reason_and_a_time() -> None:
    """The error says why, and when asking again may help."""
    breaker = opened()
    with pytest.raises(CallRefusedError) as refused:
        breaker.enter(CALL, 100.5)
    assert refused.value.reason == "breaker_open"
    assert refused.value.retry_after_s == pytest.approx(1.5)
    probe = breaker.enter(CALL, 102.1)
    probes(breaker, 102.1)
    with pytest.raises(CallRefusedError) as refused:
        breaker.enter(CALL, 102.1)
    assert refused.value.reason == "breaker_half_open"
    breaker.leave(probe, Verdict.CANCELLED, now_s=102.2, took_s=0.1, error=None)
    assert breaker.enter(CALL, 102.3) is not probe


def test_as_a_gate_it_heeds_what_an_error_carries() -> None:
    """An error with `retry_after_s` keeps an opening breaker open for so long."""

    class BusyError(Exception):
        retry_after_s = 7.0

    breaker = Breaker(SMALL)
    for _ in range(4):
        ticket = breaker.enter(CALL, 100.0)
        breaker.leave(ticket, Verdict.FAILURE, now_s=100.0, took_s=0.0, error=BusyError())
    assert breaker.stats().reopens_s == 107.0


@pytest.mark.parametrize(
    "bad",
    [
        {"failure_percent": 0.0},
        {"failure_percent": 101.0},
        {"minimum_calls": 0},
        {"half_open_permits": 0},
        {"open_s": 0.0},
        {"window_s": float("nan")},
        {"probe_lease_s": -1.0},
        {"enforcing_percent": 101.0},
        {"slow_call_s": 0.0},
        {"open_factor": 0.5},
        {"ramp_s": -1.0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(bad: dict[str, float]) -> None:
    """A breaker that never opens or never closes is a mistake, said at the start."""
    with pytest.raises(SettingsError, match=next(iter(bad))):
        BreakerConfig(**bad)  # type: ignore[arg-type] # one bad field at a time
