"""Events as typed hooks: a class for each kind, told to whoever wants the class."""

import pytest
from tests.sdk.guard.commanding import NO_WAIT, BackendError, fail, guards_of

from breakwater.sdk import BreakerConfig, BreakerState, CommandConfig, Event, Kind, StateChanged
from breakwater.sdk.guard import AttemptEnded, BreakerTold, CallEnded, RetryMade, RetryRefused
from breakwater.sdk.guard.events import EVENTS
from breakwater.testing import FakeClock


def test_every_kind_has_one_class() -> None:
    """So that a hook may be told what it will be given."""
    assert sorted(each.kind for each in EVENTS) == sorted(Kind)


def test_a_hook_of_a_class_hears_that_class_alone(clock: FakeClock) -> None:
    """Several classes that share one are heard by a hook of the shared one."""
    guards = guards_of(clock)
    states: list[StateChanged] = []
    told: list[BreakerTold] = []
    guards.hooks.on(StateChanged, states.append)
    guards.hooks.on(BreakerTold, told.append)
    command = guards.command("rank", CommandConfig(breaker=BreakerConfig(minimum_calls=1)))
    with pytest.raises(BackendError):
        command.call_sync(fail)
    assert [(one.old, one.state) for one in states] == [(BreakerState.CLOSED, BreakerState.OPEN)]
    assert [one.kind for one in told] == [Kind.RATE_EXCEEDED, Kind.STATE]
    assert told[0].failure_percent == 100.0
    assert states[0].open_s == 2.0


def test_an_event_says_what_its_kind_knows(clock: FakeClock) -> None:
    """In fields of its own; the shared ones are the same for all."""
    guards = guards_of(clock)
    heard: list[Event] = []
    guards.hooks.on(Event, heard.append)
    command = guards.command("rank", CommandConfig(retry=NO_WAIT), group="home")
    with pytest.raises(BackendError) as raised:
        command.call_sync(fail)
    retries = [one for one in heard if isinstance(one, RetryMade)]
    assert [(one.attempt, one.delay_s) for one in retries] == [(2, 0.0), (3, 0.0)]
    assert {(one.command, one.group, one.at_ms) for one in heard} == {
        ("rank", "home", clock.now_ms())
    }
    refused = next(one for one in heard if isinstance(one, RetryRefused))
    assert refused.details() == {"attempt": 3, "reason": "attempts", "error": raised.value}
    attempts = [one.attempt for one in heard if isinstance(one, AttemptEnded)]
    assert attempts == [1, 2, 3]
    ended = heard[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.attempts, ended.error) == (3, raised.value)


def test_a_typed_hook_can_be_taken_back(clock: FakeClock) -> None:
    """What nobody wants is not put together."""
    guards = guards_of(clock)
    heard: list[RetryMade] = []
    guards.hooks.on(RetryMade, heard.append)
    assert guards.hooks.wanted == {Kind.RETRY}
    guards.hooks.remove(heard.append)
    assert not guards.hooks.wanted
