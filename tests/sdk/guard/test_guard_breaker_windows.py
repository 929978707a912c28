"""The windows of the breaker, and the law that kept successes move it as single ones would."""

from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.guard.breaking import SMALL, admitted, call, changed, state

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.reports import BreakerEvent
from breakwater.sdk.guard.breaking.rule import closed_rule
from breakwater.sdk.guard.breaking.window import CountWindow, RunWindow, TimeWindow
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.verdict import Verdict

COUNTED: Final = changed(SMALL, window="count", window_calls=4)


def test_a_window_counted_in_calls_forgets_the_oldest_call() -> None:
    """With a window of four calls, time plays no part."""
    breaker = Breaker(COUNTED)
    for fails in (True, False, False, False, False, True):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 9999.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_a_count_window_never_waits_for_more_calls_than_it_holds() -> None:
    """A minimum of a hundred calls is four where the window holds four."""
    breaker = Breaker(changed(COUNTED, minimum_calls=100))
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_a_time_window_waits_for_the_whole_minimum() -> None:
    """Nothing bounds the calls in ten seconds, so nothing bounds the minimum."""
    breaker = Breaker(changed(SMALL, minimum_calls=100))
    for _ in range(99):
        call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_failures_in_a_row_open_it_and_one_success_ends_the_row() -> None:
    """Neither a minimum nor a share plays a part."""
    breaker = Breaker(changed(SMALL, window="consecutive", window_calls=3, minimum_calls=50))
    for fails in (True, True, False, True, True):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_slow_calls_in_a_row_open_it_too() -> None:
    """A run of slow answers is a run of its own."""
    config = changed(SMALL, window="consecutive", window_calls=3, slow_call_s=1.0)
    breaker = Breaker(config)
    for fails in (False, True, False):
        assert state(breaker) is BreakerState.CLOSED
        call(breaker, 100.0, fails=fails, took_s=1.1)
    assert state(breaker) is BreakerState.OPEN


def test_an_idle_window_holds_no_slots() -> None:
    """Thousands of idle commands cost next to nothing."""
    assert TimeWindow(1.0, 600)._all == []
    assert len(CountWindow(100_000)._ring) == 0


def test_a_late_record_goes_into_the_bucket_of_its_own_time() -> None:
    """It leaves with that bucket; one that is later than the window is left out."""
    window = TimeWindow(1.0, 3)
    window.add(failed=True, slow=False, at_s=12.5)
    window.add_successes(5, 11.2)
    window.add_successes(7, 9.9)
    assert (window.total, window.failed) == (6, 1)
    window.advance(14.0)
    assert (window.total, window.failed) == (1, 1)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 9),
)
def test_a_count_window_holds_the_last_results(
    runs: list[tuple[int, bool, bool]], size: int
) -> None:
    """However many successes come at a time, the totals are those of the last `size` results."""
    window = CountWindow(size)
    row = RunWindow(size)
    seen: list[tuple[bool, bool]] = []
    for successes, failed, slow in runs:
        if successes:
            window.add_successes(successes, 0.0)
            row.add_successes(successes, 0.0)
        window.add(failed=failed, slow=slow, at_s=0.0)
        row.add(failed=failed, slow=slow, at_s=0.0)
        seen += [(False, False)] * successes + [(failed, slow)]
        held = seen[-size:]
        assert window.total == len(held)
        assert window.failed == sum(failed for failed, _ in held)
        assert window.slow == sum(slow for _, slow in held)
        run = next((n for n, (bad, _) in enumerate(reversed(seen)) if not bad), len(seen))
        assert row.failed == min(run, size)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, 9.0]), st.integers(0, 9), st.booleans()),
        max_size=60,
    )
)
def test_a_time_window_holds_the_last_buckets(steps: list[tuple[float, int, bool]]) -> None:
    """Totals are those of the results in the present bucket and the ones before it.

    The slack is the least there will be while they leave one by one.
    """
    window = TimeWindow(0.5, 4)
    rule = closed_rule(SMALL)
    now_s = 100.0
    seen: list[tuple[int, bool]] = []
    for jump_s, successes, failed in steps:
        now_s += jump_s
        if successes:
            window.add_successes(successes, now_s)
        window.add(failed=failed, slow=False, at_s=now_s)
        tick = int(now_s * 2.0)
        seen += [(tick, False)] * successes + [(tick, failed)]
        held = [bad for at, bad in seen if at > tick - 4]
        assert (window.total, window.failed) == (len(held), sum(held))
        least = rule.failure_share * rule.minimum
        for passed in range(4):
            left = [late for at, late in seen if tick - 4 + passed < at]
            least = min(least, rule.slack(len(left), sum(left), 0))
        assert window.slack(rule) == pytest.approx(least)


class KeepingCaller:
    """A caller that does what the fast road does: it keeps successes while it may."""

    def __init__(self, config: BreakerConfig) -> None:
        self.told: list[BreakerEvent] = []
        self.breaker = Breaker(config, listener=self.told.append)
        self.kept = 0
        self.kept_s = 0.0

    def fold(self) -> None:
        """Hand over what was kept."""
        kept, self.kept = self.kept, 0
        self.breaker.record_successes(kept, self.kept_s)

    def call(self, now_s: float, verdict: Verdict, took_s: float) -> bool:
        """One call from beginning to end; whether it was admitted."""
        breaker = self.breaker
        permit = breaker.closed_permit
        if permit is None:
            self.fold()
            permit = breaker.admit(now_s)
            if permit is not None:
                breaker.settle(permit, verdict, now_s, took_s)
            return permit is not None
        if verdict is not Verdict.SUCCESS or took_s > breaker.slow_s:
            self.fold()
            breaker.settle(permit, verdict, now_s, took_s)
        elif now_s >= breaker.turn_s:
            self.fold()
            breaker.tick(now_s)
            if breaker.closed_permit is not permit or breaker.needs_each_success:
                breaker.settle(permit, verdict, now_s, took_s)
            else:
                self.kept, self.kept_s = 1, now_s
        else:
            self.kept += 1
            self.kept_s = now_s
        return True


