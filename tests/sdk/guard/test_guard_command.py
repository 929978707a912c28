"""Guarded functions, sync and async: what comes through, what is refused, what is counted."""

import asyncio
import copy
import inspect
import pickle
from typing import Any

import anyio.lowlevel
import pytest
from tests.sdk.guard.commanding import (
    NO_WAIT,
    BackendError,
    counted,
    fail,
    fail_async,
    guard,
    guards_of,
    state,
)

from breakwater.model import Status
from breakwater.sdk import (
    AttemptTimedOutError,
    BreakerState,
    CallError,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
    deadline,
)
from breakwater.sdk.guard import Bulkhead, Command, CommandConfig, EventType, StaleConfig
from breakwater.testing import FakeClock


def test_a_decorated_function_keeps_its_name_and_its_answer(clock: FakeClock) -> None:
    """Guarding changes nothing while all is well."""

    @guard(clock)
    def double(x: int, *, plus: int = 0) -> int:
        """Twice x."""
        return 2 * x + plus

    answer: int = double(4, plus=1)
    assert answer == 9
    assert double.__doc__ == "Twice x."


def test_a_decorated_method_is_bound_as_before(clock: FakeClock) -> None:
    """The decorator gives functions, so methods find their object."""

    class Ranker:
        factor = 3

        @guard(clock)
        def rank(self, x: int) -> int:
            return self.factor * x

    assert Ranker().rank(2) == 6


@pytest.mark.anyio
async def test_a_decorated_coroutine_function_stays_one(clock: FakeClock) -> None:
    """It is awaited as before."""
    command = guard(clock)

    @command
    async def double(x: int) -> int:
        return 2 * x

    answer: int = await double(4)
    assert answer == 8
    assert inspect.iscoroutinefunction(double)
    assert command.stats().calls["success"] == 1


