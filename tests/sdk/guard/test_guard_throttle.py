"""Client throttling by the formula of the SRE book."""

from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.sdk import CallRefusedError
from breakwater.sdk.context import CallContext
from breakwater.sdk.guard.config import ThrottleConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.throttle import Throttle, envoy, refusal_probability
from breakwater.sdk.guard.verdict import Verdict

CALL = CallInfo(command="search", context=CallContext())


def ask(throttle: Throttle, verdict: Verdict, now_s: float) -> bool:
    """Whether one call was let through; it ends at once."""
    try:
        ticket = throttle.enter(CALL, now_s)
    except CallRefusedError:
        return False
    throttle.leave(ticket, verdict, now_s=now_s, took_s=0.0, error=None)
    return True


def throttle(config: ThrottleConfig | None = None, seed: int = 1) -> Throttle:
    """A throttle with seeded dice."""
    return Throttle(config or ThrottleConfig(), Random(seed))


@pytest.mark.parametrize(
    ("requests", "accepts", "expected"),
    [(0, 0, 0.0), (100, 100, 0.0), (100, 50, 0.0), (99, 25, 0.49), (99, 0, 0.99)],
)
def test_the_formula(requests: int, accepts: int, expected: float) -> None:
    """(requests - K accepts) / (requests + 1), never below zero, K = 2."""
    assert refusal_probability(requests, accepts, 2.0) == pytest.approx(expected)


def test_a_healthy_callee_is_never_throttled() -> None:
    """With half of the calls failing K = 2 still refuses none."""
    gate = throttle()
    outcomes = [Verdict.SUCCESS, Verdict.FAILURE] * 500
    assert all(ask(gate, verdict, 0.01 * at) for at, verdict in enumerate(outcomes))


@pytest.mark.parametrize(("rate", "takes_s"), [(100.0, 1.0), (10.0, 5.0), (50.0, 0.02)])
def test_calls_under_way_are_no_refusals(rate: float, takes_s: float) -> None:
    """From its first call on, a callee that is merely slow is sent all that is asked for."""
    gate, under_way = throttle(), deque[tuple[float, Ticket]]()
    for at in range(int(30 * rate)):
        now_s = at / rate
        while under_way and under_way[0][0] <= now_s:
            ends_s, ticket = under_way.popleft()
            gate.leave(ticket, Verdict.SUCCESS, now_s=ends_s, took_s=takes_s, error=None)
        under_way.append((now_s + takes_s, gate.enter(CALL, now_s)))
    assert gate.stats().refused == 0


def test_a_callee_is_sent_k_times_what_it_accepts() -> None:
    """Asked 100 times a second and able to take less, it is sent two calls for each it takes."""
    gate, sent, accepted, free_s = throttle(), 0, 0, 0.0
    for at in range(40_000):
        now_s = 0.01 * at
        has_room = now_s >= free_s
        if ask(gate, Verdict.SUCCESS if has_room else Verdict.FAILURE, now_s):
            sent += at >= 20_000
            accepted += at >= 20_000 and has_room
            free_s = now_s + 0.1 if has_room else free_s
    assert sent / accepted == pytest.approx(2.0, rel=0.05)


def test_it_recovers_when_the_window_has_passed() -> None:
    """After window_s nothing of the past is held against the callee."""
    gate = throttle(ThrottleConfig(window_s=10.0))
    for at in range(200):
        ask(gate, Verdict.FAILURE, 0.01 * at)
    assert gate.stats().refusal_percent > 50
    assert ask(gate, Verdict.SUCCESS, 20.0)
    assert gate.stats().requests == 1
    assert gate.stats().refusal_percent == 0


@pytest.mark.parametrize("verdict", [Verdict.CANCELLED, Verdict.NOT_TRIED])
def test_calls_that_say_nothing_are_uncounted(verdict: Verdict) -> None:
    """A caller who leaves, or an open breaker further in, is no refusal by the callee."""
    gate = throttle()
    for at in range(300):
        assert ask(gate, verdict, 0.01 * at)
    assert gate.stats().requests == 0


def test_an_answer_to_a_bad_request_is_an_answer() -> None:
    """Ignored errors count as accepted."""
    gate = throttle()
    assert all(ask(gate, Verdict.IGNORED, 0.01 * at) for at in range(300))


def test_a_cap_lets_some_through_always() -> None:
    """Envoy's numbers refuse at most 80 %, so a recovery is seen."""
    gate = throttle(envoy())
    for at in range(5_000):
        ask(gate, Verdict.FAILURE, 0.005 * at)
    assert gate.stats().refusal_percent == pytest.approx(80.0)
    assert 700 < 5_000 - gate.stats().refused < 1_400


def test_batches_count_like_calls() -> None:
    """Successes told late and together weigh the same."""
    gate = throttle()
    gate.on_successes(50, 1.0)
    for _ in range(50):
        ask(gate, Verdict.FAILURE, 1.0)
    assert gate.stats().accepts == 50
    assert gate.stats().requests == 100


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 30), st.sampled_from(list(Verdict))), max_size=50),
    st.integers(0, 1000),
)
def test_the_window_holds_what_happened_in_it(
    steps: list[tuple[float, Verdict]], seed: int
) -> None:
    """Counts are never negative, never more than was asked, and nothing is older than window_s."""
    gate = throttle(ThrottleConfig(window_s=40.0), seed)
    now_s, asked = 0.0, []
    for gap_s, verdict in steps:
        now_s += gap_s
        ask(gate, verdict, now_s)
        if verdict not in (Verdict.CANCELLED, Verdict.NOT_TRIED):
            asked.append(now_s)
        stats = gate.stats()
        assert 0 <= stats.accepts <= stats.requests
        assert stats.requests >= sum(at_s > now_s - 39.0 for at_s in asked)
