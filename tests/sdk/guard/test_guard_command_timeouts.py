"""Limits of time: the attempt's, the whole call's, the caller's, and who cancels whom."""

import asyncio
import threading

import anyio.lowlevel
import pytest
from tests.sdk.guard.commanding import NO_WAIT, BackendError, counted, guard, state

from breakwater.model import Status
from breakwater.sdk import (
    AttemptTimedOutError,
    BreakerState,
    DeadlineExceededError,
    RetryConfig,
    current,
    deadline,
    remaining_s,
)
from breakwater.sdk.guard import Command, CommandConfig, Guards, attempt_timeout
from breakwater.sdk.guard.travel.timeouts import OVER, end, timers_of
from breakwater.testing import FakeClock


@pytest.mark.parametrize("fallback", [None, lambda _error: True])
@pytest.mark.anyio
async def test_an_attempt_ends_at_its_limit(clock: FakeClock, fallback: object) -> None:
    """A callee that hangs is left, and it counts as a failure, on the fast road and beyond."""
    command = guard(clock, timeout_s=0.01, minimum_calls=1, fallback=fallback)
    if fallback is None:
        with pytest.raises(AttemptTimedOutError) as failed:
            await command.call(asyncio.Event().wait)
        assert failed.value.status is Status.TIMEOUT
    else:
        assert await command.call(asyncio.Event().wait)
    assert state(command) is BreakerState.OPEN
    assert command.stats().calls["timeout"] == 1
    assert command.stats().in_flight == 0


@pytest.mark.anyio
async def test_a_limit_cut_short_by_the_deadline_is_not_the_callees_fault(
    clock: FakeClock,
) -> None:
    """A caller in a hurry must not open the circuit for everybody."""
    command = guard(clock, timeout_s=60.0, minimum_calls=1)
    with deadline(0.01, clock), pytest.raises(AttemptTimedOutError) as failed:
        await command.call(asyncio.Event().wait)
    assert failed.value.was_cut_short
    assert state(command) is BreakerState.CLOSED
    assert command.stats().calls["timeout"] == 1


@pytest.mark.anyio
async def test_the_total_deadline_is_hard() -> None:
    """It ends a hanging attempt, and no further attempt begins after it."""
    config = CommandConfig(
        total_s=0.02, breaker=None, retry=RetryConfig(max_attempts=9, initial_s=0.0)
    )
    command = Command("rank", config, guards=Guards())
    with pytest.raises(AttemptTimedOutError):
        await command.call(asyncio.Event().wait)
    assert counted(command) == {"timeout": 1, "fallback_missing": 1, "exception_thrown": 1}
    assert command.stats().in_flight == 0


def test_no_attempt_begins_when_the_wait_would_outlast_the_total(clock: FakeClock) -> None:
    """The error of the last attempt stands; waiting for nothing helps nobody."""
    config = RetryConfig(max_attempts=9, initial_s=3.0, max_s=3.0, jitter="none")
    command = guard(clock, total_s=7.0, retry=config, minimum_calls=100)

    def fail_after_a_second() -> int:
        clock.advance(1.0)
        raise BackendError

    with pytest.raises(BackendError):
        command.call_sync(fail_after_a_second)
    assert command.stats().calls["failure"] == 2
    assert command.figures().total.max_s == pytest.approx(5.0)
    assert command.figures().execution.max_s == pytest.approx(1.0)


@pytest.mark.anyio
async def test_a_timeout_of_the_function_itself_is_a_plain_failure(clock: FakeClock) -> None:
    """Only the guard's own limit is turned into an AttemptTimedOutError."""

    async def slow_inside() -> int:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await guard(clock, timeout_s=5.0).call(slow_inside)


@pytest.mark.parametrize("fallback", [None, lambda _error: 0.0])
def test_a_sync_attempt_sees_its_time_and_pays_for_coming_late(
    clock: FakeClock, fallback: object
) -> None:
    """It cannot be interrupted: its answer is used, and the breaker counts it as a failure."""
    command = guard(clock, timeout_s=0.5, minimum_calls=1, fallback=fallback)

    def slow() -> float | None:
        left_s = remaining_s(clock)
        clock.advance(0.6)
        return left_s

    assert command.call_sync(slow) == pytest.approx(0.5)
    assert current().deadline_s is None
    assert state(command) is BreakerState.OPEN
    assert counted(command) == {"timeout": 1}