def test_failures_open_the_circuit_and_nothing_is_called_then(clock: FakeClock) -> None:
    """Behind an open circuit the function rests."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    with pytest.raises(CallRefusedError) as refused:
        command.call_sync(fail)
    assert (refused.value.status, refused.value.reason) == (Status.SHORT_CIRCUITED, "breaker_open")
    assert refused.value.retry_after_s == pytest.approx(2.0)
    calls = command.stats().calls
    assert (calls["failure"], calls["short_circuited"]) == (2, 1)
    breaker = command.stats().breaker
    assert breaker is not None
    assert breaker.short_circuited == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.anyio
async def test_a_circuit_opens_and_closes_again_on_every_road(
    clock: FakeClock,
    is_async: bool,  # noqa: FBT001 - drawn by pytest
    timeout_s: float | None,
) -> None:
    """Fast roads shut with the breaker, its probes take the general one, and then they open."""
    command = guard(clock, timeout_s=timeout_s)
    broken = True

    def body() -> int:
        if broken:
            raise BackendError
        return 1

    async def body_async() -> int:
        return body()

    async def call() -> int:
        return await command.call(body_async) if is_async else command.call_sync(body)

    for _ in range(2):
        with pytest.raises(BackendError):
            await call()
    with pytest.raises(CallRefusedError):
        await call()
    broken = False
    clock.advance(2.5)
    for _ in range(4):
        assert await call() == 1
    assert state(command) is BreakerState.CLOSED
    assert command.lane.plain is not None or command.lane.timed is not None
    assert counted(command) == {
        "success": 4,
        "failure": 2,
        "short_circuited": 1,
        "fallback_missing": 3,
        "exception_thrown": 3,
    }


def test_each_refusal_is_an_exception_of_its_own(clock: FakeClock) -> None:
    """A stored exception would grow a traceback with every raise, in the midst of an outage."""
    command = guard(clock, minimum_calls=1)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    kept = []
    for _ in range(5):
        with pytest.raises(CallRefusedError) as refused:
            command.call_sync(fail)
        kept.append(refused.value)
    assert len({id(error) for error in kept}) == 5
    assert "open" in str(kept[0])
    assert kept[0].service == "rank"


def test_an_ignored_exception_counts_neither_way_and_gets_no_fallback(clock: FakeClock) -> None:
    """A request that was wrong says nothing about who refused it."""
    command = guard(clock, ignore=(BackendError,), fallback=lambda _error: 0, retry=NO_WAIT)
    for _ in range(5):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    assert state(command) is BreakerState.CLOSED
    assert counted(command) == {"bad_request": 5, "exception_thrown": 5}


def test_only_recorded_exceptions_count_against_the_callee(clock: FakeClock) -> None:
    """What is not recorded is an answer: the breaker takes it for a success."""
    command = guard(clock, record=(OSError,))
    for _ in range(5):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    assert state(command) is BreakerState.CLOSED
    assert counted(command) == {"success": 5, "exception_thrown": 5}


def test_a_bad_result_is_a_failure_and_given_out_if_nothing_is_better(clock: FakeClock) -> None:
    """The caller sees what the function gave, the breaker that it is no answer."""
    command = guard(clock, is_failure=lambda result: result is None, minimum_calls=3)
    assert command.call_sync(lambda: None) is None
    assert command.call_sync(lambda: 1) == 1
    assert command.call_sync(lambda: None) is None
    assert state(command) is BreakerState.OPEN
    calls = command.stats().calls
    assert (calls["failure"], calls["success"], calls["exception_thrown"]) == (2, 1, 0)


def test_a_failed_call_is_tried_again_from_the_fast_road(clock: FakeClock) -> None:
    """The first attempt goes the fast road, the general one takes over after it failed."""
    command = guard(clock, retry=NO_WAIT, minimum_calls=10)
    attempts = 0

    @command
    def flaky() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise BackendError
        return attempts

    assert flaky() == 3
    assert counted(command) == {"success": 1, "failure": 2}


@pytest.mark.anyio
async def test_the_bulkhead_refuses_the_call_too_many(clock: FakeClock) -> None:
    """Two calls may be under way; the third is refused at once, and a permit comes back."""
    command = guard(clock, max_concurrent=2)
    release = asyncio.Event()
    under_way = [asyncio.ensure_future(command.call(release.wait)) for _ in range(2)]
    await anyio.lowlevel.checkpoint()
    with pytest.raises(CallRefusedError, match="2 calls are under way") as refused:
        await command.call(release.wait)
    assert refused.value.status is Status.REJECTED
    release.set()
    assert await asyncio.gather(*under_way) == [True, True]
    assert await command.call(release.wait)
    stats = command.stats()
    assert stats.in_flight == 0
    assert (stats.calls["semaphore_rejected"], stats.calls["command_max_active"]) == (1, 2)


@pytest.mark.parametrize("timeout_s", [None, 60.0])
@pytest.mark.anyio
async def test_a_cancelled_call_gives_everything_back_and_counts_as_nothing(
    clock: FakeClock, timeout_s: float | None
) -> None:
    """Callers who walk away neither open nor close the circuit, and leak no permit."""
    command = guard(clock, max_concurrent=1, timeout_s=timeout_s)
    for _ in range(5):
        task = asyncio.ensure_future(command.call(asyncio.Event().wait))
        await anyio.lowlevel.checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert command.stats().in_flight == 0
    assert state(command) is BreakerState.CLOSED
    assert counted(command) == {"cancelled": 5}


@pytest.mark.anyio
async def test_a_cancelled_probe_leaves_the_circuit_half_open(clock: FakeClock) -> None:
    """In several libraries a cancelled probe closes the circuit on a dead backend."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            await command.call(fail_async)
    clock.advance(3.0)
    task = asyncio.ensure_future(command.call(asyncio.Event().wait))
    await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(command) is BreakerState.HALF_OPEN


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("fallback", [None, lambda _error: 0])
def test_the_end_of_the_process_is_no_failure_of_the_callee(
    clock: FakeClock, error: type[BaseException], fallback: Any
) -> None:
    """It passes through all parts, which give back what they hold."""
    command = guard(clock, max_concurrent=1, fallback=fallback, retry=NO_WAIT, minimum_calls=1)

    def end() -> int:
        raise error

    for _ in range(2):
        with pytest.raises(error):
            command.call_sync(end)
    assert command.stats().in_flight == 0
    assert counted(command) == {"cancelled": 2}
    assert state(command) is BreakerState.CLOSED


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.anyio
async def test_work_past_its_deadline_is_refused(
    clock: FakeClock,
    is_async: bool,  # noqa: FBT001 - drawn by pytest
    timeout_s: float | None,
) -> None:
    """Nobody waits for the answer any more, so the function is not called."""
    command = guard(clock, timeout_s=timeout_s)
    with deadline(1.0, clock):
        clock.advance(1.0)
        attempt = (
            command.call(fail_async) if is_async else asyncio.to_thread(command.call_sync, fail)
        )
        with pytest.raises(DeadlineExceededError):
            await attempt
    assert command.stats().calls["past_deadline"] == 1
    assert command.stats().calls["failure"] == 0


