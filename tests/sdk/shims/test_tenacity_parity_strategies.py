"""Strategies of tenacity and of the shim: when to stop, how long to wait, what to retry."""

import functools
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from tests.sdk.shims.scenarios import OOPS, Scenario, outcome, trail

from breakwater.sdk.shims import tenacity as shim

STOPS: dict[str, Scenario] = {
    "attempts": lambda lib: lib.stop_after_attempt(4),
    "delay": lambda lib: lib.stop_after_delay(0),
    "delay_span": lambda lib: lib.stop_after_delay(timedelta(0)),
    "before_delay": lambda lib: lib.stop_before_delay(1),
    "any": lambda lib: lib.stop_after_attempt(3) | lib.stop_after_delay(60),
    "all": lambda lib: lib.stop_after_attempt(2) & lib.stop_after_delay(0),
    "any_of": lambda lib: lib.stop_any(lib.stop_never, lib.stop_after_attempt(2)),
    "all_of": lambda lib: lib.stop_all(lib.stop_after_attempt(2), lib.stop_after_attempt(3)),
    "event": lambda lib: lib.stop_when_event_set(happened()),
    "function": lambda lib: lambda state: state.attempt_number == 2,
}


def happened() -> threading.Event:
    """An event that is set."""
    event = threading.Event()
    event.set()
    return event


@pytest.mark.parametrize("name", STOPS)
def test_stop_strategies_stop_at_the_same_attempt(name: str) -> None:
    """A call that keeps failing ends after as many attempts, in the same error."""

    def scenario(lib: Any) -> Any:
        return trail(lib, OOPS, stop=STOPS[name](lib), wait=lib.wait_fixed(2))

    assert scenario(shim) == scenario(tenacity)


WAITS: dict[str, Scenario] = {
    "none": lambda lib: lib.wait_none(),
    "zero": lambda lib: 0,
    "fixed": lambda lib: lib.wait_fixed(1.5),
    "span": lambda lib: lib.wait_fixed(timedelta(milliseconds=250)),
    "incrementing": lambda lib: lib.wait_incrementing(start=1, increment=2, max=6),
    "decrementing": lambda lib: lib.wait_incrementing(start=3, increment=-1),
    "exponential": lambda lib: lib.wait_exponential(multiplier=0.5, max=5, min=1),
    "exponential_base": lambda lib: lib.wait_exponential(exp_base=3),
    "exponential_none": lambda lib: lib.wait_exponential(multiplier=0, min=2),
    "sum": lambda lib: lib.wait_fixed(1) + lib.wait_exponential(),
    "sum_function": lambda lib: lib.wait_fixed(1) + (lambda state: state.attempt_number),
    "sum_of_list": lambda lib: sum([lib.wait_fixed(1), lib.wait_fixed(2), lib.wait_fixed(3)]),
    "combine": lambda lib: lib.wait_combine(lib.wait_fixed(1), lib.wait_fixed(0.5)),
    "chain": lambda lib: lib.wait_chain(*[lib.wait_fixed(n) for n in (1, 1, 2, 5)]),
    "exception": lambda lib: lib.wait_exception(lambda error: len(str(error))),
    "jitter_none": lambda lib: lib.wait_exponential_jitter(multiplier=2, jitter=0, max=10),
    "random_point": lambda lib: lib.wait_random(2, 2),
    "function": lambda lib: lambda state: state.attempt_number * 0.1,
}


@pytest.mark.parametrize("name", WAITS)
def test_wait_strategies_wait_as_long(name: str) -> None:
    """Seven failures give the same six waits, and the same sum of them."""

    def scenario(lib: Any) -> Any:
        return trail(lib, OOPS, stop=lib.stop_after_attempt(7), wait=WAITS[name](lib))

    assert scenario(shim) == scenario(tenacity)


@pytest.mark.parametrize("attempt", [1, 2, 10, 1_000, 5_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.wait_exponential(max=30),
        lambda lib: lib.wait_exponential(),
        lambda lib: lib.wait_exponential_jitter(jitter=0, max=30),
        lambda lib: lib.wait_exponential_jitter(jitter=0),
    ],
)
def test_exponential_waits_never_overflow(make: Scenario, attempt: int) -> None:
    """However many attempts there were, the wait is the cap and not an error."""

    def scenario(lib: Any) -> float:
        state = lib.RetryCallState(None, None, (), {})
        state.attempt_number = attempt
        return float(make(lib)(state))

    assert scenario(shim) == scenario(tenacity)


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda lib: lib.wait_random(1, 3), 1, 3),
        (lambda lib: lib.wait_random_exponential(multiplier=2, max=9), 0, 8),
        (lambda lib: lib.wait_full_jitter(max=3), 0, 3),
        (lambda lib: lib.wait_random_exponential(multiplier=2, min=1, max=9), 1, 8),
        (lambda lib: lib.wait_exponential_jitter(max=60, jitter=2), 4, 6),
    ],
)
def test_random_waits_keep_to_the_same_bounds(make: Scenario, low: float, high: float) -> None:
    """Before the fourth attempt; both libraries' draws lie within and reach towards both ends."""
    for lib in (tenacity, shim):
        state = lib.RetryCallState(None, None, (), {})
        state.attempt_number = 3
        drawn = [make(lib)(state) for _ in range(400)]
        width = high - low
        assert low <= min(drawn) < low + 0.1 * width
        assert high - 0.1 * width < max(drawn) <= high


