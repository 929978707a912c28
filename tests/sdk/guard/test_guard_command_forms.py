"""Blocks and generators: one attempt that lasts as long as the user's own code."""

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.sdk.guard.commanding import BackendError, counted, fail, guard, state

from breakwater.sdk import AttemptTimedOutError, BreakerState, CallRefusedError, remaining_s
from breakwater.sdk.guard import BreakerConfig, BulkheadConfig, CommandConfig
from breakwater.testing import FakeClock


def test_a_block_is_one_attempt(clock: FakeClock) -> None:
    """It counts by how it ends, and holds its permit until then."""
    command = guard(clock, max_concurrent=1)
    with command.entered():
        assert command.stats().in_flight == 1
        with pytest.raises(CallRefusedError):
            command.call_sync(int)
    with pytest.raises(BackendError), command.entered():
        fail()
    assert command.stats().in_flight == 0
    calls = command.stats().calls
    assert (calls["success"], calls["failure"], calls["semaphore_rejected"]) == (1, 1, 1)


def test_a_block_may_say_how_it_ended(clock: FakeClock) -> None:
    """An error in the answer's body is a failure though nothing was raised, and the reverse."""
    command = guard(clock, minimum_calls=100)
    with command.entered() as attempt:
        attempt.failed()
    with command.entered() as attempt:
        attempt.ignored()

    def end_well_and_fail() -> None:
        with command.entered() as attempt:
            attempt.succeeded()
            fail()

    with pytest.raises(BackendError):
        end_well_and_fail()
    assert counted(command) == {"success": 1, "failure": 1, "bad_request": 1}


def test_a_block_sees_its_time(clock: FakeClock) -> None:
    """The deadline within is that of the attempt."""
    command = guard(clock, timeout_s=0.5)
    with command.entered():
        assert remaining_s(clock) == pytest.approx(0.5)
    assert remaining_s(clock) is None


@pytest.mark.anyio
async def test_an_async_block_is_cancelled_at_its_limit(clock: FakeClock) -> None:
    """It ends in the guard's own error, and the permit is back."""
    command = guard(clock, timeout_s=0.01, minimum_calls=1)
    with pytest.raises(AttemptTimedOutError):
        async with command.entered_async():
            await asyncio.Event().wait()
    assert state(command) is BreakerState.OPEN
    assert command.stats().in_flight == 0
    with pytest.raises(CallRefusedError):
        async with command.entered_async():
            raise AssertionError("not reached")


@pytest.mark.anyio
async def test_an_async_block_that_ends_well_is_a_success(clock: FakeClock) -> None:
    """And a cancelled one counts as nothing."""
    command = guard(clock, timeout_s=60.0)
    async with command.entered_async():
        await asyncio.sleep(0)

    async def hang() -> None:
        async with command.entered_async():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(command) == {"success": 1, "cancelled": 1}


def test_a_generator_holds_its_permit_to_the_end(clock: FakeClock) -> None:
    """Until it is exhausted; its items are counted."""
    command = guard(clock, max_concurrent=1)

    @command
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    assert inspect.isgeneratorfunction(count)
    items = count(3)
    assert command.stats().in_flight == 0
    assert next(items) == 0
    assert command.stats().in_flight == 1
    assert list(items) == [1, 2]
    assert command.stats().in_flight == 0
    assert counted(command) == {"success": 1, "emit": 3}


def test_a_generator_gives_its_permit_back_when_closed_or_collected(clock: FakeClock) -> None:
    """Whoever stops reading was served, and whoever forgets it leaks nothing."""
    command = guard(clock)

    @command
    def count() -> Iterator[int]:
        yield from range(10)

    items = count()
    next(items)
    items.close()  # type: ignore[attr-defined] # an Iterator to its users, a generator in truth
    forgotten = count()
    next(forgotten)
    del forgotten
    gc.collect()
    assert command.stats().in_flight == 0
    assert counted(command) == {"success": 2, "emit": 2}


