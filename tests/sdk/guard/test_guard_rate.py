"""The rate limiter: exact in every stretch, reserved turns, nothing lost to calls not made."""

import threading
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk import CallRefusedError
from breakwater.sdk.context import CallContext
from breakwater.sdk.guard.config import CommandConfig, RateConfig
from breakwater.sdk.guard.gate import CallInfo, Delay, Ticket
from breakwater.sdk.guard.limiting.rate import RateLimiter, Turn
from breakwater.sdk.guard.tuning.keys import laid
from breakwater.sdk.guard.verdict import Verdict

CALL = CallInfo(command="search", context=CallContext())
ScheduleName = Literal["window", "gcra", "cycle"]


def enter(rate: RateLimiter, now_s: float) -> float | None:
    """Seconds to wait for a turn, None if refused."""
    try:
        entered = rate.enter(CALL, now_s)
    except CallRefusedError:
        return None
    return entered.seconds if isinstance(entered, Delay) else 0.0


def ticket(rate: RateLimiter, now_s: float) -> Turn:
    """The ticket of a call that is let in, now or later."""
    entered = rate.enter(CALL, now_s)
    found: Ticket = entered.ticket if isinstance(entered, Delay) else entered
    assert isinstance(found, Turn)
    return found


def leave(rate: RateLimiter, turn: Ticket, verdict: Verdict, now_s: float) -> None:
    """The call of that ticket ended."""
    rate.leave(turn, verdict, now_s=now_s, took_s=0.0, error=None)


def rate(schedule: ScheduleName = "window", **settings: Any) -> RateLimiter:
    """A limiter of two calls a second unless told otherwise."""
    return RateLimiter(RateConfig(**{"calls": 2, "per_s": 1.0, "schedule": schedule, **settings}))


@given(
    st.lists(st.floats(0, 3), max_size=80),
    st.integers(1, 6),
    st.floats(0, 4),
)
def test_no_stretch_holds_more_than_its_calls(
    gaps: list[float], calls: int, max_wait_s: float
) -> None:
    """Of the schedule `window`, any `calls` + 1 turns in a row span at least per_s."""
    limiter = rate(calls=calls, max_wait_s=max_wait_s)
    now_s, turns = 0.0, []
    for gap_s in gaps:
        now_s += gap_s / 4
        wait_s = enter(limiter, now_s)
        if wait_s is not None:
            assert wait_s <= max_wait_s
            turns.append(now_s + wait_s)
    turns.sort()
    for first, later in zip(turns, turns[calls:], strict=False):
        assert later - first >= 1.0 - 1e-9


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from([None, *Verdict])),
        max_size=80,
    ),
    st.sampled_from(["window", "gcra"]),
    st.floats(0, 4),
)
def test_turns_given_back_never_lead_to_more_calls(
    steps: list[tuple[float, Verdict | None]], schedule: ScheduleName, max_wait_s: float
) -> None:
    """Whatever is cancelled or not tried, turns that are used keep to the rate."""
    limiter = rate(schedule, calls=3, burst=3, max_wait_s=max_wait_s)
    now_s, used = 0.0, []
    for gap_s, verdict in steps:
        now_s += gap_s / 4
        try:
            turn = ticket(limiter, now_s)
        except CallRefusedError:
            continue
        at_s = max(turn.turn_s, now_s)
        is_unused = verdict is Verdict.NOT_TRIED or (
            verdict is Verdict.CANCELLED and turn.turn_s > now_s
        )
        if verdict is not None:
            if not is_unused and turn.turn_s > now_s:
                now_s = turn.turn_s
            leave(limiter, turn, verdict, now_s)
        if not is_unused:
            used.append(at_s)
    used.sort()
    reach = 3 if schedule == "window" else 6
    for first, later in zip(used, used[reach:], strict=False):
        assert later - first >= 1.0 - 1e-9


def test_a_turn_is_reserved_and_waited_for() -> None:
    """Within max_wait_s the caller gets the exact wait; nobody gets the same turn."""
    limiter = rate(max_wait_s=1.5)
    assert [enter(limiter, 10.0) for _ in range(5)] == [0.0, 0.0, 1.0, 1.0, None]
    assert enter(limiter, 10.5) == 1.5
    assert limiter.stats().at_once == 2
    assert limiter.stats().after_wait == 3
    assert limiter.stats().refused == 1


