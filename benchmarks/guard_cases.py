"""Our own rows of `make bench-guard`; see `guard_timing.py`."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from benchmarks.guard_timing import Case, identity, identity_async, main
from breakwater.sdk import deadline
from breakwater.sdk.guard import (
    BreakerConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    RetryConfig,
)

PLAIN = CommandConfig(bulkhead=BulkheadConfig(max_concurrent=10))
TIMED = CommandConfig(timeout_s=1.0, total_s=2.0, bulkhead=BulkheadConfig(max_concurrent=10))
RETRIED = CommandConfig(retry=RetryConfig(initial_s=0.0), breaker=None)


def command_of(config: CommandConfig, **code: Any) -> Command:
    """A command in a registry of its own."""
    return Guards().command("measured", config, **code)


def opened() -> Command:
    """A command whose breaker has just opened, for longer than the measurement takes."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=1, open_s=3600.0))
    command = command_of(config)
    try:
        command.call_sync(_fail)
    except ValueError:
        return command
    raise AssertionError("the failing call did not fail")


def _fail() -> None:
    raise ValueError


def _full() -> Command:
    """A command whose one permit is out."""
    command = command_of(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    command.entered().__enter__()
    return command


def _wrapped(fn: Callable[[int], Any]) -> Callable[[int], Any]:
    @functools.wraps(fn)
    def through(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return through


def _by_call_sync(command: Command) -> Callable[[int], int]:
    return lambda x: command.call_sync(identity, x)


def _wrapped_async() -> Callable[[int], Any]:
    @functools.wraps(identity_async)
    async def through(*args: Any, **kwargs: Any) -> Any:
        return await identity_async(*args, **kwargs)

    return through


def _within_a_deadline(fn: Callable[[int], Any]) -> Callable[[int], Any]:
    deadline(3600.0).__enter__()
    return command_of(TIMED)(fn)


def _flaky() -> Callable[[int], int]:
    """Every call fails once and is tried again; then a fallback stands by."""
    command = command_of(RETRIED, fallback=lambda _error: 0)
    turn = 0

    @command
    def flaky(x: int) -> int:
        nonlocal turn
        turn += 1
        if turn % 2:
            raise ValueError
        return x

    return flaky


def _failing_with_fallback() -> Callable[[int], int]:
    command = command_of(CommandConfig(breaker=None), fallback=lambda _error: 0)

    @command
    def failing(x: int) -> int:
        raise ValueError(x)

    return failing


def _asyncio_timeout() -> Callable[[int], Any]:
    async def timed(x: int) -> int:
        async with asyncio.timeout(1.0):
            return await identity_async(x)

    return timed


CASES = [
    Case("bare call", "sync", lambda: identity),
    Case("functools.wraps alone", "sync", lambda: _wrapped(identity)),
    Case(
        "breakwater: breaker+bulkhead+statistics",
        "sync",
        lambda: command_of(PLAIN)(identity),
    ),
    Case(
        "breakwater: the same by call_sync in a lambda",
        "sync",
        lambda: _by_call_sync(command_of(PLAIN)),
    ),
    Case("breakwater: + timeout and total deadline", "sync", lambda: command_of(TIMED)(identity)),
    Case("breakwater: + timeout within a deadline", "sync", lambda: _within_a_deadline(identity)),
    Case("breakwater: failed once, retried", "sync", _flaky),
    Case("breakwater: failed, fallback", "sync", _failing_with_fallback),
    Case("breakwater: refused, breaker open", "sync refused", lambda: opened()(identity)),
    Case("breakwater: refused, bulkhead full", "sync refused", lambda: _full()(identity)),
    Case("bare await", "async", lambda: identity_async),
    Case("functools.wraps alone, async", "async", _wrapped_async),
    Case(
        "breakwater: breaker+bulkhead+statistics, async",
        "async",
        lambda: command_of(PLAIN)(identity_async),
    ),
    Case(
        "breakwater: + timeout and total deadline, async",
        "async",
        lambda: command_of(TIMED)(identity_async),
    ),
    Case(
        "breakwater: + timeout within a deadline, async",
        "async",
        lambda: _within_a_deadline(identity_async),
    ),
    Case(
        "breakwater: refused, breaker open, async",
        "async refused",
        lambda: opened()(identity_async),
    ),
    Case("asyncio.timeout alone", "async", _asyncio_timeout),
]

if __name__ == "__main__":
    main(CASES)
