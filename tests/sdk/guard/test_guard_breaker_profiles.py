"""The profiles of Hystrix and resilience4j, number for number, but for their known defects.

Two short oracles say what those libraries do: Hystrix's timer that sums the completed buckets, and
resilience4j's ring that is judged with every call.
"""

from random import Random
from typing import Final

import pytest
from tests.sdk.guard.breaking import admitted, call, changed, probes, state

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.config import BreakerConfig, CommandConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.tuning.profiles import hystrix, resilience4j
from breakwater.sdk.guard.verdict import Verdict


def breaker_of(profile: CommandConfig) -> BreakerConfig:
    """The breaker's part of a profile."""
    assert profile.breaker is not None
    return profile.breaker


HYSTRIX: Final = breaker_of(hystrix())
RESILIENCE4J: Final = breaker_of(resilience4j())


def failing(config: BreakerConfig, failures: int, successes: int, now_s: float) -> Breaker:
    """A breaker that saw so many calls at one moment."""
    breaker = Breaker(config)
    permit = admitted(breaker, now_s)
    for n in range(failures + successes):
        verdict = Verdict.SUCCESS if n < successes else Verdict.FAILURE
        breaker.settle(permit, verdict, now_s)
    return breaker


def hystrix_opened() -> Breaker:
    """Opened as of 1000.5 by twenty failures at 1000.1."""
    breaker = failing(HYSTRIX, 20, 0, 1000.1)
    assert breaker.admit(1000.5) is None
    return breaker


def test_hystrix_opens_at_the_end_of_the_interval_and_never_inside_a_call() -> None:
    """However many fail, the breaker stays closed until its half second is over."""
    breaker = failing(HYSTRIX, 100, 0, 1000.1)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.admit(1000.49) is not None
    assert breaker.admit(1000.5) is None
    assert state(breaker) is BreakerState.OPEN


def test_hystrix_sleeps_from_the_end_of_the_interval() -> None:
    """Opened as of 1000.5 though nobody came until later; strictly more than five seconds."""
    breaker = failing(HYSTRIX, 20, 0, 1000.1)
    assert breaker.admit(1004.0) is None
    assert breaker.stats().reopens_s == 1005.5
    assert breaker.admit(1005.5) is None
    assert breaker.admit(1005.501) is not None


def test_hystrix_sends_exactly_one_probe() -> None:
    """All others are short-circuited until it has reported."""
    breaker = hystrix_opened()
    assert len(probes(breaker, 1006.0)) == 1
    assert breaker.is_open


@pytest.mark.parametrize(
    ("failures", "successes", "opens"),
    [(19, 0, False), (10, 10, True), (99, 101, False), (100, 100, True), (9, 11, False)],
)
def test_hystrix_opens_from_twenty_calls_and_half_of_them(
    failures: int, successes: int, *, opens: bool
) -> None:
    """99 of 200 are 49 whole percent."""
    breaker = failing(HYSTRIX, failures, successes, 1000.1)
    assert (breaker.admit(1000.6) is None) == opens


def test_hystrix_cuts_percentages_to_whole_numbers() -> None:
    """29 of 100 are 28 in its arithmetic, for 0.29 * 100 is a little less than 29."""
    config = changed(HYSTRIX, failure_percent=29.0)
    assert failing(config, 29, 71, 1000.1).admit(1000.6) is not None
    assert failing(config, 30, 70, 1000.1).admit(1000.6) is None
    exact = changed(config, whole_percent=False)
    assert failing(exact, 29, 71, 1000.1).admit(1000.6) is None


def test_hystrix_counts_refusals_by_semaphore_and_pool_as_failures() -> None:
    """Its health counts hold every rejection; bad requests and cancellations are not in them."""
    breaker = Breaker(HYSTRIX)
    permit = admitted(breaker, 1000.1)
    for _ in range(20):
        breaker.settle(permit, Verdict.IGNORED, 1000.1)
        breaker.settle(permit, Verdict.CANCELLED, 1000.1)
    assert breaker.stats().window_calls == 0
    for _ in range(20):
        breaker.settle(permit, Verdict.NOT_TRIED, 1000.1)
    assert breaker.admit(1000.6) is None


def test_hystrix_forgets_all_when_the_probe_succeeds() -> None:
    """Its health stream starts from zero."""
    breaker = hystrix_opened()
    breaker.settle(admitted(breaker, 1006.0), Verdict.SUCCESS, 1006.1)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_calls == 0