def test_a_command_that_is_not_enabled_lets_everything_through_uncounted(
    clock: FakeClock,
) -> None:
    """Switched off means not there."""
    command = Command("rank", CommandConfig(enabled=False), guards=guards_of(clock))
    for _ in range(30):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    assert not counted(command)
    assert "not guarded" in command.describe()


def test_a_reported_call_says_what_became_of_it(clock: FakeClock) -> None:
    """The answer, and beside it the events in their order."""
    command = guard(clock, retry=NO_WAIT, fallback=lambda _error: 7)
    answer, report = command.call_reported_sync(fail)
    assert answer == 7
    assert report.outcome == (
        EventType.FAILURE,
        EventType.FAILURE,
        EventType.SHORT_CIRCUITED,
        EventType.FALLBACK_SUCCESS,
    )
    assert (report.attempts, report.from_fallback, report.stale_s) == (2, True, None)


@pytest.mark.anyio
async def test_a_stale_answer_is_labelled(clock: FakeClock) -> None:
    """The last good answer stands in, and the report says how old it is."""
    command = Command("rank", CommandConfig(stale=StaleConfig()), guards=guards_of(clock))
    broken = False

    async def rank(user: int) -> int:
        if broken:
            raise BackendError
        return user * 2

    assert await command.call(rank, 4) == 8
    broken = True
    clock.advance(30.0)
    answer, report = await command.call_reported(rank, 4)
    assert (answer, report.from_fallback) == (8, True)
    assert report.stale_s == pytest.approx(30.0)
    with pytest.raises(BackendError):
        await command.call(rank, 5)


def test_a_stop_iteration_of_the_function_reaches_the_caller(clock: FakeClock) -> None:
    """The general road is a generator, which may not raise one; the caller sees no difference."""
    empty: list[int] = []
    for command in (guard(clock), guard(clock, retry=NO_WAIT, minimum_calls=10)):
        with pytest.raises(StopIteration):
            command.call_sync(next, iter(empty))


def test_the_order_of_the_parts_is_shown(clock: FakeClock) -> None:
    """From the outside in, with the parts in force and no others."""
    command = guard(
        clock, retry=NO_WAIT, timeout_s=0.5, total_s=2.0, max_concurrent=3, fallback=fail
    )
    lines = command.describe().splitlines()
    assert [line.partition(". ")[2].split()[0] for line in lines[1:]] == [
        "fallback", "total", "retry,", "breaker", "bulkhead,", "attempt", "the",
    ]  # fmt: skip
    told = command.explain()
    for word in ("50 %", "0 of 3 in use", "an attempt 0.5 s, the whole call 2 s", "max_attempts 3"):
        assert word in told


@pytest.mark.parametrize(
    "error",
    [
        CallFailedError(Status.TIMEOUT, service="a", endpoint="b", code=504, body=b"x"),
        CallRefusedError("bulkhead_full", "a", "", 3),
        CallRefusedError("breaker_open", "a", "b", None, 1.5),
        DeadlineExceededError(service="a"),
        AttemptTimedOutError("a", was_cut_short=True),
    ],
)
def test_errors_can_leave_a_worker_process(error: CallError) -> None:
    """Pickled and copied, they keep their fields."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert vars(other) == vars(error)
        assert str(other) == str(error)
        assert (other.status, other.service) == (error.status, error.service)


def test_limits_that_cannot_work_are_refused(clock: FakeClock) -> None:
    """Zero permits or no time at all would refuse every call."""
    with pytest.raises(SettingsError, match="max_concurrent is 0"):
        Bulkhead(0)
    with pytest.raises(SettingsError, match="timeout_s is 0"):
        guard(clock, timeout_s=0.0)
    with pytest.raises(SettingsError, match="longer than total_s"):
        guard(clock, timeout_s=2.0, total_s=1.0)
