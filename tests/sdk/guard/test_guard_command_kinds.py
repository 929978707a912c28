"""Functions of the wrong kind: a coroutine where an answer is due, an answer where one awaits."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
from tests.sdk.guard.commanding import NO_WAIT, BackendError, counted, guard

from breakwater.sdk.guard import Command, CommandConfig
from breakwater.testing import FakeClock

MISTAKE = {"bad_request": 1, "exception_thrown": 1}
"""All that is counted of it."""

Road = Callable[[FakeClock], Command]
ROADS: dict[str, Road] = {
    "plain": guard,
    "timed": lambda clock: guard(clock, timeout_s=1.0),
    "general": lambda clock: guard(clock, is_failure=lambda _: False),
}


async def answer() -> int:
    """Never begun where it is not awaited."""
    raise BackendError


ANSWER: Any = answer
"""Without its type: a type checker finds this mistake by itself."""


def plain() -> int:
    """Not a coroutine function."""
    return 1


def fallback(_: Exception) -> int:
    """An answer that must not hide a mistake."""
    return 2


@pytest.fixture(params=list(ROADS))
def command(request: pytest.FixtureRequest, clock: FakeClock) -> Command:
    """One on each road there is."""
    return ROADS[request.param](clock)


def test_a_sync_call_of_a_coroutine_function_is_a_clear_error(command: Command) -> None:
    """It names the function and the way out, counts no success and gives its permit back."""
    with pytest.raises(TypeError, match=r"^answer gave a coroutine .*`await command\.call\("):
        command.call_sync(ANSWER)
    gc.collect()  # 'never awaited' would be an error here
    assert counted(command) == MISTAKE
    assert command.stats().in_flight == 0


def test_a_decorated_function_that_gives_a_coroutine_is_a_clear_error(command: Command) -> None:
    """A lambda around an async function cannot be told before it is called, but then it is."""
    guarded = command(lambda: ANSWER())  # noqa: PLW0108 - the trap itself
    with pytest.raises(TypeError, match=r"lambda.* gave a coroutine to a sync call"):
        guarded()
    gc.collect()
    assert counted(command) == MISTAKE
    assert command.stats().in_flight == 0


@pytest.mark.anyio
async def test_an_async_call_of_a_plain_function_is_a_clear_error(command: Command) -> None:
    """It says what came instead of something to await, and counts no success."""
    wrong: Any = plain
    with pytest.raises(TypeError, match=r"^plain gave int, .*`command\.call_sync\("):
        await command.call(wrong)
    assert counted(command) == MISTAKE
    assert command.stats().in_flight == 0


def test_a_function_of_the_wrong_kind_gets_no_fallback_and_no_retry(clock: FakeClock) -> None:
    """It is a mistake of the caller's code, which nothing may hide, whatever `falls_back` says."""
    command = guard(clock, retry=NO_WAIT, fallback=fallback, falls_back=lambda _: True)
    with pytest.raises(TypeError, match=r"^answer gave a coroutine"):
        command.call_sync(ANSWER)
    assert counted(command) == MISTAKE


def test_a_disabled_command_finds_the_mistake_too(clock: FakeClock) -> None:
    """What fails under guard fails without it, so that it is not found only when enabled."""
    command = guard(clock)
    command.configure(CommandConfig(enabled=False))
    with pytest.raises(TypeError, match=r"^answer gave a coroutine"):
        command.call_sync(ANSWER)
