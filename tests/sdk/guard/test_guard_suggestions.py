"""Settings suggested from what was seen: with reasons, always usable, never from too little."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.guard.commanding import BackendError, fail, guards_of

from breakwater.sdk import CommandConfig, Observed, suggest
from breakwater.sdk.guard import (
    AdaptiveConfig,
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    HedgeConfig,
    RetryConfig,
    Suggestions,
)
from breakwater.sdk.guard.counting.suggestions import applied
from breakwater.testing import FakeClock

USUAL = Observed(
    calls=6_000,
    window_s=60.0,
    mean_per_s=100.0,
    peak_per_s=140.0,
    p50_s=0.010,
    p95_s=0.030,
    p99_s=0.060,
    p995_s=0.080,
    max_s=0.2,
    most_active=9,
)


def seen(**changed: object) -> Observed:
    """A usual command, but for this."""
    return msgspec.structs.replace(USUAL, **changed)


def values(found: Suggestions) -> dict[str, object]:
    """What is suggested, kept or not."""
    return {one.key: one.value for one in found.settings}


def test_a_timeout_is_half_again_the_slow_calls() -> None:
    """p99.5 of the attempts with room, to two digits, and the reason says so."""
    found = suggest(USUAL, CommandConfig())
    first = found.settings[0]
    assert (first.key, first.now, first.value, first.is_change) == ("timeout_s", None, 0.12, True)
    assert "p99.5 is 80 ms" in first.reason
    assert found.unknown == []


def test_all_attempts_fit_into_what_callers_wait() -> None:
    """Three attempts of 0.12 s do not fit into 0.2 s."""
    config = CommandConfig(retry=RetryConfig(max_attempts=3))
    found = suggest(seen(deadline_s=0.2), config)
    assert values(found)["timeout_s"] == 0.06
    assert values(found)["total_s"] == 0.2
    assert "callers wait 200 ms, which has to do for 3 attempts" in found.settings[0].reason
    assert values(suggest(USUAL, config))["total_s"] == 0.51


def test_a_timeout_that_cuts_calls_off_says_nothing_of_them() -> None:
    """Its own percentile is the limit itself; it stays, and the reason says why."""
    found = suggest(seen(timeout_share=0.02), CommandConfig(timeout_s=0.08))
    assert found.settings[0].value == 0.08
    assert "2.0% of the calls ended in this very limit" in found.settings[0].reason


def test_places_follow_littles_law() -> None:
    """Peak calls a second times p99, or the most that were seen, and room."""
    assert values(suggest(USUAL, CommandConfig()))["bulkhead.max_concurrent"] == 14
    busy = suggest(seen(peak_per_s=2_000.0), CommandConfig())
    assert values(busy)["bulkhead.max_concurrent"] == 180
    threads = CommandConfig(bulkhead=BulkheadConfig(isolation="thread", threads=10))
    assert values(suggest(seen(peak_per_s=1_000.0), threads))["bulkhead.threads"] == 90
    for config in (CommandConfig(bulkhead=None), CommandConfig(adaptive=AdaptiveConfig())):
        assert "bulkhead.max_concurrent" not in values(suggest(USUAL, config))


@pytest.mark.parametrize(
    ("mean_per_s", "window_s", "minimum"), [(100.0, 10.0, 100), (1.0, 20.0, 10), (0.1, 60.0, 10)]
)
def test_a_window_holds_enough_calls_to_judge(
    mean_per_s: float, window_s: float, minimum: int
) -> None:
    """Rare calls need a longer one."""
    found = values(suggest(seen(mean_per_s=mean_per_s), CommandConfig()))
    assert found["breaker.window_s"] == window_s
    assert found["breaker.minimum_calls"] == min(minimum, 20)


def test_a_breaker_stays_open_for_two_attempts() -> None:
    """At least two seconds, more is a choice; other kinds of window are left alone."""
    slow = seen(p995_s=2.0, p99_s=1.9)
    assert values(suggest(slow, CommandConfig()))["breaker.open_s"] == 6.0
    assert values(suggest(USUAL, CommandConfig()))["breaker.open_s"] == 2.0
    patient = CommandConfig(breaker=BreakerConfig(open_s=8.0, minimum_calls=500))
    found = values(suggest(USUAL, patient))
    assert (found["breaker.open_s"], found["breaker.minimum_calls"]) == (8.0, 100)
    counting = CommandConfig(breaker=BreakerConfig(window="count"))
    assert "breaker.window_s" not in values(suggest(USUAL, counting))


def test_a_hedge_goes_after_p95() -> None:
    """A command that finds its own delay needs none; a heavy tail asks for a hedge."""
    set_by_hand = CommandConfig(hedge=HedgeConfig(delay_s=0.5))
    assert values(suggest(USUAL, set_by_hand))["hedge.delay_s"] == 0.03
    assert "hedge.delay_s" not in values(suggest(USUAL, CommandConfig(hedge=HedgeConfig())))
    assert values(suggest(seen(is_idempotent=True), CommandConfig()))["hedge"] == {}
    assert "hedge" not in values(suggest(USUAL, CommandConfig()))


def test_a_retry_budget_covers_a_burst() -> None:
    """And stays a small share of the calls, however many fail."""
    config = CommandConfig(retry=RetryConfig())
    found = values(suggest(seen(peak_per_s=500.0, failure_share=0.3), config))
    assert (found["retry.budget.tokens"], found["retry.budget.ratio"]) == (50.0, 0.2)
    envoy = CommandConfig(retry=RetryConfig(budget=BudgetConfig(mode="envoy")))
    assert "retry.budget.ratio" not in values(suggest(USUAL, envoy))


def test_too_few_calls_are_said_to_be_too_few() -> None:
    """How many are wanted, and how long that takes."""
    found = suggest(seen(calls=30, mean_per_s=0.5), CommandConfig())
    assert found.settings == []
    assert found.unknown[0] == (
        "30 calls in 60 s tell nothing; 100 are wanted for anything, which takes 200 s at 0.5 a "
        "second (statistics.latency_window_s is 60)"
    )
    rough = suggest(seen(calls=300), CommandConfig())
    assert rough.settings[0].value == 0.3
    assert "the slowest call is 200 ms" in rough.settings[0].reason
    assert "1000 are wanted for a p99.5" in rough.unknown[0]


def test_what_is_nearly_right_is_kept() -> None:
    """Nobody should change a setting for a fifth."""
    found = suggest(USUAL, CommandConfig(timeout_s=0.11))
    assert not found.settings[0].is_change
    assert "timeout_s" not in found.changes()


SECONDS = st.floats(0.0, 100.0)


@pytest.mark.slow
@given(
    calls=st.integers(0, 5_000),
    rates=st.tuples(st.floats(0.0, 1e5), st.floats(0.0, 1e5)),
    latencies=st.lists(SECONDS, min_size=5, max_size=5),
    shares=st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 0.5)),
    deadline_s=st.none() | st.floats(0.01, 100.0),
    attempts=st.integers(1, 20),
    now_s=st.none() | st.floats(0.01, 100.0),
)
def test_suggestions_can_always_be_followed(
    calls: int,
    rates: tuple[float, float],
    latencies: list[float],
    shares: tuple[float, float],
    deadline_s: float | None,
    attempts: int,
    now_s: float | None,
) -> None:
    """Whatever was seen, the settings fit together, and within what callers wait."""
    p50_s, p95_s, p99_s, p995_s, max_s = sorted(latencies)
    retry = RetryConfig(max_attempts=attempts) if attempts > 1 else None
    config = CommandConfig(timeout_s=now_s, total_s=now_s, retry=retry)
    found = suggest(
        Observed(
            calls=calls, window_s=60.0, mean_per_s=min(rates), peak_per_s=max(rates),
            p50_s=p50_s, p95_s=p95_s, p99_s=p99_s, p995_s=p995_s, max_s=max_s,
            failure_share=shares[0], timeout_share=shares[1], deadline_s=deadline_s,
        ),
        config,
    )  # fmt: skip
    after = applied(found, config)
    if calls >= 100 and shares[1] <= 0.005 and deadline_s is not None:
        assert after.timeout_s is not None
        assert after.timeout_s * attempts <= deadline_s
    assert all(one.reason for one in found.settings)


def test_a_command_suggests_from_its_own_figures(clock: FakeClock) -> None:
    """Rolling percentiles, rate and concurrency."""
    command = guards_of(clock).command("rank")
    for number in range(1_200):
        clock.advance(0.01)
        command.call_sync(clock.advance, 0.01 if number % 100 else 0.1)
        if number % 300 == 299:
            with pytest.raises(BackendError):
                command.call_sync(fail)
    found = values(command.suggest(deadline_s=1.0))
    assert found["timeout_s"] == 0.15
    assert found["bulkhead.max_concurrent"] == 5
    assert found["breaker.window_s"] == 10.0
