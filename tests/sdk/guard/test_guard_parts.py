"""Retry, rate, throttle and the caches as parts of a whole command, sync and async."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest
from tests.sdk.guarding import wait_until

from breakwater.model import Status
from breakwater.sdk import CallFailedError, CallRefusedError, DeadlineExceededError
from breakwater.sdk import context as ctx
from breakwater.sdk.guard import (
    BreakerConfig,
    BudgetConfig,
    Command,
    CommandConfig,
    EventType,
    Guards,
    RateConfig,
    RetryConfig,
    StaleConfig,
    ThrottleConfig,
    request_scope,
)
from breakwater.sdk.guard.limiting.rate import RateLimiter
from breakwater.sdk.guard.retrying.retry import Retry
from breakwater.sdk.guard.sharing.singleflight import SingleFlight
from breakwater.testing import FakeClock, run_virtual

FREE = BudgetConfig(mode="none")


class Dependency:
    """A function whose n-th call ends as scripted; the last end stands for all later calls."""

    def __init__(self, *ends: Any) -> None:
        self.ends = ends
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        end = self.ends[min(self.calls, len(self.ends) - 1)]
        self.calls += 1
        if isinstance(end, BaseException):
            raise end
        return end

    async def awaited(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        return self(*args)


class Bench:
    """A registry in virtual time whose sync waits move the clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.waits: list[float] = []
        self.guards = Guards(clock=self.clock, random=Random(3), sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def command(self, config: CommandConfig, name: str = "c", **given: Any) -> Command:
        return self.guards.command(name, config, **given)

    def count(self, command: Command, event: EventType) -> int:
        return command.statistics.figures(self.clock.monotonic_s()).count(event)

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return run_virtual(main(), self.clock)


@pytest.fixture
def bench() -> Bench:
    """A registry in virtual time."""
    return Bench()


RETRY = CommandConfig(
    retry=RetryConfig(jitter="none", initial_s=0.1, budget=FREE), breaker=None, bulkhead=None
)


def test_a_failed_call_is_tried_again_after_its_wait(bench: Bench) -> None:
    """The second wait is twice the first; the answer is the third attempt's."""
    dependency = Dependency(OSError("a"), OSError("b"), "answer")
    command = bench.command(RETRY)
    assert command.call_sync(dependency) == "answer"
    assert bench.waits == [0.1, 0.2]
    assert bench.count(command, EventType.FAILURE) == 2
    assert bench.count(command, EventType.SUCCESS) == 1


def test_async_calls_are_tried_again_alike(bench: Bench) -> None:
    """Same waits, in the loop's time."""
    dependency = Dependency(OSError("a"), OSError("b"), "answer")
    command = bench.command(RETRY)

    async def main() -> float:
        start_s = bench.clock.monotonic_s()
        assert await command.call(dependency.awaited) == "answer"
        return bench.clock.monotonic_s() - start_s

    assert bench.run(main) == pytest.approx(0.3)


def test_the_last_error_stands(bench: Bench) -> None:
    """After max_attempts the caller gets what the last attempt got."""
    dependency = Dependency(OSError("a"), OSError("b"), OSError("c"), "never")
    with pytest.raises(OSError, match="c"):
        bench.command(RETRY).call_sync(dependency)
    assert dependency.calls == 3


def test_retries_end_with_the_deadline(bench: Bench) -> None:
    """No attempt is waited for that could not begin in time."""
    dependency = Dependency(OSError("a"), "late")
    command = bench.command(RETRY)
    with ctx.deadline(0.05, bench.clock), pytest.raises(OSError, match="a"):
        command.call_sync(dependency)
    assert bench.waits == []


def test_an_open_breaker_is_not_tried_again(bench: Bench) -> None:
    """Own refusals end the retries, and the attempt costs the budget nothing."""
    config = CommandConfig(
        retry=RetryConfig(jitter="none", initial_s=0.0, max_attempts=5),
        breaker=BreakerConfig(minimum_calls=2),
    )
    dependency = Dependency(OSError("down"))
    command = bench.command(config)
    with pytest.raises(CallRefusedError):
        command.call_sync(dependency)
    assert dependency.calls == 2
    part = command.parts.retries
    assert isinstance(part, Retry)
    assert part.stats().not_retried == {"not_worth_it": 1}


def test_commands_of_one_dependency_share_its_budget(bench: Bench) -> None:
    """What one command spends the other lacks; successes of either fill it."""
    config = CommandConfig(
        retry=RetryConfig(jitter="none", initial_s=0.0, budget=BudgetConfig(tokens=4)),
        breaker=None,
    )
    one = bench.command(config, "one", dependency="account")
    two = bench.command(config, "two", dependency="account")
    down = Dependency(OSError("down"))
    for command in (one, two):
        with pytest.raises(OSError, match="down"):
            command.call_sync(down)
    assert down.calls == 3  # 4 - 1 is above half, 4 - 2 is not
    well = one(Dependency("fine"))
    for _ in range(100):
        well()
    bench.clock.advance(20.0)
    well()
    down.calls = 0
    with pytest.raises(OSError, match="down"):
        two.call_sync(down)
    assert down.calls == 2


def test_a_push_back_is_kept_to(bench: Bench) -> None:
    """The wait is what the callee asked for."""
    throttled = CallFailedError(Status.THROTTLED, service="c", code=429)
    throttled.retry_after_s = 1.25
    assert bench.command(RETRY).call_sync(Dependency(throttled, "answer")) == "answer"
    assert bench.waits == [1.25]


def test_a_rate_is_kept_to_by_waiting_or_refusing(bench: Bench) -> None:
    """Within max_wait_s a call waits for its turn, later ones are refused with a hint."""
    config = CommandConfig(rate=RateConfig(calls=1, per_s=1.0, max_wait_s=1.0))
    command = bench.command(config)
    limited = command(Dependency("answer"))
    assert [limited(), limited()] == ["answer", "answer"]
    assert bench.waits == [1.0]

    async def main() -> list[Any]:
        work = [command.call(Dependency("answer").awaited) for _ in range(3)]
        return list(await asyncio.gather(*work, return_exceptions=True))

    first, second, third = bench.run(main)
    assert first == "answer"
    assert {type(second), type(third)} == {CallRefusedError}
    assert second.reason == "rate_limited"
    assert bench.count(command, EventType.SEMAPHORE_REJECTED) == 2


def test_a_turn_beyond_the_deadline_is_given_back(bench: Bench) -> None:
    """Who could not go in time does not wait, and his turn is the next caller's."""
    command = bench.command(CommandConfig(rate=RateConfig(calls=1, per_s=1.0, max_wait_s=5.0)))
    limited = command(Dependency("answer"))
    limited()
    with ctx.deadline(0.5, bench.clock), pytest.raises(DeadlineExceededError):
        limited()
    assert bench.waits == []
    limited()
    assert bench.waits == [1.0]
    part = command.parts.made["rate"][1]
    assert isinstance(part, RateLimiter)
    assert part.stats().returned == 0


def test_a_callee_that_refuses_is_throttled(bench: Bench) -> None:
    """After enough failures most calls are refused here."""
    config = CommandConfig(throttle=ThrottleConfig(), breaker=None)
    command, dependency = bench.command(config), Dependency(OSError("down"))
    reasons = []
    for _ in range(200):
        with pytest.raises((CallRefusedError, OSError)) as failed:
            command.call_sync(dependency)
        if isinstance(failed.value, CallRefusedError):
            reasons.append(failed.value.reason)
    assert set(reasons) == {"throttled"}
    assert len(reasons) > 150


def test_the_last_good_answer_stands_in(bench: Bench) -> None:
    """For its own key, counted as a fallback, with its age in the report."""
    command = bench.command(CommandConfig(stale=StaleConfig(max_stale_s=60.0), breaker=None))
    dependency = Dependency("good", OSError("down"))
    assert command.call_sync(dependency, 1) == "good"
    bench.clock.advance(10.0)
    answer, report = command.call_reported_sync(dependency, 1)
    assert (answer, report.stale_s, report.from_fallback) == ("good", 10.0, True)
    assert bench.count(command, EventType.FALLBACK_SUCCESS) == 1
    with pytest.raises(OSError, match="down"):
        command.call_sync(dependency, 2)
    bench.clock.advance(60.0)
    with pytest.raises(OSError, match="down"):
        command.call_sync(dependency, 1)
    assert command.stats().calls["fallback_stale"] == 1


def test_only_the_last_good_answer_is_stale(bench: Bench) -> None:
    """A fallback function that answers is a fallback, and no old answer."""
    config = CommandConfig(stale=StaleConfig(max_stale_s=60.0), breaker=None)
    command = bench.command(config, fallback=lambda _: "made up")
    dependency = Dependency("good", OSError("down"))
    command.call_sync(dependency, 1)
    assert [command.call_sync(dependency, number) for number in (1, 2, 1)] == [
        "good", "made up", "good",
    ]  # fmt: skip
    calls = command.stats().calls
    assert (calls["fallback_success"], calls["fallback_stale"]) == (3, 2)


def test_a_bad_request_gets_no_stale_answer(bench: Bench) -> None:
    """What is the caller's own fault is told to the caller."""
    command = bench.command(CommandConfig(stale=StaleConfig()), ignore=(ValueError,))
    dependency = Dependency("good", ValueError("bad"))
    command.call_sync(dependency)
    with pytest.raises(ValueError, match="bad"):
        command.call_sync(dependency)


def test_a_fresh_answer_saves_the_call(bench: Bench) -> None:
    """With ttl_s the function is not called while its last answer holds."""
    command = bench.command(CommandConfig(stale=StaleConfig(ttl_s=5.0)))
    dependency = Dependency("one", "two")
    load = command(dependency)
    assert [load(7), load(7)] == ["one", "one"]
    bench.clock.advance(6.0)
    assert load(7) == "two"
    assert bench.count(command, EventType.RESPONSE_FROM_CACHE) == 1


def test_a_request_calls_once(bench: Bench) -> None:
    """Equal calls of one request share answer and error; other requests make their own."""
    command = bench.command(CommandConfig(request_cache=True))
    dependency = Dependency("one", OSError("down"))
    load = command(dependency)
    with request_scope():
        assert [load(1), load(1)] == ["one", "one"]
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                load(2)
    with request_scope(), pytest.raises(OSError, match="down"):
        load(1)
    assert dependency.calls == 3
    assert bench.count(command, EventType.RESPONSE_FROM_CACHE) == 1
    assert bench.count(command, EventType.FAILURE) == 2


def test_tasks_of_a_request_share_its_calls(bench: Bench) -> None:
    """Those who come while the call is under way wait for it; a cancelled leader hands over."""
    command = bench.command(CommandConfig(request_cache=True))
    dependency = Dependency("answer")

    async def slow(number: int) -> Any:
        await asyncio.sleep(1.0)
        return dependency()

    load = command(slow)

    async def main() -> None:
        with request_scope():
            tasks = [asyncio.ensure_future(load(1)) for _ in range(5)]
            await asyncio.sleep(0.5)
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert results[1:] == ["answer"] * 4
            assert isinstance(results[0], asyncio.CancelledError)

    bench.run(main)
    assert dependency.calls == 1


def test_equal_calls_at_one_time_are_one(bench: Bench) -> None:
    """Single flight: one call is made, errors are copies, later calls are made again."""
    command = bench.command(CommandConfig(single_flight=True))
    dependency = Dependency(OSError("down"), "answer")

    async def slow(number: int) -> Any:
        await asyncio.sleep(1.0)
        return dependency()

    load = command(slow)

    async def main() -> None:
        errors = await asyncio.gather(*(load(1) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in errors] == ["down"] * 3
        assert len({id(error) for error in errors}) == 3
        answers = await asyncio.gather(*(load(1) for _ in range(2)))
        assert answers == ["answer", "answer"]

    bench.run(main)
    assert dependency.calls == 2
    assert bench.count(command, EventType.FAILURE) == 1


def test_threads_fly_together() -> None:
    """Sync callers wait in their threads for the one whose call is under way."""
    command = Guards().command("c", CommandConfig(single_flight=True))
    part = command.parts.fronts[0]
    assert isinstance(part, SingleFlight)
    calls, results = [], []

    def load(number: int) -> str:
        calls.append(number)
        wait_until(lambda: part.stats().followed >= 7)
        return "answer"

    guarded = command(load)
    threads = [
        threading.Thread(target=lambda: results.append(guarded(1)), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == ["answer"] * 8
    assert calls == [1]


def test_parts_that_are_not_concerned_survive_a_change(bench: Bench) -> None:
    """A new retry rule empties neither the rate nor the last good answers."""
    config = CommandConfig(
        rate=RateConfig(calls=1), stale=StaleConfig(), retry=RetryConfig(budget=FREE)
    )
    command = bench.command(config)
    command.call_sync(Dependency("good"))
    before = dict(command.parts.made)
    command.configure(
        CommandConfig(
            rate=RateConfig(calls=1),
            stale=StaleConfig(),
            retry=RetryConfig(budget=FREE, max_attempts=5),
        )
    )
    after = command.parts.made
    assert after["rate"] is before["rate"]
    assert after["stale"] is before["stale"]
    assert after["retry"] is not before["retry"]
