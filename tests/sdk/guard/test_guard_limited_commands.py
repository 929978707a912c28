"""Adaptive limits, waiting, shares and thread pools as parts of a command."""

import asyncio
import threading
from random import Random

import pytest

from breakwater.model import SystemClock
from breakwater.sdk.errors import AttemptTimedOutError, CallRefusedError
from breakwater.sdk.guard import (
    AdaptiveConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    LimitMoved,
)
from breakwater.testing import FakeClock

PATIENCE_S = 10.0


def guards(clock: FakeClock | SystemClock) -> Guards:
    """A registry of its own."""
    return Guards(clock=clock, random=Random(1))


def adaptive(limit: int, **more: object) -> CommandConfig:
    """Just an adaptive limit that stands still."""
    config = AdaptiveConfig(initial=limit, minimum=limit, maximum=limit, **more)  # type: ignore[arg-type] # any of the fields
    return CommandConfig(breaker=None, bulkhead=None, adaptive=config)


def bulkhead(**terms: object) -> CommandConfig:
    """Just a bulkhead."""
    return CommandConfig(breaker=None, bulkhead=BulkheadConfig(**terms))  # type: ignore[arg-type] # any of the fields


@pytest.fixture
def anyio_backend() -> str:
    """These tests are of asyncio."""
    return "asyncio"


def test_the_adaptive_limit_refuses_a_nested_call() -> None:
    """While one call is under way at a limit of one, the next is refused with limit_reached."""
    command = Command("rows", adaptive(1), guards=guards(FakeClock()))
    with pytest.raises(CallRefusedError) as refusal:
        command.call_sync(lambda: command.call_sync(lambda: 1))
    assert (refusal.value.reason, refusal.value.limit) == ("limit_reached", 1)
    assert command.call_sync(lambda: 1) == 1


def test_a_moving_limit_is_an_event() -> None:
    """Hooks hear the limit before and after."""
    heard: list[LimitMoved] = []
    clock = FakeClock()
    registry = guards(clock)
    registry.hooks.on(LimitMoved, heard.append)
    config = CommandConfig(
        breaker=None,
        bulkhead=None,
        adaptive=AdaptiveConfig(
            algorithm="aimd", initial=2, minimum=1, minimum_samples=1, window_s=1e-9
        ),
    )
    command = Command("rows", config, guards=registry)
    command.call_sync(lambda: clock.advance(0.01))
    assert [(event.before, event.after) for event in heard] == [(2, 3)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "config", [adaptive(1, max_wait_s=5.0), bulkhead(max_concurrent=1, max_wait_s=5.0)]
)
async def test_async_callers_wait_for_a_place(config: CommandConfig) -> None:
    """A call that finds no place gets the next one that comes free."""
    command = Command("rows", config, guards=guards(SystemClock()))
    entered, go = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        entered.set()
        await go.wait()
        return "first"

    async def answer() -> str:
        return "second"

    async with asyncio.timeout(PATIENCE_S):
        first = asyncio.ensure_future(command.call(hang))
        await entered.wait()
        second = asyncio.ensure_future(command.call(answer))
        await asyncio.sleep(0)
        assert not second.done()
        go.set()
        assert [await first, await second] == ["first", "second"]


@pytest.mark.anyio
async def test_a_waiting_caller_that_is_cancelled_leaves_the_line() -> None:
    """Its place in the line is gone, and the next call gets the place that comes free."""
    config = bulkhead(max_concurrent=1, max_wait_s=5.0, max_waiting=1)
    command = Command("rows", config, guards=guards(SystemClock()))
    entered, go = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        entered.set()
        await go.wait()
        return "first"

    async def answer() -> str:
        return "next"

    async with asyncio.timeout(PATIENCE_S):
        first = asyncio.ensure_future(command.call(hang))
        await entered.wait()
        leaving = asyncio.ensure_future(command.call(answer))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        waiting = asyncio.ensure_future(command.call(answer))
        await asyncio.sleep(0)
        go.set()
        assert [await first, await waiting] == ["first", "next"]


def test_threads_wait_for_a_place() -> None:
    """The same between threads."""
    command = Command(
        "rows", bulkhead(max_concurrent=1, max_wait_s=5.0), guards=guards(SystemClock())
    )
    entered, go = threading.Event(), threading.Event()
    answers: list[str] = []

    def hang() -> str:
        entered.set()
        assert go.wait(PATIENCE_S)
        return "first"

    first = threading.Thread(target=lambda: answers.append(command.call_sync(hang)))
    first.start()
    assert entered.wait(PATIENCE_S)
    second = threading.Thread(target=lambda: answers.append(command.call_sync(lambda: "second")))
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(PATIENCE_S)
    assert sorted(answers) == ["first", "second"]


def test_partitions_come_from_the_arguments() -> None:
    """A class below its share gets in although the others fill the bulkhead."""
    command = Command(
        "rows",
        bulkhead(max_concurrent=1, partitions={"live": 1.0}),
        guards=guards(FakeClock()),
        partition=lambda work, name: name,
    )

    def run(work: str, name: str) -> str:
        if work == "nested":
            return command.call_sync(run, "plain", "live")
        if work == "strange":
            return command.call_sync(run, "plain", "batch")
        return name

    assert command.call_sync(run, "nested", "batch") == "live"
    with pytest.raises(CallRefusedError):
        command.call_sync(run, "strange", "batch")


def test_thread_isolation_lets_the_caller_walk_away() -> None:
    """At the attempt's timeout the caller has an error, though the function hangs on."""
    config = CommandConfig(
        timeout_s=0.05,
        breaker=None,
        bulkhead=BulkheadConfig(isolation="thread", threads=1),
    )
    command = Command("decode", config, guards=guards(SystemClock()))
    go = threading.Event()
    with pytest.raises(AttemptTimedOutError):
        command.call_sync(go.wait, PATIENCE_S)
    with pytest.raises(CallRefusedError) as refusal:
        command.call_sync(lambda: 1)
    assert refusal.value.reason == "pool_full"
    calls = command.stats().calls
    assert (calls["timeout"], calls["thread_pool_rejected"]) == (1, 1)
    assert calls["semaphore_rejected"] == 0
    go.set()


def test_thread_isolation_runs_on_another_thread() -> None:
    """The function runs on a thread of the pool, its result comes back."""
    command = Command(
        "decode", bulkhead(isolation="thread", threads=1), guards=guards(SystemClock())
    )
    assert command.call_sync(threading.current_thread) is not threading.current_thread()
