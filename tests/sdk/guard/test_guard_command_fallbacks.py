"""Fallbacks: asked in turn, with permits of their own, counted apart."""

import asyncio
import threading

import pytest
from tests.sdk.guard.commanding import (
    BackendError,
    counted,
    fail,
    fail_async,
    guard,
    guards_of,
    in_threads,
)

from breakwater.sdk import SettingsError
from breakwater.sdk.guard import Command, CommandConfig, FallbackConfig
from breakwater.testing import FakeClock


def test_a_fallback_answers_for_failures_and_refusals(clock: FakeClock) -> None:
    """It is given the error, so it can tell why it was asked."""
    command = guard(clock, fallback=lambda error: type(error).__name__)
    answers: list[object] = [command.call_sync(fail) for _ in range(3)]
    assert answers == ["BackendError", "BackendError", "CallRefusedError"]
    assert counted(command) == {"failure": 2, "short_circuited": 1, "fallback_success": 3}


def test_fallbacks_are_asked_in_turn_each_with_the_first_error(clock: FakeClock) -> None:
    """One that fails makes room for the next; one event for the whole chain."""
    seen: list[Exception] = []

    def broken(error: Exception) -> int:
        seen.append(error)
        raise KeyError

    def last(error: Exception) -> int:
        seen.append(error)
        return 3

    command = guard(clock, fallback=(broken, last))
    assert command.call_sync(fail) == 3
    assert [type(error) for error in seen] == [BackendError, BackendError]
    assert counted(command) == {"failure": 1, "fallback_success": 1}


def test_a_fallback_that_fails_is_counted_and_seen(clock: FakeClock) -> None:
    """Its error reaches the caller with the first one as its context."""

    def broken(_error: Exception) -> int:
        raise KeyError

    command = guard(clock, fallback=broken)
    with pytest.raises(KeyError) as seen:
        command.call_sync(fail)
    assert isinstance(seen.value.__context__, BackendError)
    assert counted(command) == {"failure": 1, "fallback_failure": 1, "exception_thrown": 1}


@pytest.mark.anyio
async def test_a_fallback_may_be_a_coroutine_function(clock: FakeClock) -> None:
    """An awaitable answer is awaited."""

    async def instead(_error: Exception) -> int:
        return 7

    assert await guard(clock, fallback=instead).call(fail_async) == 7


@pytest.mark.anyio
async def test_an_awaited_fallback_counts_by_how_it_ends(clock: FakeClock) -> None:
    """One that fails while it is awaited has not answered."""

    async def broken(_error: Exception) -> int:
        raise KeyError

    command = guard(clock, fallback=broken)
    with pytest.raises(KeyError):
        await command.call(fail_async)
    calls = command.stats().calls
    assert (calls["fallback_success"], calls["fallback_failure"]) == (0, 1)


def test_a_fallback_to_be_awaited_is_a_mistake_in_a_sync_call(clock: FakeClock) -> None:
    """It is said, and no coroutine is left unawaited."""

    async def instead(_error: Exception) -> int:
        return 7

    with pytest.raises(SettingsError, match="plain function"):
        guard(clock, fallback=instead).call_sync(fail)


def test_fallbacks_have_permits_of_their_own(clock: FakeClock) -> None:
    """When all of them are out, the next failed call gets its error at once."""
    inside, release = threading.Barrier(3), threading.Event()

    def slow(_error: Exception) -> int:
        inside.wait(10.0)
        release.wait(10.0)
        return 1

    config = CommandConfig(breaker=None, fallback=FallbackConfig(max_concurrent=2))
    command = Command("rank", config, guards=guards_of(clock), fallback=slow)
    others = [threading.Thread(target=command.call_sync, args=(fail,)) for _ in range(2)]
    for other in others:
        other.start()
    inside.wait(10.0)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    release.set()
    for other in others:
        other.join()
    assert counted(command) == {
        "failure": 3,
        "fallback_success": 2,
        "fallback_rejection": 1,
        "exception_thrown": 1,
    }
    fallback = command.stats().fallback
    assert fallback is not None
    assert (fallback.limit, fallback.in_use, fallback.rejected) == (2, 0, 1)


def test_a_disabled_fallback_is_not_asked(clock: FakeClock) -> None:
    """The error goes to the caller, and the counters say why."""
    config = CommandConfig(fallback=FallbackConfig(enabled=False))
    command = Command("rank", config, guards=guards_of(clock), fallback=lambda _error: 0)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    assert counted(command) == {"failure": 1, "fallback_disabled": 1, "exception_thrown": 1}


def test_a_call_without_fallback_says_it_is_missing(clock: FakeClock) -> None:
    """As the counters of Hystrix do."""
    command = guard(clock)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    assert counted(command) == {"failure": 1, "fallback_missing": 1, "exception_thrown": 1}


@pytest.mark.anyio
async def test_a_cancelled_call_asks_no_fallback(clock: FakeClock) -> None:
    """Nobody is there to take its answer."""
    asked: list[Exception] = []
    command = guard(clock, fallback=asked.append)
    task = asyncio.ensure_future(command.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not asked


def test_fallbacks_of_many_threads_are_all_counted(clock: FakeClock) -> None:
    """Permits come back whatever happens in between."""
    config = CommandConfig(breaker=None, fallback=FallbackConfig(max_concurrent=8))
    command = Command("rank", config, guards=guards_of(clock), fallback=lambda _error: 0)
    in_threads(8, lambda: [command.call_sync(fail) for _ in range(50)])
    calls = command.stats().calls
    assert calls["fallback_success"] + calls["fallback_rejection"] == 400
    fallback = command.stats().fallback
    assert fallback is not None
    assert fallback.in_use == 0
