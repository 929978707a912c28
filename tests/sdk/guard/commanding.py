"""Commands for tests: on a clock that stands still, in a registry of their own."""

import threading
from collections.abc import Callable
from random import Random
from typing import Any

from breakwater.sdk import BreakerState
from breakwater.sdk.guard import (
    BreakerConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    RetryConfig,
)
from breakwater.testing import FakeClock

NO_WAIT = RetryConfig(max_attempts=3, initial_s=0.0)
"""Two more attempts, at once."""


class BackendError(Exception):
    """What the guarded functions of these tests fail with."""


def guards_of(clock: FakeClock) -> Guards:
    """A registry whose waits move the clock."""
    return Guards(clock=clock, random=Random(1), sleep=clock.advance)


def guard(
    clock: FakeClock,
    *,
    max_concurrent: int | None = None,
    minimum_calls: int = 2,
    timeout_s: float | None = None,
    total_s: float | None = None,
    retry: RetryConfig | None = None,
    **code: Any,
) -> Command:
    """A command that opens after two failures."""
    limit = None if max_concurrent is None else BulkheadConfig(max_concurrent=max_concurrent)
    config = CommandConfig(
        timeout_s=timeout_s,
        total_s=total_s,
        breaker=BreakerConfig(minimum_calls=minimum_calls),
        bulkhead=limit,
        retry=retry,
    )
    return Command("rank", config, guards=guards_of(clock), **code)


def fail() -> int:
    """Fail."""
    raise BackendError


async def fail_async() -> int:
    """Fail."""
    raise BackendError


def state(command: Command) -> BreakerState:
    """Where the command's breaker stands."""
    breaker = command.stats().breaker
    assert breaker is not None
    return breaker.state


def counted(command: Command) -> dict[str, int]:
    """The events of the command that happened at all, without the concurrency."""
    calls = command.stats().calls
    return {name: n for name, n in calls.items() if n and name != "command_max_active"}


def in_threads(number: int, body: Callable[[], object]) -> None:
    """Run `body` on so many threads at once and wait for all."""
    threads = [threading.Thread(target=body) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
