"""Guarded functions, sync and async."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Awaitable, Callable

import pytest

from breakwater.model import Status
from breakwater.sdk import (
    BreakerConfig,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
    deadline,
    remaining_s,
)
from breakwater.sdk.context import current
from breakwater.sdk.guard import BreakerState, Bulkhead, Command, Fallback, attempt_timeout
from breakwater.testing import FakeClock


class BackendError(Exception):
    """What the guarded functions of these tests fail with."""


def guard(
    clock: FakeClock,
    *,
    timeout_s: float | None = None,
    max_concurrent: int | None = None,
    fallback: Fallback | None = None,
    ignore: tuple[type[Exception], ...] = (),
    minimum_calls: int = 2,
) -> Command:
    """A command that opens after two failures."""
    return Command(
        "rank",
        clock=clock,
        timeout_s=timeout_s,
        max_concurrent=max_concurrent,
        breaker=BreakerConfig(minimum_calls=minimum_calls),
        fallback=fallback,
        ignore=ignore,
    )


def fail() -> int:
    """Fail."""
    raise BackendError


async def fail_async() -> int:
    """Fail."""
    raise BackendError


def state(command: Command) -> BreakerState:
    """Where the command's breaker stands."""
    breaker = command.stats().breaker
    assert breaker is not None
    return breaker.state


def in_use(command: Command) -> int:
    """How many permits of the bulkhead are out."""
    bulkhead = command.stats().bulkhead
    assert bulkhead is not None
    return bulkhead.in_use


def test_a_decorated_function_keeps_its_name_and_its_answer(clock: FakeClock) -> None:
    """Guarding changes nothing while all is well."""

    @guard(clock)
    def double(x: int, *, plus: int = 0) -> int:
        """Twice x."""
        return 2 * x + plus

    answer: int = double(4, plus=1)
    assert answer == 9
    assert double.__doc__ == "Twice x."


@pytest.mark.anyio
async def test_a_decorated_coroutine_function_stays_one(clock: FakeClock) -> None:
    """It is awaited as before."""
    command = guard(clock)

    @command
    async def double(x: int) -> int:
        return 2 * x

    answer: int = await double(4)
    assert answer == 8
    assert command.stats().calls["success"] == 1


def test_failures_open_the_circuit_and_nothing_is_called_then(clock: FakeClock) -> None:
    """Behind an open circuit the function rests."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    with pytest.raises(CallRefusedError) as refused:
        command.call_sync(fail)
    assert refused.value.status is Status.SHORT_CIRCUITED
    calls = command.stats().calls
    assert (calls["failure"], calls["short_circuited"]) == (2, 1)


def test_each_refusal_is_an_exception_of_its_own(clock: FakeClock) -> None:
    """A stored exception would grow a traceback with every raise, in the midst of an outage."""
    command = guard(clock, minimum_calls=1)
    with pytest.raises(BackendError):
        command.call_sync(fail)
    seen = set()
    kept = []
    for _ in range(5):
        with pytest.raises(CallRefusedError) as refused:
            command.call_sync(fail)
        kept.append(refused.value)
        seen.add(id(refused.value))
    assert len(seen) == 5
    assert "open" in str(kept[0])


def test_an_ignored_exception_counts_neither_way_and_gets_no_fallback(clock: FakeClock) -> None:
    """A request that was wrong says nothing about who refused it."""
    command = guard(clock, ignore=(BackendError,), fallback=lambda _error: 0)
    for _ in range(5):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    assert state(command) is BreakerState.CLOSED
    assert command.stats().calls["ignored"] == 5


def test_a_fallback_answers_for_failures_and_refusals(clock: FakeClock) -> None:
    """It is given the error, so it can tell why it was asked."""
    command = guard(clock, fallback=lambda error: type(error).__name__)
    answers: list[object] = [command.call_sync(fail) for _ in range(3)]
    assert answers == ["BackendError", "BackendError", "CallRefusedError"]
    assert command.stats().calls["fallback"] == 3


def test_a_fallback_that_fails_is_counted_and_seen(clock: FakeClock) -> None:
    """Its error reaches the caller with the first one as its context."""

    def broken(_error: Exception) -> int:
        raise KeyError

    command = guard(clock, fallback=broken)
    with pytest.raises(KeyError) as seen:
        command.call_sync(fail)
    assert isinstance(seen.value.__context__, BackendError)
    assert command.stats().calls["fallback_failure"] == 1


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
    assert (calls["fallback"], calls["fallback_failure"]) == (0, 1)


@pytest.mark.anyio
async def test_the_bulkhead_refuses_the_call_too_many(clock: FakeClock) -> None:
    """Two calls may be under way; the third is refused at once, and a permit comes back."""
    command = guard(clock, max_concurrent=2)
    release = asyncio.Event()
    under_way = [asyncio.ensure_future(command.call(release.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(CallRefusedError, match="2 calls are under way") as refused:
        await command.call(release.wait)
    assert refused.value.status is Status.REJECTED
    release.set()
    assert await asyncio.gather(*under_way) == [True, True]
    assert await command.call(release.wait)
    assert in_use(command) == 0


@pytest.mark.anyio
async def test_an_attempt_ends_at_its_limit(clock: FakeClock) -> None:
    """A callee that hangs is left, and it counts as a failure."""
    command = guard(clock, timeout_s=0.01, minimum_calls=1)
    with pytest.raises(CallFailedError) as failed:
        await command.call(asyncio.Event().wait)
    assert failed.value.status is Status.TIMEOUT
    assert state(command) is BreakerState.OPEN
    assert command.stats().calls["timeout"] == 1


@pytest.mark.anyio
async def test_a_limit_cut_short_by_the_deadline_is_not_the_callees_fault(
    clock: FakeClock,
) -> None:
    """A caller in a hurry must not open the circuit for everybody."""
    command = guard(clock, timeout_s=60.0, minimum_calls=1)
    with deadline(0.01, clock), pytest.raises(CallFailedError):
        await command.call(asyncio.Event().wait)
    assert state(command) is BreakerState.CLOSED


@pytest.mark.anyio
async def test_a_timeout_of_the_function_itself_is_a_plain_failure(clock: FakeClock) -> None:
    """Only the guard's own limit is turned into a CallFailedError."""

    async def slow_inside() -> int:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await guard(clock, timeout_s=5.0).call(slow_inside)