class Temporary(Exception):  # noqa: N818 - as programs name theirs
    """A subclass to be matched by its parent."""


def caused(cause: Exception) -> Exception:
    """An error raised from another."""
    error = RuntimeError("outer")
    error.__cause__ = cause
    return error


RETRIES: dict[str, tuple[Scenario, tuple[Any, ...]]] = {
    "type": (lambda lib: lib.retry_if_exception_type(OSError), (OSError("a"), OOPS)),
    "types": (
        lambda lib: lib.retry_if_exception_type((OSError, ValueError)),
        (OOPS, KeyError("k")),
    ),
    "subclass": (lambda lib: lib.retry_if_exception_type(Exception), (Temporary("t"), 7)),
    "not_type": (lambda lib: lib.retry_if_not_exception_type(OSError), (OOPS, OSError("a"))),
    "unless": (lambda lib: lib.retry_unless_exception_type(OSError), (1, OOPS, OSError("a"))),
    "exception": (lambda lib: lib.retry_if_exception(lambda e: "o" in str(e)), (OOPS, KeyError(1))),
    "message": (lambda lib: lib.retry_if_exception_message(message="oops"), (OOPS, KeyError(1))),
    "match": (lambda lib: lib.retry_if_exception_message(match="o+p"), (OOPS, KeyError(1))),
    "not_message": (
        lambda lib: lib.retry_if_not_exception_message(match="o"),
        (1, KeyError(1), OOPS),
    ),
    "cause": (lambda lib: lib.retry_if_exception_cause_type(OSError), (caused(OSError()), OOPS)),
    "result": (lambda lib: lib.retry_if_result(lambda r: r is None), (None, None, 3)),
    "result_raises": (lambda lib: lib.retry_if_result(lambda r: r is None), (None, OOPS)),
    "not_result": (lambda lib: lib.retry_if_not_result(lambda r: r == 3), (1, 2, 3)),
    "never": (lambda lib: lib.retry_never, (OOPS,)),
    "always": (lambda lib: lib.retry_always, (1, OOPS)),
    "or": (
        lambda lib: lib.retry_if_exception_type(OSError) | lib.retry_if_result(lambda r: not r),
        (OSError("a"), 0, 5),
    ),
    "and": (
        lambda lib: (
            lib.retry_if_exception_type(ValueError) & lib.retry_if_exception_message(match="oops")
        ),
        (OOPS, ValueError("else")),
    ),
    "or_function": (
        lambda lib: lib.retry_if_exception_type(OSError) | (lambda state: not state.outcome.failed),
        (1, OSError("a"), OOPS),
    ),
    "function_and": (
        lambda lib: (lambda state: state.attempt_number < 3) & lib.retry_if_exception_type(),
        (OOPS,),
    ),
    "any": (lambda lib: lib.retry_any(lib.retry_never, lib.retry_always), (1,)),
    "all": (lambda lib: lib.retry_all(lib.retry_always, lib.retry_if_exception_type()), (OOPS, 2)),
    "try_again": (lambda lib: lib.retry_never, (None,)),
}


@pytest.mark.parametrize("name", RETRIES)
@pytest.mark.parametrize("reraise", [False, True])
def test_retry_strategies_want_the_same_outcomes(name: str, reraise: bool) -> None:  # noqa: FBT001 - both ways
    """Errors and answers alike: as many attempts, and the same end."""
    make, steps = RETRIES[name]

    def scenario(lib: Any) -> Any:
        return trail(lib, *steps, stop=lib.stop_after_attempt(5), retry=make(lib), reraise=reraise)

    assert scenario(shim) == scenario(tenacity)


MISUSES: dict[str, Scenario] = {
    "wait_chain": lambda lib: lib.wait_chain(),
    "wait_exception": lambda lib: lib.wait_exception(len)(lib.RetryCallState(None, None, (), {})),
    "stop_after_delay": lambda lib: lib.stop_after_delay(1)(lib.RetryCallState(None, None, (), {})),
    "retry_if_result": lambda lib: lib.retry_if_result(bool)(
        lib.RetryCallState(None, None, (), {})
    ),
    "message_and_match": lambda lib: lib.retry_if_exception_message("a", "b"),
    "no_message": lambda lib: lib.retry_if_exception_message(),
    "two_names": lambda lib: lib.wait_exponential_jitter(initial=2, multiplier=3),
    "number_and_wait": lambda lib: 1 + lib.wait_fixed(1),
    "log_too_early": lambda lib: lib.before_sleep_log(logging.getLogger(), 1)(
        lib.RetryCallState(None, None, (), {})
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_the_same_kind_of_error(name: str) -> None:
    """Its class; what it says is our own."""
    ends = [outcome(functools.partial(MISUSES[name], lib)) for lib in (shim, tenacity)]
    assert ends[0][0] == ends[1][0]
    assert ends[0][0].endswith("Error")
