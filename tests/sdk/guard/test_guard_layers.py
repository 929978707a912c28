"""Retries at one layer: what callers tell those below, in one process and over headers."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk import context as ctx
from breakwater.sdk.context import NESTED, Attempts, CallContext, attempted
from breakwater.sdk.guard import BudgetConfig, Command, CommandConfig, Guards, RetryConfig
from breakwater.sdk.propagation import Inbound, format_attempts, read_headers, write_headers
from breakwater.testing import FakeClock

RETRY = RetryConfig(jitter="none", initial_s=0.0, budget=BudgetConfig(mode="none"))


def read(**headers: str) -> Inbound:
    """What a request with these headers says."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read_headers(pairs, 0.0)


@pytest.mark.parametrize(
    ("headers", "number", "is_final", "attempts"),
    [
        ({}, 1, True, None),
        ({"breakwater_attempt": "1"}, 1, True, None),
        ({"breakwater_attempt": "1;more"}, 1, False, NESTED),
        ({"breakwater_attempt": "3"}, 3, True, NESTED),
        ({"breakwater_attempt": "2;more;nested"}, 2, False, NESTED),
        ({"breakwater_attempt": "1;nested"}, 1, True, NESTED),
        ({"breakwater_attempt": "x;whatever"}, 1, True, None),
        ({"breakwater_attempt": "0"}, 1, True, None),
        ({"breakwater_attempt": "123"}, 1, True, None),
        ({"x_envoy_attempt_count": "1"}, 1, True, None),
        ({"x_envoy_attempt_count": "2"}, 2, True, NESTED),
        ({"grpc_previous_rpc_attempts": "1"}, 2, True, NESTED),
        ({"breakwater_attempt": "1", "x_envoy_attempt_count": "4"}, 1, True, None),
    ],
)
def test_a_request_says_whether_somebody_tries_again(
    headers: dict[str, str], number: int, *, is_final: bool, attempts: Attempts | None
) -> None:
    """Its number, whether more may come; any sign of a retrying caller makes the work nested."""
    inbound = read(**headers)
    assert (inbound.attempt, inbound.is_final) == (number, is_final)
    assert inbound.context.attempts == attempts


@given(st.integers(1, 20), st.booleans(), st.booleans())
def test_attempts_travel(number: int, may_follow: bool, is_nested: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
    """What is written is what is read, and a hop further on is nested too."""
    attempts = Attempts(number=number, may_follow=may_follow, is_nested=is_nested)
    headers = write_headers(CallContext(attempts=attempts), None)
    inbound = read(**{name.replace("-", "_"): value for name, value in headers.items()})
    if attempts == Attempts():
        assert inbound.context.attempts is None
        return
    assert (inbound.attempt, inbound.is_final) == (number, not may_follow)
    assert inbound.context.attempts == NESTED
    assert write_headers(inbound.context, None)["breakwater-attempt"] == "1;nested"


def test_without_retries_nothing_is_said() -> None:
    """No header where nobody tries again."""
    assert "breakwater-attempt" not in write_headers(CallContext(), None)
    assert format_attempts(Attempts()) == "1"


def test_a_narrowed_context_keeps_its_attempts() -> None:
    """A nearer deadline changes the deadline alone."""
    context = attempted(CallContext(), 2, may_follow=True)
    assert ctx.narrowed(context, 5.0).attempts == context.attempts


def layers(count: int, retry: RetryConfig) -> tuple[Any, list[int]]:
    """A function behind so many guarded layers, each with its retries, that always fails."""
    guards = Guards(clock=FakeClock(), random=Random(1), sleep=lambda seconds: None)
    reached = [0]

    def fail() -> None:
        reached[0] += 1
        raise ConnectionError

    function: Any = fail
    for number in range(count):
        config = CommandConfig(breaker=None, bulkhead=None, retry=retry)
        layer: Command = guards.command(f"layer-{number}", config)
        function = layer(function)
    return function, reached


def test_in_one_process_only_the_outermost_tries_again() -> None:
    """Three guarded layers of three attempts are three calls at the bottom, not 27."""
    function, reached = layers(3, RETRY)
    with pytest.raises(ConnectionError):
        function()
    assert reached == [3]


def test_nested_retries_multiply_when_asked_for() -> None:
    """What everybody else does, and why it is off by default."""
    function, reached = layers(3, RetryConfig(**{**_fields(RETRY), "nested": True}))
    with pytest.raises(ConnectionError):
        function()
    assert reached == [27]


def _fields(config: RetryConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


def test_with_a_budget_a_dead_dependency_gets_hardly_more_than_its_calls() -> None:
    """At 100 % failure a thousand calls through three layers reach it at most 1.1 times each."""
    function, reached = layers(3, RetryConfig(jitter="none", initial_s=0.0))
    for _ in range(1_000):
        with pytest.raises(ConnectionError):
            function()
    assert 1_000 <= reached[0] <= 1_100
