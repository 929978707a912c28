"""The states by order, the modes, live configuration, and what listeners are told."""

from collections.abc import Callable
from itertools import product
from typing import Final

import pytest
from tests.sdk.guard.breaking import SMALL, admitted, call, changed, opened, probes, state

from breakwater.sdk.errors import IllegalTransitionError
from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.reports import BreakerEvent
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState, Kind
from breakwater.sdk.guard.verdict import Verdict

ILLEGAL: Final = {
    ("closed", "half_open"),
    ("metrics_only", "open"),
    ("metrics_only", "half_open"),
}


def in_state(start: BreakerState, told: Callable[[BreakerEvent], None] | None = None) -> Breaker:
    """A breaker that was ordered there."""
    breaker = Breaker(SMALL, listener=told)
    if start is BreakerState.HALF_OPEN:
        breaker.transition_to(BreakerState.OPEN, 100.0)
    breaker.transition_to(start, 100.0)
    return breaker


@pytest.mark.parametrize(("old", "new"), list(product(BreakerState, BreakerState)))
def test_thirty_three_of_thirty_six_transitions_are_legal(
    old: BreakerState, new: BreakerState
) -> None:
    """A state may follow itself; the three others are refused by an error that names both."""
    breaker = in_state(old)
    if (old, new) in ILLEGAL:
        with pytest.raises(IllegalTransitionError, match=f"(?s){old} .*{new}"):
            breaker.transition_to(new, 101.0)
        assert state(breaker) is old
    else:
        breaker.transition_to(new, 101.0)
        assert state(breaker) is new


def test_the_order_of_the_states_is_that_of_resilience4j() -> None:
    """Dashboards know them by number."""
    words = "closed open half_open disabled forced_open metrics_only".split()
    assert list(BreakerState) == words


def test_a_state_that_follows_itself_starts_anew() -> None:
    """Closed forgets its window, open waits again, half open gives out its permits again."""
    breaker = in_state(BreakerState.CLOSED)
    call(breaker, 100.0, fails=True)
    breaker.transition_to(BreakerState.CLOSED, 100.0)
    assert breaker.stats().window_calls == 0
    breaker = opened()
    breaker.transition_to(BreakerState.OPEN, 101.0)
    assert breaker.admit(103.0) is None
    assert len(probes(breaker, 103.1)) == 3
    breaker.transition_to(BreakerState.HALF_OPEN, 103.2)
    assert len(probes(breaker, 103.2)) == 3


def test_open_by_order_lasts_as_long_as_ordered() -> None:
    """The operator's time stands in for the configured one."""
    breaker = Breaker(SMALL)
    breaker.transition_to(BreakerState.OPEN, 100.0, for_s=30.0)
    assert breaker.admit(130.0) is None
    assert breaker.admit(130.1) is not None


def test_disabled_lets_all_through_and_records_nothing() -> None:
    """A thousand failures leave no trace."""
    breaker = Breaker(changed(SMALL, mode="disabled"))
    for _ in range(1000):
        call(breaker, 100.0, fails=True)
    breaker.record_successes(5, 100.0)
    assert state(breaker) is BreakerState.DISABLED
    assert breaker.stats().window_calls == 0


def test_forced_open_refuses_all_for_ever() -> None:
    """No time ends it, and nothing of it is a shadow refusal."""
    breaker = Breaker(changed(SMALL, mode="forced_open", enforcing_percent=0.0))
    assert breaker.admit(100.0) is None
    assert breaker.admit(1e9) is None
    assert breaker.refusal(100.0).reason == "breaker_forced_open"
    assert breaker.stats().short_circuited == 2
    assert breaker.is_open


def test_forced_closed_records_and_never_opens() -> None:
    """Taken back, the next failure opens it by what was recorded."""
    breaker = Breaker(changed(SMALL, mode="forced_closed"))
    for _ in range(10):
        call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_failures == 10
    breaker.configure(SMALL, 100.0)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_forced_closed_closes_an_open_breaker() -> None:
    """The operator's word ends the refusals at once."""
    breaker = opened()
    breaker.configure(changed(SMALL, mode="forced_closed"), 100.5)
    assert breaker.admit(100.5) is not None


def test_metrics_only_never_refuses_and_tells_each_rate_once() -> None:
    """Two events in all, however long both rates stay exceeded."""
    told: list[BreakerEvent] = []
    config = changed(SMALL, mode="metrics_only", slow_call_s=1.0, slow_percent=50.0)
    breaker = Breaker(config, listener=told.append)
    for _ in range(50):
        call(breaker, 100.0, fails=True, took_s=2.0)
    assert [(event.kind, event.reason) for event in told] == [
        (Kind.RATE_EXCEEDED, "failure_rate"),
        (Kind.RATE_EXCEEDED, "slow_rate"),
    ]
    assert told[0].failure_percent == 100.0
    breaker.transition_to(BreakerState.METRICS_ONLY, 100.0)
    for _ in range(50):
        call(breaker, 100.0, fails=True)
    assert [event.reason for event in told[2:]] == ["failure_rate"]


def test_a_listener_is_told_of_every_move() -> None:
    """From first failure to recovery, in order, with what was judged and for how long."""
    told: list[BreakerEvent] = []
    breaker = opened(listener=told.append)
    for probe in probes(breaker, 103.0):
        breaker.settle(probe, Verdict.SUCCESS, 103.5)
    found = [(event.kind, event.old, event.state, event.reason) for event in told]
    assert found == [
        (Kind.RATE_EXCEEDED, "closed", "closed", "failure_rate"),
        (Kind.STATE, "closed", "open", "failure_rate"),
        (Kind.STATE, "open", "half_open", "wait_over"),
        (Kind.STATE, "half_open", "closed", "probes_passed"),
        (Kind.STALE_RESULT, "closed", "closed", ""),
    ]
    assert [event.serial for event in told] == [1, 2, 3, 4, 5]
    assert (told[1].calls, told[1].failure_percent, told[1].open_s) == (4, 100.0, 2.0)