@pytest.mark.anyio
async def test_a_cancelled_call_gives_everything_back_and_counts_as_nothing(
    clock: FakeClock,
) -> None:
    """Callers who walk away neither open nor close the circuit, and leak no permit."""
    command = guard(clock, max_concurrent=1, timeout_s=60.0)
    for _ in range(5):
        task = asyncio.ensure_future(command.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert in_use(command) == 0
    assert state(command) is BreakerState.CLOSED
    assert command.stats().calls["cancelled"] == 5


@pytest.mark.anyio
async def test_a_cancelled_probe_leaves_the_circuit_half_open(clock: FakeClock) -> None:
    """In several libraries a cancelled probe closes the circuit on a dead backend."""
    command = guard(clock)
    for _ in range(2):
        with pytest.raises(BackendError):
            await command.call(fail_async)
    clock.advance(3.0)
    task = asyncio.ensure_future(command.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(command) is BreakerState.HALF_OPEN


@pytest.mark.anyio
async def test_fifty_callers_at_the_end_of_the_open_time_send_three(clock: FakeClock) -> None:
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
    await asyncio.sleep(0)
    assert reached == 3
    release.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(end, CallRefusedError) for end in ended) == 47
    assert state(command) is BreakerState.CLOSED


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.anyio
async def test_work_past_its_deadline_is_refused(
    clock: FakeClock,
    is_async: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """Nobody waits for the answer any more, so the function is not called."""
    command = guard(clock)
    with deadline(1.0, clock):
        clock.advance(1.0)
        attempt = (
            command.call(fail_async) if is_async else asyncio.to_thread(command.call_sync, fail)
        )
        with pytest.raises(DeadlineExceededError):
            await attempt
    assert command.stats().calls["past_deadline"] == 1


def test_a_sync_attempt_sees_its_time_and_pays_for_coming_late(clock: FakeClock) -> None:
    """It cannot be interrupted: its answer is used, and the breaker counts it as a failure."""
    command = guard(clock, timeout_s=0.5, minimum_calls=1)

    def slow() -> float | None:
        left_s = remaining_s(clock)
        clock.advance(0.6)
        return left_s

    assert command.call_sync(slow) == pytest.approx(0.5)
    assert current().deadline_s is None
    assert state(command) is BreakerState.OPEN
    assert command.stats().calls["timeout"] == 1


def test_threads_do_not_wait_for_each_other(clock: FakeClock) -> None:
    """No lock spans the function: ten bodies are inside at the same time."""
    command = guard(clock, max_concurrent=10)
    inside = threading.Barrier(10)
    done: list[int] = []

    def body() -> None:
        done.append(command.call_sync(inside.wait, 10.0))

    threads = [threading.Thread(target=body) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(10))
    assert in_use(command) == 0


@pytest.mark.anyio
async def test_a_cancellation_from_outside_beats_the_limit() -> None:
    """If both come together, the task is cancelled, not timed out."""
    task = asyncio.current_task()
    assert task is not None
    limit = attempt_timeout(task, task.get_loop(), 60.0)

    async def be_ended_twice() -> None:
        with limit:
            limit._expire()
            task.cancel()
            await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await be_ended_twice()
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


@pytest.mark.parametrize(
    "error",
    [
        CallFailedError(Status.TIMEOUT, service="a", endpoint="b", code=504, body=b"x"),
        CallRefusedError(Status.REJECTED, service="a", limit=3),
        DeadlineExceededError(service="a"),
    ],
)
def test_errors_can_leave_a_worker_process(error: CallFailedError) -> None:
    """Pickled and copied, they keep their fields."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert vars(other) == vars(error)
        assert str(other) == str(error)


def test_limits_that_cannot_work_are_refused(clock: FakeClock) -> None:
    """Zero permits or no time at all would refuse every call."""
    with pytest.raises(SettingsError, match="max_concurrent is 0"):
        Bulkhead(0)
    with pytest.raises(SettingsError, match="timeout_s of rank is 0"):
        guard(clock, timeout_s=0.0)


def typed(command: Command) -> None:
    """Never called: mypy checks here that a decorator keeps the signature."""

    @command
    def plain(x: int) -> str:
        return str(x)

    @command
    async def awaited(x: int) -> str:
        return str(x)

    _plain: Callable[[int], str] = plain
    _awaited: Callable[[int], Awaitable[str]] = awaited
