"""Retries: waits by formula, push-back, and who does not try again."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import Status
from breakwater.sdk import CallFailedError, CallRefusedError, DeadlineExceededError
from breakwater.sdk.context import NESTED, Attempts, CallContext
from breakwater.sdk.guard.config import BudgetConfig, Jitter, RetryConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.retrying.budget import Budget, aws_standard
from breakwater.sdk.guard.retrying.retry import Retry, aws_2026, backoff_s
from breakwater.sdk.guard.verdict import Verdict

FAILED = CallFailedError(Status.UNAVAILABLE, service="account", code=503)


def retry(config: RetryConfig | None = None, **options: Any) -> Retry:
    """A retry part with a budget of its own and a wall clock that stands at zero."""
    config = config or RetryConfig(jitter="none")
    budget = options.pop("budget", None) or Budget("account", config.budget)
    return Retry(config, budget=budget, random=Random(7), now_ms=lambda: 0, **options)


def call(attempt: int = 1, context: CallContext | None = None) -> CallInfo:
    """A call with so many attempts made."""
    return CallInfo(command="account", context=context or CallContext(), attempt=attempt)


def after(
    part: Retry,
    info: CallInfo,
    error: BaseException = FAILED,
    verdict: Verdict = Verdict.FAILURE,
    left_s: float | None = None,
) -> float | None:
    """What is decided about a failed attempt."""
    return part.after(info, error, verdict, now_s=0.0, left_s=left_s)


def pushed(seconds: float) -> CallFailedError:
    """A failure with which the callee asks for a pause."""
    error = CallFailedError(Status.UNAVAILABLE, service="account", code=503)
    error.retry_after_s = seconds
    return error


def test_without_jitter_the_wait_doubles_up_to_its_maximum() -> None:
    """The base is initial * factor^(n-1), at most max_s."""
    config = RetryConfig(jitter="none", initial_s=0.1, factor=2.0, max_s=0.5)
    waits = [backoff_s(config, attempt, 0.0, Random(1)) for attempt in range(1, 6)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


@given(
    st.sampled_from(["full", "equal", "decorrelated"]),
    st.integers(1, 20),
    st.floats(0, 10),
    st.floats(1, 1e9),
    st.floats(0, 100),
    st.integers(0, 2**32),
)
def test_jitter_stays_within_its_formula(
    jitter: Jitter, attempt: int, initial_s: float, factor: float, max_s: float, seed: int
) -> None:
    """Full: 0..b; equal: b/2..b; decorrelated: initial..3 * before; never above max_s."""
    config = RetryConfig(jitter=jitter, initial_s=initial_s, factor=factor, max_s=max_s)
    plain = RetryConfig(jitter="none", initial_s=initial_s, factor=factor, max_s=max_s)
    base_s = backoff_s(plain, attempt, 0.0, Random(seed))
    wait_s = backoff_s(config, attempt, base_s, Random(seed))
    assert 0 <= wait_s <= max_s
    if jitter == "decorrelated":
        low_s, high_s = min(initial_s, max_s), max(3 * base_s, 3 * initial_s)
    else:
        low_s, high_s = (0.0 if jitter == "full" else base_s / 2), base_s
    assert low_s * (1 - 1e-9) <= wait_s <= high_s * (1 + 1e-9)


def test_waits_replay_from_one_seed() -> None:
    """Randomness is passed in, so two equal runs wait alike."""
    config = RetryConfig(jitter="decorrelated", max_attempts=5)
    runs = []
    for _ in range(2):
        part, info = retry(config), call()
        waits = []
        for attempt in range(1, 5):
            info.attempt = attempt
            waits.append(after(part, info))
        runs.append(waits)
    assert runs[0] == runs[1]
    assert None not in runs[0]


def test_attempts_are_counted_with_the_first() -> None:
    """With three attempts the third failure stands."""
    part, info = retry(), call()
    assert after(part, info) == 0.05
    info.attempt = 2
    assert after(part, info) == 0.1
    info.attempt = 3
    assert after(part, info) is None
    assert part.why_not(info) == "attempts"
    assert part.stats().retries == 2


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (FAILED, Verdict.CANCELLED),
        (FAILED, Verdict.IGNORED),
        (KeyboardInterrupt(), Verdict.FAILURE),
        (DeadlineExceededError(service="account"), Verdict.TIMEOUT),
        (CallRefusedError("breaker_open", "account"), Verdict.NOT_TRIED),
        (CallRefusedError("bulkhead_full", "account"), Verdict.FAILURE),
        (CallFailedError(Status.UNEXPECTED_ERROR, service="a", code=501), Verdict.FAILURE),
    ],
)
def test_what_another_attempt_cannot_help_is_not_tried_again(
    error: BaseException, verdict: Verdict
) -> None:
    """Cancelled, ignored, out of time, refused here, answered for good: the error stands."""
    part, info = retry(), call()
    assert after(part, info, error, verdict) is None
    assert part.why_not(info) == "not_worth_it"
    assert part.budget.stats().level == 10


def test_own_refusals_are_tried_again_only_when_asked() -> None:
    """After a full bulkhead, on request; it costs no budget of failures."""
    part, info = retry(retries_refusals=True), call()
    assert after(part, info, CallRefusedError("bulkhead_full", "a"), Verdict.NOT_TRIED) == 0.05
    later = CallRefusedError("rate_limited", "a", "", 5, 0.7)
    assert after(part, info, later, Verdict.NOT_TRIED) == 0.7
    assert part.budget.stats().level == 10


def test_the_command_may_say_what_is_worth_it() -> None:
    """Exception classes or a predicate take the place of the rule."""
    by_class = retry(retry_on=(KeyError,))
    assert after(by_class, call(), KeyError()) is not None
    assert after(by_class, call(), ValueError()) is None
    by_rule = retry(retry_on=lambda error: "again" in str(error))
    assert after(by_rule, call(), ValueError("again")) is not None
    assert after(by_rule, call(), ValueError("never")) is None


def test_a_push_back_takes_the_place_of_the_wait() -> None:
    """At most max_retry_after_s; the exponential begins anew after it."""
    part, info = retry(RetryConfig(jitter="none", max_attempts=9, max_retry_after_s=2)), call()
    assert after(part, info) == 0.05
    assert after(part, info) == 0.1
    assert after(part, info, pushed(1.75)) == 1.75
    assert after(part, info) == 0.05
    assert after(part, info, pushed(2.5)) is None
    assert part.why_not(info) == "pushed_back"


def test_push_back_may_be_left_unheard() -> None:
    """With honour_retry_after off the formula holds."""
    part = retry(RetryConfig(jitter="none", honour_retry_after=False))
    assert after(part, call(), pushed(4.0)) == 0.05


def test_no_wait_outlasts_the_deadline() -> None:
    """A retry that could not begin in time is not waited for."""
    part, info = retry(), call()
    assert after(part, info, left_s=0.05) is None
    assert part.why_not(info) == "no_time"
    assert after(part, call(), left_s=0.06) == 0.05


@pytest.mark.parametrize("attempts", [NESTED, Attempts(number=2), Attempts(may_follow=True)])
def test_retries_are_made_at_one_layer(attempts: Attempts) -> None:
    """Work for a caller who tries again himself is not tried again, unless told to."""
    below = CallContext(attempts=attempts)
    part, info = retry(), call(context=below)
    assert after(part, info) is None
    assert part.why_not(info) == "nested"
    assert part.context_for(below, 1) is below
    assert after(retry(RetryConfig(nested=True)), call(context=below)) is not None


def test_those_below_are_told_who_tries_again() -> None:
    """The context of an attempt says its number, and whether more may come."""
    part = retry()
    assert part.context_for(CallContext(), 1).attempts == Attempts(number=1, may_follow=True)
    assert part.context_for(CallContext(), 3).attempts == Attempts(number=3)
    insisting = retry(RetryConfig(nested=True))
    found = insisting.context_for(CallContext(attempts=NESTED), 2).attempts
    assert found == Attempts(number=2, may_follow=True, is_nested=True)


def test_the_budget_is_asked_and_settled() -> None:
    """A retry that succeeds gives its cost back, one that fails does not, an unmade one does."""
    part = retry(RetryConfig(budget=aws_standard(), max_attempts=5))

    def level() -> float:
        return part.budget.stats().level

    info = call()
    after(part, info)
    assert level() == 495
    after(part, info, verdict=Verdict.TIMEOUT)
    assert level() == 485
    after(part, info, CallRefusedError("breaker_open", "a"), Verdict.NOT_TRIED)
    assert level() == 495
    after(part, info)
    info.attempt = 3
    part.ended(info, Verdict.SUCCESS, 0.0)
    assert level() == 495
    part.record_successes(2)
    assert level() == 497


def test_an_empty_budget_ends_the_retries() -> None:
    """At 100 % failure 200 calls get no more retries than the budget held."""
    part = retry(RetryConfig(budget=BudgetConfig(mode="grpc", tokens=10)))
    made = sum(after(part, call()) is not None for _ in range(200))
    assert made == 4
    assert part.stats().not_retried == {"budget": 196}


def test_overload_waits_longer_in_the_aws_numbers() -> None:
    """From 50 ms after a fault, from 1 s after a refusal for overload, 5 instead of 14 tokens."""
    part = retry(aws_2026())
    waits = [after(part, call()) for _ in range(10)]
    assert max(wait for wait in waits if wait is not None) <= 0.05
    throttled = CallFailedError(Status.THROTTLED, service="a", code=429)
    before = part.budget.stats().level
    longer = [after(part, call(), throttled) for _ in range(10)]
    assert max(wait for wait in longer if wait is not None) > 0.05
    assert before - part.budget.stats().level == 50