def test_a_refusal_says_when_to_come_again() -> None:
    """The error names the limit and the seconds until the next turn."""
    limiter = rate()
    enter(limiter, 0.0)
    enter(limiter, 0.25)
    with pytest.raises(CallRefusedError) as refused:
        limiter.enter(CALL, 0.5)
    assert refused.value.reason == "rate_limited"
    assert refused.value.limit == 2
    assert refused.value.retry_after_s == pytest.approx(0.5)


@pytest.mark.parametrize("schedule", ["window", "gcra", "cycle"])
def test_a_call_that_was_not_made_uses_up_nothing(schedule: ScheduleName) -> None:
    """An open breaker behind the limiter does not empty it."""
    limiter = rate(schedule)
    for _ in range(100):
        leave(limiter, ticket(limiter, 0.0), Verdict.NOT_TRIED, 0.0)
    assert [enter(limiter, 0.0) for _ in range(3)] == [0.0, 0.0, None]


@pytest.mark.parametrize("schedule", ["window", "gcra", "cycle"])
@pytest.mark.parametrize("verdict", [Verdict.CANCELLED, Verdict.FAILURE, Verdict.SUCCESS])
def test_a_call_that_was_made_counts_however_it_ended(
    schedule: ScheduleName, verdict: Verdict
) -> None:
    """A cancelled call has reached the callee all the same."""
    limiter = rate(schedule)
    for _ in range(2):
        leave(limiter, ticket(limiter, 0.0), verdict, 0.1)
    assert enter(limiter, 0.2) is None


@pytest.mark.parametrize("schedule", ["window", "gcra", "cycle"])
def test_a_turn_given_back_goes_to_the_next(schedule: ScheduleName) -> None:
    """Who leaves before his time leaves his place, not a gap."""
    limiter = rate(schedule, calls=1, max_wait_s=5.0)
    waits = [ticket(limiter, 0.0) for _ in range(3)]
    assert [turn.turn_s for turn in waits] == pytest.approx([0.0, 1.0, 2.0])
    leave(limiter, waits[1], Verdict.CANCELLED, 0.5)
    assert ticket(limiter, 0.75).turn_s == pytest.approx(1.0)
    assert ticket(limiter, 0.75).turn_s == pytest.approx(3.0)


def test_gcra_spaces_calls_evenly_after_a_burst() -> None:
    """A burst of two at once, then one each half second."""
    limiter = rate("gcra", burst=2, max_wait_s=10.0)
    waits = [enter(limiter, 0.0) for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5])


def test_cycles_refill_at_once_and_reserve_ahead() -> None:
    """Two in each period of one second; the fifth goes with the period after the next."""
    limiter = rate("cycle", max_wait_s=2.0)
    assert [enter(limiter, 0.5) for _ in range(5)] == pytest.approx([0.0, 0.0, 1.0, 1.0, 2.0])
    assert enter(limiter, 1.9) == pytest.approx(0.6)
    assert enter(limiter, 1.9) == pytest.approx(1.6)


def test_resilience4js_defaults_are_at_hand() -> None:
    """50 calls in 500 ns, 5 s of waiting: in effect no limit for one process."""
    terms = laid(CommandConfig(), {"profile": "resilience4j", "rate": {}}).rate
    assert terms is not None
    limiter = RateLimiter(terms)
    waits = [enter(limiter, 100.0) for _ in range(120)]
    assert waits[:50] == [0.0] * 50
    assert all(wait is not None and wait < 2e-6 for wait in waits)


@pytest.mark.parametrize("schedule", ["window", "gcra", "cycle"])
def test_threads_get_no_turn_twice(schedule: ScheduleName) -> None:
    """Of one moment's 100 calls eight threads get 100, however they come together."""
    limiter = rate(schedule, calls=100)
    won: list[float] = []

    def ask() -> None:
        won.extend(wait_s for wait_s in (enter(limiter, 5.0) for _ in range(50)) if wait_s == 0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 100
    assert limiter.stats().refused == 300


def test_memory_of_a_window_is_bounded() -> None:
    """After any number of calls no more turns are kept than twice the limit and a few."""
    limiter = rate(calls=10)
    for number in range(5_000):
        enter(limiter, number / 7)
    assert len(limiter._schedule._turns) < 100  # type: ignore[attr-defined] # of this schedule
