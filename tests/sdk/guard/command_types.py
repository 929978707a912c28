"""Never run: mypy reads here that guarding a function changes nothing of its type."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any, assert_type

from breakwater.sdk import BreakerState, Command, Event, Guards, RetryMade, StateChanged
from breakwater.sdk.guard import BreakerTold, CallReport


async def forms(command: Command) -> None:
    """Every kind of function keeps its signature under the decorator."""

    @command
    def plain(x: int, *, loud: bool = False) -> str:
        return str(x) * (2 if loud else 1)

    @command
    async def awaited(x: int) -> str:
        return str(x)

    @command
    def items(n: int) -> Generator[int, None, str]:
        yield n
        return ""

    @command
    async def stream(n: int) -> AsyncIterator[int]:
        yield n

    assert_type(plain(1, loud=True), str)
    coroutine = assert_type(awaited(1), Coroutine[Any, Any, str])
    assert_type(await coroutine, str)
    assert_type(items(1), Generator[int, None, str])
    assert_type(stream(1), AsyncIterator[int])
    _plain: Callable[[int], str] = plain
    _awaited: Callable[[int], Awaitable[str]] = awaited
    plain("1")  # type: ignore[arg-type] # a wrong argument is found through the decorator
    plain(1, quiet=True)  # type: ignore[call-arg] # and a wrong name


async def calls(command: Command) -> None:
    """The call forms give what the function gives, and want what it wants."""

    def size(text: str) -> int:
        return len(text)

    async def fetch(text: str) -> bytes:
        return text.encode()

    assert_type(command.call_sync(size, "a"), int)
    assert_type(await command.call(fetch, "a"), bytes)
    assert_type(command.call_reported_sync(size, "a"), tuple[int, CallReport])
    assert_type(await command.call_reported(fetch, "a"), tuple[bytes, CallReport])
    command.call_sync(size, 1)  # type: ignore[arg-type] # the argument is checked
    await command.call(size, "a")  # type: ignore[arg-type] # a sync function is not awaited


def hooks(guards: Guards) -> None:
    """A hook of a class is given that class, and one of all tells them apart by class."""

    def opened(event: StateChanged) -> None:
        assert_type(event.state, BreakerState)
        assert_type(event.open_s, float)

    def broken(event: BreakerTold) -> None:
        assert_type(event.reason, str)

    def heard(event: Event) -> None:
        match event:
            case RetryMade(attempt=attempt, delay_s=delay_s):
                assert_type((attempt, delay_s), tuple[int, float])
            case StateChanged():
                assert_type(event.old, BreakerState)
        assert event.attempt  # type: ignore[attr-defined] # not of every kind

    guards.hooks.on(StateChanged, opened)
    guards.hooks.on(BreakerTold, broken)
    guards.hooks.on(Event, heard)
    guards.hooks.add(heard)
    guards.hooks.on(RetryMade, opened)  # type: ignore[arg-type] # a hook of another class
    guards.hooks.remove(opened)