def test_a_generator_that_breaks_is_a_failure(clock: FakeClock) -> None:
    """Half an answer is none."""
    command = guard(clock)

    @command
    def broken() -> Iterator[int]:
        yield 1
        raise BackendError

    for _ in range(2):
        with pytest.raises(BackendError):
            list(broken())
    assert state(command) is BreakerState.OPEN
    with pytest.raises(CallRefusedError):
        list(broken())


def test_a_generator_can_be_sent_to(clock: FakeClock) -> None:
    """Guarding changes nothing of how it is used."""
    command = guard(clock)

    @command
    def echo() -> Iterator[object]:
        got: object = None
        while True:
            got = yield got

    talk = echo()
    next(talk)
    assert talk.send(5) == 5  # type: ignore[attr-defined] # as above


@pytest.mark.anyio
async def test_an_async_generator_is_guarded_to_its_end(clock: FakeClock) -> None:
    """All items come through, in order; the permit is held meanwhile."""
    command = guard(clock, timeout_s=60.0, max_concurrent=1)

    @command
    async def count(to: int) -> AsyncIterator[int]:
        for i in range(to):
            await asyncio.sleep(0)
            yield i

    assert inspect.isasyncgenfunction(count)
    seen = []
    async for i in count(3):
        assert command.stats().in_flight == 1
        seen.append(i)
    assert seen == [0, 1, 2]
    assert counted(command) == {"success": 1, "emit": 3}


@pytest.mark.anyio
async def test_the_first_item_of_an_async_generator_has_a_limit(clock: FakeClock) -> None:
    """A stream that never begins is a timeout; one that pauses later is not."""
    command = guard(clock, timeout_s=0.01)

    @command
    async def never() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    with pytest.raises(AttemptTimedOutError):
        await anext(never())
    assert command.stats().calls["timeout"] == 1
    assert command.stats().in_flight == 0


@pytest.mark.anyio
async def test_an_async_generator_that_is_left_was_served(clock: FakeClock) -> None:
    """Closing it gives the permit back and counts as a success."""
    command = guard(clock)

    @command
    async def count() -> AsyncIterator[int]:
        for i in range(10):
            yield i

    items = count()
    assert await anext(items) == 0
    await items.aclose()  # type: ignore[attr-defined] # an AsyncIterator to its users
    assert command.stats().in_flight == 0
    assert counted(command) == {"success": 1, "emit": 1}


def test_blocks_and_generators_of_a_disabled_command_are_not_touched(clock: FakeClock) -> None:
    """Neither refused nor counted nor given another deadline, as any other call of it."""
    command = guard(clock, max_concurrent=1)

    @command
    def count() -> Iterator[float | None]:
        yield from (remaining_s(clock), remaining_s(clock))

    held = command.entered()
    held.__enter__()
    config = CommandConfig(
        enabled=False, total_s=1.0, breaker=BreakerConfig(mode="forced_open"),
        bulkhead=BulkheadConfig(max_concurrent=1),
    )  # fmt: skip
    command.configure(config)
    assert list(count()) == [None, None]
    with command.entered() as attempt:
        assert remaining_s(clock) is None
        assert attempt.left_s() is None
    with pytest.raises(BackendError), command.entered():
        raise BackendError
    held.__exit__(None, None, None)
    assert counted(command) == {"success": 1}


@pytest.mark.anyio
async def test_async_blocks_and_generators_of_a_disabled_command_are_not_touched(
    clock: FakeClock,
) -> None:
    """As the plain ones."""
    command = guard(clock, timeout_s=1.0)
    config = CommandConfig(enabled=False, timeout_s=1e-9, breaker=BreakerConfig(mode="forced_open"))
    command.configure(config)

    @command
    async def count() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1

    assert [item async for item in count()] == [1]
    async with command.entered_async():
        await asyncio.sleep(0)
    assert counted(command) == {}