def test_hystrix_opens_anew_when_the_probe_fails() -> None:
    """The sleep begins when the probe ended."""
    breaker = hystrix_opened()
    breaker.settle(admitted(breaker, 1006.0), Verdict.TIMEOUT, 1007.0)
    assert breaker.admit(1012.0) is None
    assert breaker.admit(1012.1) is not None


def test_hystrix_is_not_told_by_a_retry_after() -> None:
    """It has no such thing."""
    breaker = Breaker(HYSTRIX)
    permit = admitted(breaker, 1000.1)
    for _ in range(20):
        breaker.settle(permit, Verdict.FAILURE, 1000.1, 0.0, 50.0)
    breaker.tick(1000.5)
    assert breaker.stats().reopens_s == 1005.5


def test_calls_that_end_under_the_probe_do_not_reopen() -> None:
    """Hystrix#1853: any command that ended while half open flipped it back under its probe."""
    breaker = Breaker(HYSTRIX)
    late = admitted(breaker, 1000.1)
    for _ in range(20):
        breaker.settle(late, Verdict.FAILURE, 1000.1)
    probe = admitted(breaker, 1006.0)
    for _ in range(100):
        assert breaker.admit(1006.0) is None
        breaker.settle(late, Verdict.FAILURE, 1006.0)
        breaker.release(late)
    breaker.settle(probe, Verdict.SUCCESS, 1006.1)
    assert state(breaker) is BreakerState.CLOSED


def test_a_bad_request_of_the_probe_does_not_reopen() -> None:
    """Hystrix opened again though a bad request is no failure of the callee; here another goes."""
    breaker = hystrix_opened()
    breaker.settle(admitted(breaker, 1006.0), Verdict.IGNORED, 1006.1)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.admit(1006.2) is not None


def test_recovery_need_not_be_a_stampede() -> None:
    """Hystrix#1647: from nothing to everything at once; a ramp is one field away."""
    config = changed(HYSTRIX, ramp_s=10.0)
    breaker = failing(config, 20, 0, 1000.1)
    breaker.settle(admitted(breaker, 1006.0), Verdict.SUCCESS, 1006.0)
    assert len([n for n in range(100) if breaker.admit(1007.0) is not None]) <= 12


def hystrix_oracle(calls: list[tuple[float, bool]]) -> list[bool]:
    """Which calls Hystrix admits: a timer judges the last 20 completed buckets of 500 ms."""
    seen: list[tuple[float, bool]] = []
    opened_s: float | None = None
    told: list[bool] = []
    timer_s = 1000.5
    for now_s, fails in calls:
        while timer_s <= now_s:
            held = [failed for at_s, failed in seen if timer_s - 10.0 <= at_s < timer_s]
            if opened_s is None and len(held) >= 20 and int(sum(held) / len(held) * 100.0) >= 50:
                opened_s = timer_s
            timer_s += 0.5
        if opened_s is None:
            seen.append((now_s, fails))
            told.append(True)
        elif now_s > opened_s + 5.0:
            told.append(True)
            seen = seen if fails else []
            opened_s = now_s if fails else None
        else:
            told.append(False)
    return told


def r4j_oracle(calls: list[tuple[float, bool]]) -> list[bool]:
    """Which calls resilience4j admits: a ring of the last 100, then rounds of ten probes."""
    ring: list[bool] = []
    probing: list[bool] | None = None
    opened_s: float | None = None
    told: list[bool] = []
    for now_s, fails in calls:
        if opened_s is not None and now_s > opened_s + 60.0:
            probing, opened_s = [], None
        told.append(opened_s is None)
        if probing is not None:
            probing.append(fails)
            if len(probing) == 10:
                opened_s = now_s if sum(probing) * 10.0 >= 50.0 else None
                probing, ring = None, []
        elif opened_s is None:
            ring = [*ring, fails][-100:]
            if len(ring) == 100 and sum(ring) >= 50:
                opened_s = now_s
    return told


def admissions(config: BreakerConfig, calls: list[tuple[float, bool]]) -> list[bool]:
    """Which calls ours admits."""
    breaker = Breaker(config)
    told = []
    for now_s, fails in calls:
        permit = breaker.admit(now_s)
        told.append(permit is not None)
        if permit is not None:
            breaker.settle(permit, Verdict.FAILURE if fails else Verdict.SUCCESS, now_s)
    return told