def test_a_later_attempt_has_what_is_left_of_the_total(clock: FakeClock) -> None:
    """The function finds the nearer of both limits as its deadline."""
    command = guard(clock, timeout_s=2.0, total_s=3.0, retry=NO_WAIT, minimum_calls=10)
    seen: list[float | None] = []

    def slow_failure() -> int:
        seen.append(remaining_s(clock))
        clock.advance(1.5)
        raise BackendError

    with pytest.raises(BackendError):
        command.call_sync(slow_failure)
    assert seen == [pytest.approx(2.0), pytest.approx(1.5)]


@pytest.mark.anyio
async def test_a_cancellation_from_outside_beats_the_limit() -> None:
    """If both come together, the task is cancelled, not timed out."""
    task = asyncio.current_task()
    assert task is not None
    limit = timers_of(task.get_loop()).start(task, 0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await anyio.lowlevel.checkpoint()
    while not limit[OVER]:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            break
    assert not end(limit)
    assert task.uncancel() == 0


@pytest.mark.anyio
async def test_the_limit_leaves_no_cancellation_behind() -> None:
    """After a timeout the task can go on and be limited again."""
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        with pytest.raises(TimeoutError), attempt_timeout(task, task.get_loop(), 0.001):
            await asyncio.Event().wait()
    assert task.cancelling() == 0


@pytest.mark.anyio
async def test_an_outer_limit_ends_the_inner_call_too() -> None:
    """Limits nest: the nearer one is heard, and by its own command."""
    guards = Guards()
    outer = Command("outer", CommandConfig(timeout_s=0.01), guards=guards)
    inner = Command("inner", CommandConfig(timeout_s=60.0), guards=guards)

    async def both() -> bool:
        return await inner.call(asyncio.Event().wait)

    with pytest.raises(AttemptTimedOutError) as failed:
        await outer.call(both)
    assert {failed.value.service} <= {"outer", "inner"}
    assert inner.stats().in_flight == outer.stats().in_flight == 0


@pytest.mark.anyio
async def test_a_hanging_dependency_leaves_other_commands_unmoved() -> None:
    """Its callers time out one by one; what another command guards goes on as if nothing were."""
    guards = Guards()
    hanging = Command("hanging", CommandConfig(timeout_s=0.02), guards=guards)
    healthy = Command("healthy", CommandConfig(timeout_s=5.0), guards=guards)

    async def answer(x: int) -> int:
        await anyio.lowlevel.checkpoint()
        return x

    stuck = [asyncio.ensure_future(hanging.call(asyncio.Event().wait)) for _ in range(30)]
    assert [await healthy.call(answer, i) for i in range(50)] == list(range(50))
    ends = await asyncio.gather(*stuck, return_exceptions=True)
    assert all(isinstance(error, AttemptTimedOutError) for error in ends)
    assert healthy.figures().error_percent == 0
    assert healthy.lane.timed is not None
    assert hanging.lane.timed is None


@pytest.mark.anyio
async def test_the_heap_of_limits_stays_small() -> None:
    """Ended limits are dropped although none of them has come to its time."""
    task = asyncio.current_task()
    assert task is not None
    timers = timers_of(task.get_loop())
    first = timers.start(task, 1000.0)
    for _ in range(5_000):
        end(timers.start(task, 3600.0))
    assert len(timers) < 600
    end(first)


def test_limits_of_many_loops_do_not_meet() -> None:
    """Each event loop has its own heap, also when loops take turns on one thread."""

    async def time_out() -> bool:
        task = asyncio.current_task()
        assert task is not None
        try:
            with attempt_timeout(task, task.get_loop(), 0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return True
        return False

    done: list[bool] = []

    def run() -> None:
        done.extend(asyncio.run(time_out()) for _ in range(2))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 6


def test_a_call_that_is_refused_for_time_says_so(clock: FakeClock) -> None:
    """Nothing was sent, and the message tells why."""
    with deadline(-1.0, clock), pytest.raises(DeadlineExceededError, match="deadline has passed"):
        guard(clock).call_sync(int)