def test_expired_probes_are_told() -> None:
    """An event says how many leases ran out."""
    told: list[BreakerEvent] = []
    breaker = opened(listener=told.append)
    probes(breaker, 103.0)
    breaker.tick(110.0)
    assert (told[-1].kind, told[-1].calls) == (Kind.PROBE_EXPIRED, 3)


def test_a_state_that_follows_itself_is_no_event() -> None:
    """Nothing moved that a listener could see."""
    told: list[BreakerEvent] = []
    breaker = Breaker(SMALL, listener=told.append)
    breaker.transition_to(BreakerState.CLOSED, 100.0)
    breaker.reset(100.0)
    assert told == []


@pytest.mark.parametrize("quiet", [BreakerState.DISABLED, BreakerState.FORCED_OPEN])
def test_disabled_and_forced_open_tell_only_their_transitions(quiet: BreakerState) -> None:
    """Late results are counted there, but are no news."""
    told: list[BreakerEvent] = []
    breaker = Breaker(SMALL, listener=told.append)
    permit = admitted(breaker, 100.0)
    breaker.transition_to(quiet, 100.0)
    breaker.settle(permit, Verdict.FAILURE, 100.0)
    assert [event.kind for event in told] == [Kind.STATE]
    assert breaker.stats().stale_results == 1


def test_a_listener_that_raises_breaks_no_call() -> None:
    """Its errors are counted, and nothing else changes."""

    def broken(event: BreakerEvent) -> None:
        raise RuntimeError(event.reason)

    breaker = opened(listener=broken)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.stats().listener_errors == 2


def test_a_listener_may_use_the_breaker() -> None:
    """No lock is held while it runs: it may even order another state."""
    seen: list[str] = []

    def overrule(event: BreakerEvent) -> None:
        seen.append(event.state)
        if event.kind is Kind.STATE and event.state is BreakerState.OPEN:
            breaker.transition_to(BreakerState.METRICS_ONLY, event.at_s)

    breaker = Breaker(SMALL, listener=overrule)
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    assert seen == ["closed", "open", "metrics_only"]


def test_reset_forgets_all_but_the_counters() -> None:
    """It is closed, empty, and its open time starts over."""
    breaker = opened(changed(SMALL, open_factor=3.0))
    breaker.reset(100.5)
    found = breaker.stats()
    assert (found.state, found.window_calls, found.opening, found.opened) == ("closed", 0, 0, 1)


def test_a_changed_mode_moves_the_state() -> None:
    """And taken back, it starts closed."""
    breaker = opened()
    moves: list[tuple[BreakerConfig, str]] = [
        (changed(SMALL, mode="metrics_only"), "metrics_only"),
        (changed(SMALL, mode="forced_open"), "forced_open"),
        (changed(SMALL, mode="disabled"), "disabled"),
        (SMALL, "closed"),
    ]
    for config, found in moves:
        breaker.configure(config, 100.5)
        assert state(breaker) == found


def test_a_state_by_order_outlives_a_configuration_of_the_same_mode() -> None:
    """Pushing another threshold does not undo the operator."""
    breaker = Breaker(SMALL)
    breaker.transition_to(BreakerState.FORCED_OPEN, 100.0)
    breaker.configure(changed(SMALL, minimum_calls=9), 101.0)
    assert state(breaker) is BreakerState.FORCED_OPEN


def test_a_shorter_open_time_counts_from_the_opening() -> None:
    """An operator who shortens the wait need not wait for the old one."""
    breaker = opened(changed(SMALL, open_s=60.0))
    breaker.configure(changed(SMALL, open_s=5.0), 101.0)
    assert breaker.admit(105.0) is None
    assert breaker.admit(105.1) is not None


def test_a_window_of_the_same_shape_keeps_its_counts() -> None:
    """A changed threshold judges what was already seen; a changed window starts empty."""
    breaker = Breaker(SMALL)
    for _ in range(3):
        call(breaker, 100.0, fails=True)
    breaker.configure(changed(SMALL, minimum_calls=2), 100.0)
    assert breaker.stats().window_calls == 3
    assert breaker.needs_each_success
    call(breaker, 100.0, fails=False)
    assert state(breaker) is BreakerState.OPEN
    breaker.reset(100.0)
    call(breaker, 100.0, fails=True)
    breaker.configure(changed(SMALL, window="count"), 100.0)
    assert breaker.stats().window_calls == 0


def test_new_terms_of_a_round_start_it_anew() -> None:
    """Fewer permits than are out can neither stick it nor let old probes decide."""
    breaker = opened()
    old = probes(breaker, 103.0)
    breaker.configure(changed(SMALL, half_open_permits=1), 103.0)
    fresh = probes(breaker, 103.1)
    assert len(fresh) == 1
    for probe in old:
        breaker.settle(probe, Verdict.FAILURE, 103.2)
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.settle(fresh[0], Verdict.SUCCESS, 103.3)
    assert state(breaker) is BreakerState.CLOSED


def test_other_changes_leave_a_round_alone() -> None:
    """A probe that went out under the old configuration still decides under the new one."""
    breaker = opened()
    out = probes(breaker, 103.0)
    breaker.configure(changed(SMALL, open_s=9.0), 103.0)
    for probe in out:
        breaker.settle(probe, Verdict.SUCCESS, 103.1)
    assert state(breaker) is BreakerState.CLOSED