def traffic(seed: int, count: int, jumps_s: tuple[float, ...]) -> list[tuple[float, bool]]:
    """Calls in phases of different health, at times that are exact in binary."""
    random = Random(seed)
    now_s = 1000.0
    calls: list[tuple[float, bool]] = []
    while len(calls) < count:
        share = random.choice((0.0, 0.3, 0.5, 0.6, 1.0))
        for _ in range(random.randrange(5, 120)):
            now_s += random.choice(jumps_s)
            calls.append((now_s, random.random() < share))
    return calls


@pytest.mark.parametrize("seed", range(12))
def test_hystrix_admits_what_its_timer_would(seed: int) -> None:
    """Call by call, through outages, recoveries and pauses."""
    calls = traffic(seed, 600, (0.0, 0.0625, 0.125, 0.25, 1.0, 3.0 if seed % 2 else 0.125))
    assert admissions(HYSTRIX, calls) == hystrix_oracle(calls)


@pytest.mark.parametrize("seed", range(12))
def test_resilience4j_admits_what_its_ring_would(seed: int) -> None:
    """Call by call, through outages, recoveries and pauses."""
    calls = traffic(seed, 900, (0.0, 0.0625, 1.0, 8.0 if seed % 2 else 0.5))
    assert admissions(RESILIENCE4J, calls) == r4j_oracle(calls)


def test_resilience4j_judges_the_hundredth_call() -> None:
    """Fifty failures among a hundred open it, also if the last one succeeds."""
    breaker = Breaker(RESILIENCE4J)
    for n in range(99):
        call(breaker, 1000.0, fails=n < 50)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 1000.0, fails=False)
    assert state(breaker) is BreakerState.OPEN


def test_resilience4j_waits_for_ten_probes() -> None:
    """Nine decide nothing; at half of them failed it is open again."""
    breaker = failing(RESILIENCE4J, 100, 0, 1000.0)
    assert breaker.admit(1060.0) is None
    out = probes(breaker, 1060.1)
    assert len(out) == 10
    for n, probe in enumerate(out):
        assert state(breaker) is BreakerState.HALF_OPEN
        breaker.settle(probe, Verdict.FAILURE if n < 5 else Verdict.SUCCESS, 1060.2)
    assert state(breaker) is BreakerState.OPEN


def test_resilience4j_calls_slow_what_took_longer_than_a_minute() -> None:
    """Strictly longer, and all of a hundred."""
    breaker = Breaker(RESILIENCE4J)
    for _ in range(99):
        call(breaker, 1000.0, fails=False, took_s=60.001)
    call(breaker, 1000.0, fails=False, took_s=60.0)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 1000.0, fails=False, took_s=60.001)
    for _ in range(99):
        call(breaker, 1000.0, fails=False, took_s=61.0)
    assert state(breaker) is BreakerState.OPEN


def test_resilience4j_does_not_count_refusals_further_in() -> None:
    """Its bulkhead stands beside the breaker, not in its books."""
    breaker = Breaker(RESILIENCE4J)
    for _ in range(200):
        breaker.settle(admitted(breaker, 1000.0), Verdict.NOT_TRIED, 1000.0)
    assert breaker.stats().window_calls == 0


def test_a_call_of_the_closed_time_is_no_probe() -> None:
    """resilience4j counts it among the probes; here it is stale."""
    breaker = Breaker(RESILIENCE4J)
    late = admitted(breaker, 1000.0)
    for _ in range(100):
        breaker.settle(late, Verdict.FAILURE, 1000.0)
    out = probes(breaker, 1061.0)
    for _ in range(10):
        breaker.settle(late, Verdict.FAILURE, 1061.0)
    assert state(breaker) is BreakerState.HALF_OPEN
    for probe in out:
        breaker.settle(probe, Verdict.SUCCESS, 1061.0)
    assert state(breaker) is BreakerState.CLOSED


def test_probes_that_never_report_do_not_stick_it() -> None:
    """resilience4j#935: ten lost permits kept it half open for ever."""
    breaker = failing(RESILIENCE4J, 100, 0, 1000.0)
    probes(breaker, 1061.0)
    fresh = probes(breaker, 1061.0 + RESILIENCE4J.probe_lease_s)
    assert len(fresh) == 10
    for probe in fresh:
        breaker.settle(probe, Verdict.SUCCESS, 1200.0)
    assert state(breaker) is BreakerState.CLOSED
