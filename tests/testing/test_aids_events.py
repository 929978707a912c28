"""The event recorder: what is asserted, and what a failed assertion shows."""

import pytest

from breakwater.sdk import BreakerConfig, BreakerState, CommandConfig, EventType, Kind, RetryConfig
from breakwater.testing import EventRecorder, Rehearsal, told

CONFIG = CommandConfig(
    breaker=BreakerConfig(minimum_calls=3),
    retry=RetryConfig(max_attempts=3, initial_s=1.0, jitter="none"),
)


@pytest.fixture
def recorder(rehearsal: Rehearsal) -> EventRecorder:
    """What happened to a call that failed three times and opened its breaker."""
    command = rehearsal.command("prices", CONFIG)
    kinds = (Kind.RETRY, Kind.RETRY_REFUSED, Kind.STATE, Kind.CALL)
    with rehearsal.recording(*kinds) as recorder, pytest.raises(OSError, match="down"):
        command.call_sync(rehearsal.dependency(then=OSError("down")))
    return recorder


def test_the_exact_sequence_can_be_asserted(recorder: EventRecorder) -> None:
    """By kind alone, or with what it says; an error by its class."""
    recorder.assert_sequence(
        told(Kind.RETRY, command="prices", attempt=2, delay_s=1.0),
        Kind.RETRY,
        told(Kind.STATE, old=BreakerState.CLOSED, state=BreakerState.OPEN),
        told(Kind.RETRY_REFUSED, error=OSError),
        told(Kind.CALL, attempts=3),
    )


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ([Kind.RETRY, told(Kind.RETRY, attempt=4)], "event 2 is not: retry attempt=4"),
        ([Kind.RETRY, Kind.RETRY], "there are 5 events, wanted 2"),
        (
            [Kind.RETRY, Kind.RETRY, Kind.STATE, Kind.RETRY_REFUSED, Kind.CALL, Kind.HEDGE],
            "after the last there is no: hedge",
        ),
    ],
)
def test_another_sequence_is_shown_with_the_difference(
    recorder: EventRecorder, wanted: list[Kind], complaint: str
) -> None:
    """First what is wrong, then all that happened, one event a line."""
    with pytest.raises(AssertionError) as raised:
        recorder.assert_sequence(*wanted)
    lines = str(raised.value).splitlines()
    assert lines[0] == complaint
    assert len(lines) == 6
    assert lines[1].startswith("   1  retry command=prices attempt=2 delay_s=1.0")


def test_an_order_can_be_asserted_with_gaps(recorder: EventRecorder) -> None:
    """Whatever lies between; each event serves once."""
    recorder.assert_in_order(Kind.RETRY, Kind.STATE, Kind.CALL)
    recorder.assert_in_order(Kind.RETRY, Kind.RETRY)
    with pytest.raises(AssertionError, match="there is no: retry after retry"):
        recorder.assert_in_order(Kind.RETRY, Kind.RETRY, Kind.RETRY)
    with pytest.raises(AssertionError, match="there is no: retry after state"):
        recorder.assert_in_order(Kind.STATE, Kind.RETRY)


def test_absence_can_be_asserted(recorder: EventRecorder) -> None:
    """No such event, or the place where it is."""
    recorder.assert_never(Kind.FALLBACK, told(Kind.RETRY, attempt=4), told(Kind.CALL, command="x"))
    with pytest.raises(AssertionError, match="event 3 is: state"):
        recorder.assert_never(Kind.STATE)


def test_events_can_be_looked_through(recorder: EventRecorder) -> None:
    """By kind and command, as they are, and forgotten."""
    assert [event.details()["attempt"] for event in recorder.of(Kind.RETRY)] == [2, 3]
    assert recorder.of(Kind.RETRY, command="other") == []
    failed = (EventType.FAILURE,) * 3
    ended = (*failed, EventType.FALLBACK_MISSING, EventType.EXCEPTION_THROWN)
    assert recorder.of(Kind.CALL)[0].outcome == ended
    recorder.assert_in_order(told(Kind.CALL, outcome=ended))
    recorder.clear()
    assert recorder.events == ()
    with pytest.raises(AssertionError, match="no event at all"):
        recorder.assert_in_order(Kind.CALL)


def test_outside_the_block_nothing_is_recorded(rehearsal: Rehearsal) -> None:
    """The hook is taken back, and the registry is as fast as before."""
    command = rehearsal.command("prices")
    with rehearsal.recording() as recorder:
        command.call_sync(lambda: 1)
    command.call_sync(lambda: 1)
    assert recorder.kinds.count(Kind.CALL) == 1
    assert rehearsal.guards.hooks.wanted == frozenset()
