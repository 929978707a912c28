"""Fallbacks of generators: their items go on where the function's ended."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tests.sdk.guard.commanding import BackendError, counted, guard

from breakwater.sdk import SettingsError
from breakwater.sdk.guard import (
    BreakerConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    FallbackConfig,
    Guards,
    Kind,
)
from breakwater.testing import FakeClock, recording


def going_on(_: Exception) -> Iterator[int]:
    """A fallback that is a generator."""
    yield 8
    yield 9


async def going_on_async(_: Exception) -> AsyncIterator[int]:
    """A fallback that is an async generator."""
    yield 8
    yield 9


def stream_of(command: Command, *items: int, error: type[Exception] | None = BackendError) -> Any:
    """A guarded generator that gives these items and then fails."""

    @command
    def stream() -> Iterator[int]:
        yield from items
        if error is not None:
            raise error

    return stream


def async_stream_of(command: Command, *items: int) -> Any:
    """A guarded async generator that gives these items and then fails."""

    @command
    async def stream() -> AsyncIterator[int]:
        for item in items:
            await asyncio.sleep(0)
            yield item
        raise BackendError

    return stream


def all_home(command: Command) -> bool:
    """Whether no permit is out, of calls or of fallbacks."""
    stats = command.stats()
    return stats.in_flight == 0 and (stats.fallback is None or stats.fallback.in_use == 0)


@pytest.mark.parametrize(
    "fallback", [going_on, lambda _: [8, 9], lambda _: (8, 9)], ids=["generator", "list", "tuple"]
)
def test_before_the_first_item_any_fallback_that_gives_items_may_answer(
    clock: FakeClock, fallback: Callable[[Exception], Any]
) -> None:
    """Its items are counted as its own, and its end as the success."""
    command = guard(clock, fallback=fallback)
    assert list(stream_of(command)()) == [8, 9]
    assert counted(command) == {"failure": 1, "fallback_emit": 2, "fallback_success": 1}
    assert all_home(command)


def test_after_the_first_item_a_generator_goes_on(clock: FakeClock) -> None:
    """What went out stays, and the items of the fallback follow it."""
    command = guard(clock, fallback=going_on)
    assert list(stream_of(command, 1, 2)()) == [1, 2, 8, 9]
    assert counted(command) == {
        "emit": 2,
        "failure": 1,
        "fallback_emit": 2,
        "fallback_success": 1,
    }


def test_after_the_first_item_a_plain_function_is_not_asked(clock: FakeClock) -> None:
    """It would give the whole answer once more: nothing stands in."""
    command = guard(clock, fallback=lambda _: [8, 9])
    items = stream_of(command, 1)()
    assert next(items) == 1
    with pytest.raises(BackendError):
        next(items)
    assert counted(command) == {
        "emit": 1,
        "failure": 1,
        "fallback_missing": 1,
        "exception_thrown": 1,
    }
    assert all_home(command)


def test_a_refused_stream_gets_a_fallback_too(clock: FakeClock) -> None:
    """An open circuit, as with any other call."""
    command = guard(clock, fallback=lambda error: [type(error).__name__])
    seen = [list(stream_of(command)()) for _ in range(3)]
    assert seen == [["BackendError"], ["BackendError"], ["CallRefusedError"]]
    assert counted(command)["short_circuited"] == 1


def test_fallbacks_of_a_stream_are_asked_in_turn(clock: FakeClock) -> None:
    """One that fails makes room for the next; after its own items only for a generator."""

    def breaks(_: Exception) -> Iterator[int]:
        yield 5
        raise KeyError

    command = guard(clock, fallback=(breaks, lambda _: [7], going_on))
    assert list(stream_of(command)()) == [5, 8, 9]
    assert counted(command) == {"failure": 1, "fallback_emit": 3, "fallback_success": 1}


def test_a_fallback_that_breaks_off_is_a_failure_of_the_fallback(clock: FakeClock) -> None:
    """Its error reaches the consumer with the first one as its context."""

    def breaks(_: Exception) -> Iterator[int]:
        yield 5
        raise KeyError

    command = guard(clock, fallback=breaks)
    items = stream_of(command)()
    assert next(items) == 5
    with pytest.raises(KeyError) as seen:
        next(items)
    assert isinstance(seen.value.__context__, BackendError)
    assert counted(command) == {
        "failure": 1,
        "fallback_emit": 1,
        "fallback_failure": 1,
        "exception_thrown": 1,
    }
    assert all_home(command)


def test_a_fallback_that_gives_no_items_is_a_clear_error(clock: FakeClock) -> None:
    """A generator cannot give one number."""
    command = guard(clock, fallback=lambda _: 3)
    with pytest.raises(SettingsError, match="gave int, must give an iterable"):
        list(stream_of(command)())
    assert counted(command)["fallback_failure"] == 1


@pytest.mark.parametrize("collected", [False, True])
@pytest.mark.parametrize("taken", [1, 2, 3])
def test_whoever_leaves_a_stream_leaves_no_permit_out(
    clock: FakeClock, taken: int, *, collected: bool
) -> None:
    """Closed or collected, within the function's items or the fallback's, he was served."""
    command = guard(clock, fallback=going_on)
    items = stream_of(command, 1)()
    for _ in range(taken):
        next(items)
    if collected:
        del items
        gc.collect()
    else:
        items.close()
    found = counted(command)
    assert all_home(command)
    assert found.pop("emit") == 1
    want = {"success": 1} if taken == 1 else {"failure": 1, "fallback_success": 1}
    if taken > 1:
        assert found.pop("fallback_emit") == taken - 1
    assert found == want


def test_fallbacks_of_streams_have_the_same_permits(clock: FakeClock) -> None:
    """A stream holds one until its last item; one too many is turned away."""
    config = CommandConfig(breaker=None, fallback=FallbackConfig(max_concurrent=1))
    command = Command("rank", config, guards=Guards(clock=clock), fallback=going_on)
    stream = stream_of(command)
    first = stream()
    assert next(first) == 8
    with pytest.raises(BackendError):
        next(stream())
    assert counted(command)["fallback_rejection"] == 1
    assert list(first) == [9]
    assert list(stream()) == [8, 9]
    assert all_home(command)


def test_what_the_consumer_throws_in_gets_no_fallback(clock: FakeClock) -> None:
    """It is his own error, and comes back to him."""
    command = guard(clock, fallback=going_on)

    @contextmanager
    @command
    def lent() -> Iterator[int]:
        yield 1

    with pytest.raises(BackendError), lent():
        raise BackendError
    assert counted(command)["failure"] == 1
    assert "fallback_emit" not in counted(command)
    assert all_home(command)


def test_a_stream_hands_back_what_its_last_source_returned(clock: FakeClock) -> None:
    """The value of `yield from` is that of the fallback where it went on."""

    def last(_: Exception) -> Any:
        yield 8
        return "stand-in"

    command = guard(clock, fallback=last)

    def consume() -> Any:
        return (yield from stream_of(command)())

    items = consume()
    assert next(items) == 8
    with pytest.raises(StopIteration) as end:
        next(items)
    assert end.value.value == "stand-in"


def test_the_hooks_are_told_of_a_stream_once(clock: FakeClock) -> None:
    """When it is over, with all that happened."""
    command = guard(clock, fallback=going_on)
    with recording(command.guards, {Kind.CALL, Kind.FALLBACK}) as told:  # type: ignore[arg-type] # the registry itself
        assert list(stream_of(command, 1)()) == [1, 8, 9]
    assert told.kinds == [Kind.FALLBACK, Kind.CALL]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fallback",
    [going_on_async, going_on, lambda _: [8, 9]],
    ids=["async generator", "generator", "list"],
)
@pytest.mark.parametrize("items", [(), (1,)])
async def test_an_async_stream_goes_on_with_its_fallback(
    clock: FakeClock, fallback: Callable[[Exception], Any], items: tuple[int, ...]
) -> None:
    """As a plain one does, with items to wait for or not."""
    command = guard(clock, timeout_s=60.0, total_s=60.0, fallback=fallback)
    seen = []
    goes_on = not items or fallback in {going_on, going_on_async}
    with suppress(BackendError):
        async for item in async_stream_of(command, *items)():
            seen += [item]
    assert seen == [*items, *((8, 9) if goes_on else ())]
    found = counted(command)
    assert found.get("emit", 0) == len(items)
    assert found.get("fallback_emit", 0) == (2 if goes_on else 0)
    assert found.get("fallback_missing", 0) == (0 if goes_on else 1)
    assert all_home(command)


@pytest.mark.anyio
async def test_an_async_fallback_may_have_to_be_awaited_for_its_items(clock: FakeClock) -> None:
    """As one of an async call may."""

    async def looked_up(_: Exception) -> list[int]:
        await asyncio.sleep(0)
        return [4]

    command = guard(clock, fallback=looked_up)
    assert [item async for item in async_stream_of(command)()] == [4]
    wrong = guard(clock, fallback=lambda _: 3)
    with pytest.raises(SettingsError, match="gave int"):
        await anext(async_stream_of(wrong)())


@pytest.mark.anyio
@pytest.mark.parametrize("taken", [1, 2])
async def test_whoever_leaves_an_async_stream_leaves_no_permit_out(
    clock: FakeClock, taken: int
) -> None:
    """Within the function's items or the fallback's."""
    command = guard(clock, fallback=going_on_async)
    items = async_stream_of(command, 1)()
    for _ in range(taken):
        await anext(items)
    await items.aclose()
    assert all_home(command)
    assert counted(command)["success" if taken == 1 else "fallback_success"] == 1


@pytest.mark.anyio
async def test_a_cancelled_fallback_gives_its_permit_back(clock: FakeClock) -> None:
    """A consumer who is cancelled while he waits for it is a cancellation, and no failure."""
    begun = asyncio.Event()

    async def hangs(_: Exception) -> AsyncIterator[int]:
        begun.set()
        await asyncio.get_running_loop().create_future()
        yield 1

    command = guard(clock, fallback=hangs)
    task = asyncio.ensure_future(anext(async_stream_of(command)()))
    await asyncio.wait_for(begun.wait(), 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(command) == {"failure": 1, "cancelled": 1}
    assert all_home(command)


@pytest.mark.anyio
async def test_a_late_first_item_gets_a_fallback(clock: FakeClock) -> None:
    """A stream that never begins is a timeout like any other."""
    command = guard(clock, timeout_s=0.01, fallback=lambda error: [type(error).__name__])

    @command
    async def never() -> AsyncIterator[object]:
        await asyncio.get_running_loop().create_future()
        yield 1

    assert [item async for item in never()] == ["AttemptTimedOutError"]
    assert counted(command) == {"timeout": 1, "fallback_emit": 1, "fallback_success": 1}


def test_an_error_that_a_fallback_stood_in_for_is_held_by_nobody() -> None:
    """No frame of the guard keeps it, nor what the consumer threw in."""
    config = CommandConfig(breaker=BreakerConfig(), bulkhead=BulkheadConfig())
    command = Command("rank", config, guards=Guards(), fallback=going_on)
    born: list[weakref.ref[Exception]] = []

    @command
    def stream() -> Iterator[int]:
        yield 1
        error = BackendError()
        born.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()
    try:
        assert list(stream()) == [1, 8, 9]
        thrown = BackendError()
        born.append(weakref.ref(thrown))
        items: Any = stream()
        next(items)
        with suppress(BackendError):
            items.throw(thrown)
        del thrown
        assert [one() for one in born] == [None, None]
    finally:
        gc.enable()