def keeps_like_single(config: BreakerConfig, calls: list[tuple[float, Verdict, float]]) -> None:
    """Both callers are admitted alike, and both breakers move alike and at the same time."""
    keeping = KeepingCaller(config)
    told: list[BreakerEvent] = []
    single = Breaker(config, listener=told.append)
    now_s = 1000.0
    for jump_s, verdict, took_s in calls:
        now_s += jump_s
        permit = single.admit(now_s)
        if permit is not None:
            single.settle(permit, verdict, now_s, took_s)
        assert keeping.call(now_s, verdict, took_s) == (permit is not None)
        assert keeping.breaker.state is single.state
    keeping.fold()
    assert keeping.told == told


CONFIGS = st.builds(
    BreakerConfig,
    mode=st.sampled_from(["enabled", "enabled", "enabled", "metrics_only"]),
    window=st.sampled_from(["time", "count", "consecutive"]),
    window_s=st.sampled_from([1.0, 2.0, 4.0]),
    buckets=st.sampled_from([1, 2, 4]),
    window_calls=st.integers(1, 8),
    minimum_calls=st.integers(1, 8),
    failure_percent=st.sampled_from([1.0, 20.0, 33.3, 50.0, 75.0, 100.0]),
    slow_call_s=st.sampled_from([None, 1.0]),
    slow_percent=st.sampled_from([30.0, 60.0, 100.0]),
    whole_percent=st.booleans(),
    judge=st.sampled_from(["each_call", "each_call", "interval"]),
    judge_every_s=st.sampled_from([0.25, 0.5]),
    open_s=st.sampled_from([0.25, 1.0]),
    half_open_permits=st.integers(1, 3),
    ramp_s=st.sampled_from([0.0, 1.0]),
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.125, 0.25, 0.5, 1.0, 3.0]),
        st.sampled_from([*[Verdict.SUCCESS] * 4, Verdict.FAILURE, Verdict.FAILURE]),
        st.sampled_from([0.0, 0.0, 0.0, 2.0]),
    ),
    max_size=80,
)


@given(CONFIGS, CALLS)
@settings(max_examples=60, deadline=None)
def test_kept_successes_move_it_like_single_ones(
    config: BreakerConfig, calls: list[tuple[float, Verdict, float]]
) -> None:
    """Handing successes over together changes no admission, no transition and no event."""
    keeps_like_single(config, calls)


def test_kept_successes_move_it_like_single_ones_in_long_runs() -> None:
    """The same for many short bursts of failures between long runs of successes."""
    for seed in range(60):
        random = Random(seed)
        config = changed(
            SMALL,
            window=random.choice(["time", "count", "consecutive"]),
            window_calls=random.choice([2, 5, 20]),
            window_s=2.0,
            buckets=4,
            judge=random.choice(["each_call", "interval"]),
            minimum_calls=random.choice([2, 10]),
            open_s=0.5,
        )
        calls = []
        for _ in range(12):
            bad = random.random() < 0.5
            for _ in range(random.randrange(12)):
                verdict = Verdict.FAILURE if bad and random.random() < 0.7 else Verdict.SUCCESS
                calls.append((random.choice((0.0, 0.0, 0.125, 0.5)), verdict, 0.0))
        keeps_like_single(config, calls)


def test_a_healthy_closed_breaker_needs_no_success_at_once() -> None:
    """Without failures, or with too few to matter, successes may be kept."""
    breaker = Breaker(changed(SMALL, minimum_calls=20, slow_call_s=1.5))
    assert (breaker.needs_each_success, breaker.slow_s) == (False, 1.5)
    for _ in range(9):
        call(breaker, 100.0, fails=True)
    assert not breaker.needs_each_success
    call(breaker, 100.0, fails=True)
    assert (breaker.needs_each_success, breaker.slow_s) == (True, -1.0)
    breaker.record_successes(11, 100.0)
    assert not breaker.needs_each_success


def test_the_turn_is_the_end_of_the_present_bucket() -> None:
    """`tick` moves it on; a window counted in calls has none."""
    breaker = Breaker(SMALL)
    breaker.tick(100.3)
    assert breaker.turn_s == 101.0
    breaker.tick(107.0)
    assert breaker.turn_s == 108.0
    assert Breaker(COUNTED).turn_s == float("inf")


def test_a_failure_in_a_later_bucket_moves_the_turn_on() -> None:
    """Also while nothing can be exceeded and no rate is worked out."""
    breaker = Breaker(changed(SMALL, minimum_calls=50))
    call(breaker, 100.3, fails=True)
    call(breaker, 105.2, fails=True)
    assert breaker.turn_s == 106.0


def test_successes_handed_over_late_are_judged_where_they_complete_the_minimum() -> None:
    """Two failures and two of five successes are half of four calls, if seven are less."""
    breaker = Breaker(SMALL)
    for _ in range(2):
        call(breaker, 100.0, fails=True)
    breaker.record_successes(5, 100.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.stats().window_calls == 7


def test_successes_of_a_gone_epoch_are_stale() -> None:
    """Kept successes that are handed over while half open belong to no window."""
    breaker = Breaker(SMALL)
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    admitted(breaker, 102.5)
    breaker.record_successes(3, 102.6)
    assert breaker.stats().stale_results == 3
    assert state(breaker) is BreakerState.HALF_OPEN
