"""Where the shim differs from pybreaker, and why that is better: the listed differences, shown."""

import abc
import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

import pybreaker
import pytest
from tests.sdk.shims.tripping import OOPS, OPEN_S, fail, opened

from breakwater.sdk import BreakerState, Guards, Kind, SettingsError
from breakwater.sdk.shims import pybreaker as shim
from breakwater.testing import FakeClock, recording, run_virtual, told


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interrupted_call_is_no_failure(
    breaker_of: Callable[..., shim.CircuitBreaker], kind: type[BaseException]
) -> None:
    """For pybreaker it is: two of them open it."""

    def interrupted() -> None:
        raise kind

    states = []
    for breaker in (breaker_of(), pybreaker.CircuitBreaker(fail_max=2)):
        for _ in range(2):
            with pytest.raises((kind, pybreaker.CircuitBreakerError)):
                breaker.call(interrupted)
        states.append((breaker.current_state, breaker.fail_counter))
    assert states == [("closed", 0), ("open", 2)]


def test_async_functions_are_judged_by_how_they_end(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """By `@breaker`, `call` and a block; for pybreaker a coroutine has succeeded at once."""
    breaker = breaker_of(fail_max=4)

    async def ask() -> None:
        raise OOPS

    async def block() -> None:
        with breaker.calling():
            await ask()

    async def main() -> None:
        decorated = breaker(ask)
        assert asyncio.iscoroutinefunction(decorated)
        forced: Any = breaker(__pybreaker_call_async=True)(fail)
        for call in (decorated, partial(breaker.call, ask), block):
            with pytest.raises(ValueError, match="oops"):
                await call()
        with pytest.raises(shim.CircuitBreakerError, match="Failures threshold reached"):
            await forced()
        with pytest.raises(shim.CircuitBreakerError, match="still open"):
            await decorated()

    run_virtual(main(), clock)


def test_async_generators_are_judged_when_they_end(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """Their failure counts, their end is a success."""
    breaker = breaker_of()

    @breaker
    async def numbers(*, fails: bool) -> AsyncIterator[int]:
        yield 1
        if fails:
            raise OOPS

    async def main() -> None:
        with pytest.raises(ValueError, match="oops"):
            assert [item async for item in numbers(fails=True)]
        assert breaker.fail_counter == 1
        assert [item async for item in numbers(fails=False)] == [1]
        assert breaker.fail_counter == 0

    run_virtual(main(), clock)


def test_a_generator_closed_early_is_no_failure(
    breaker_of: Callable[..., shim.CircuitBreaker],
) -> None:
    """The consumer had enough; what the generator returns is passed on too."""
    breaker = breaker_of()

    @breaker
    def numbers() -> Generator[int, None, str]:
        yield from (1, 2)
        return "end"

    stream = numbers()
    assert next(stream) == 1
    stream.close()
    assert breaker.fail_counter == 0

    def outer() -> Iterator[int]:
        assert (yield from numbers()) == "end"

    assert list(outer()) == [1, 2]


def test_a_listener_that_raises_breaks_nothing(
    breaker_of: Callable[..., shim.CircuitBreaker], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; pybreaker raises it in place of the error, and never opens."""

    def broken(lib: Any) -> Any:
        class Broken(lib.CircuitBreakerListener):  # type: ignore[misc] # of either library
            def failure(self, cb: Any, exc: BaseException) -> None:
                raise RuntimeError("listener")

        return Broken()

    breaker = breaker_of(listeners=[broken(shim)])
    opened(breaker)
    assert "listener failed" in caplog.text
    theirs = pybreaker.CircuitBreaker(fail_max=2, listeners=[broken(pybreaker)])
    for _ in range(5):
        with pytest.raises(RuntimeError, match="listener"):
            theirs.call(fail)
    assert theirs.current_state == pybreaker.STATE_CLOSED


def test_an_abstract_class_excludes_its_own_errors_only(
    breaker_of: Callable[..., shim.CircuitBreaker],
) -> None:
    """Pybreaker takes it for a predicate, calls it, and finds the object true."""

    class Business(Exception, metaclass=abc.ABCMeta):  # noqa: N818 - as programs name theirs
        """Not the callee's fault."""

    assert not pybreaker.CircuitBreaker(exclude=[Business]).is_system_error(OOPS)
    breaker = breaker_of(exclude=[Business])
    assert breaker.is_system_error(OOPS)
    assert not breaker.is_system_error(Business())


def test_setting_the_wall_clock_does_not_end_the_open_time(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """Only time that has passed does."""
    breaker = breaker_of()
    opened(breaker)
    clock.leap(3600)
    with pytest.raises(shim.CircuitBreakerError, match="still open"):
        breaker.call(fail)
    clock.leap(-7200)
    clock.advance(OPEN_S + 1)
    assert breaker.call(lambda: 5) == 5


def test_storages_of_other_processes_are_refused() -> None:
    """The message says what is allowed, and why."""
    with pytest.raises(SettingsError, match="only CircuitMemoryStorage is allowed"):
        shim.CircuitBreaker(state_storage=shim.CircuitBreakerStorage("theirs"))
    with pytest.raises(SettingsError, match="CircuitRedisStorage"):
        shim.CircuitRedisStorage(shim.STATE_CLOSED, object())


def test_hooks_hear_of_states_and_refusals(
    breaker_of: Callable[..., shim.CircuitBreaker], guards: Guards
) -> None:
    """The registry's hooks are told as of any guarded command."""
    breaker = breaker_of(name="prices")
    with recording(guards) as events:
        opened(breaker)
        with pytest.raises(shim.CircuitBreakerError):
            breaker.call(fail)
    events.assert_sequence(
        told(
            Kind.STATE, command="prices", old=BreakerState.CLOSED, state=BreakerState.OPEN,
            reason="failure_rate",
        ),
        told(Kind.REFUSED, command="prices", reason="breaker_open"),
    )  # fmt: skip


def test_the_time_of_the_opening_can_be_read(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """On the wall clock, in UTC."""
    storage = shim.CircuitMemoryStorage(shim.STATE_CLOSED)
    breaker = breaker_of(state_storage=storage)
    opened(breaker)
    assert storage.opened_at is not None
    assert storage.opened_at.timestamp() * 1000 == clock.now_ms()
    storage.state = shim.STATE_CLOSED
    assert breaker.current_state == shim.STATE_CLOSED


def test_states_show_their_names(breaker_of: Callable[..., shim.CircuitBreaker]) -> None:
    """And may be set by name."""
    breaker = breaker_of()
    breaker.state = shim.STATE_HALF_OPEN
    assert repr(breaker.state) == "<CircuitHalfOpenState 'half-open'>"
