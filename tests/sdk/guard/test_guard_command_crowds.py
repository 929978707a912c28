"""Many callers at once, in threads and in tasks."""

import asyncio
import contextlib
import gc
import threading
import tracemalloc

import anyio.lowlevel
import pytest
from tests.sdk.guard.commanding import (
    NO_WAIT,
    BackendError,
    counted,
    fail,
    fail_async,
    guard,
    in_threads,
    state,
)

from breakwater.sdk import BreakerState, CallRefusedError
from breakwater.sdk.guard import (
    BreakerConfig,
    Command,
    CommandConfig,
    Fallback,
    Guards,
    RetryConfig,
)
from breakwater.testing import FakeClock


def test_threads_do_not_wait_for_each_other(clock: FakeClock) -> None:
    """No lock spans the function: twenty bodies are inside at the same time."""
    command = guard(clock, max_concurrent=20)
    inside = threading.Barrier(20)
    done: list[int] = []
    in_threads(20, lambda: done.append(command.call_sync(inside.wait, 10.0)))
    assert sorted(done) == list(range(20))
    assert command.stats().in_flight == 0
    assert counted(command) == {"success": 20}


@pytest.mark.anyio
async def test_fifty_tasks_at_the_end_of_the_open_time_send_three(clock: FakeClock) -> None:
    """No stampede on a callee that is just getting up."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            await command.call(fail_async)
    clock.advance(3.0)
    reached = 0
    release = asyncio.Event()

    async def backend() -> int:
        nonlocal reached
        reached += 1
        await release.wait()
        return 1

    tasks = [asyncio.ensure_future(command.call(backend)) for _ in range(50)]
    await anyio.lowlevel.checkpoint()
    assert reached == 3
    release.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(end, CallRefusedError) for end in ended) == 47
    assert state(command) is BreakerState.CLOSED


@pytest.mark.parametrize("broken", [False, True])
def test_fifty_threads_at_the_end_of_the_open_time_send_three(
    clock: FakeClock,
    broken: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """All fifty ask before the first probe has ended; the probes alone decide."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    clock.advance(3.0)
    asked = threading.Barrier(48)  # 47 who are refused, and this thread
    together, release = threading.Barrier(50), threading.Event()
    reached: list[int] = []

    def backend() -> int:
        reached.append(1)
        assert release.wait(10.0)
        if broken:
            raise BackendError
        return 1

    def caller() -> None:
        together.wait(10.0)
        try:
            command.call_sync(backend)
        except CallRefusedError:
            asked.wait(10.0)
        except BackendError:
            return

    threads = [threading.Thread(target=caller) for _ in range(50)]
    for thread in threads:
        thread.start()
    asked.wait(10.0)
    assert len(reached) == 3
    release.set()
    for thread in threads:
        thread.join()
    assert len(reached) == 3
    assert state(command) is (BreakerState.OPEN if broken else BreakerState.CLOSED)
    assert command.stats().in_flight == 0


@pytest.mark.slow
def test_refusals_leave_nothing_behind() -> None:
    """A hundred thousand of them, in the midst of an outage, take no memory."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=1, open_s=3_600.0))
    command = Guards().command("refusing", config)

    @command
    def work() -> None:
        raise BackendError

    with pytest.raises(BackendError):
        work()

    def refuse(times: int) -> int:
        for _ in range(times):
            try:
                work()
            except CallRefusedError:
                continue
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = refuse(5_000)
        after = refuse(100_000)
    finally:
        tracemalloc.stop()
    assert after - before < 500_000


def test_an_idle_command_takes_little() -> None:
    """Four kilobytes at most, its decorated function and its place in the registry included."""
    guards, config = Guards(), CommandConfig()

    def work() -> None:
        """Do nothing."""

    def make(prefix: str, number: int) -> list[object]:
        return [guards.command(f"{prefix}{i}", config)(work) for i in range(number)]

    warm = make("warm", 10)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make("idle", 100)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(warm) + len(kept) == 110
    assert grown / 100 <= 4_096


@pytest.mark.parametrize("retry", [None, NO_WAIT])
@pytest.mark.parametrize("fallback", [None, lambda _error: 0])
@pytest.mark.anyio
async def test_failures_leave_no_cycles_to_the_collector(
    retry: RetryConfig | None, fallback: Fallback | None
) -> None:
    """No error holds the frames that hold it: a failed call is gone when the caller drops it."""
    config = CommandConfig(breaker=None, retry=retry)
    timed = CommandConfig(breaker=None, retry=retry, timeout_s=60.0)
    guards = Guards()
    commands = [
        guards.command("plain", config, fallback=fallback),
        guards.command("timed", timed, fallback=fallback),
    ]

    async def once(command: Command) -> None:
        with contextlib.suppress(BackendError):
            command.call_sync(fail)
        with contextlib.suppress(BackendError):
            await command.call(fail_async)

    for command in commands:
        await once(command)
    gc.collect()
    gc.disable()
    try:
        for command in commands:
            for _ in range(10):
                await once(command)
        assert gc.collect() < 10
    finally:
        gc.enable()
