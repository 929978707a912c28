"""Hedging: when a copy is sent, out of which budget, and how a race ends."""

import asyncio
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.guarding import wait_until

from breakwater.sdk import CallRefusedError
from breakwater.sdk.guard import (
    AttemptEnded,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    HedgeConfig,
    HedgeSent,
)
from breakwater.sdk.guard.retrying.hedge import Hedge, HedgeThreads
from breakwater.testing import FakeClock, run_virtual

AT_ONCE = HedgeConfig(delay_s=1.0, budget_percent=100.0)


def hedge(config: HedgeConfig, seconds: float = 0.1, count: int = 1000) -> Hedge:
    """A hedge that is told this percentile."""
    return Hedge(config, percentile_s=lambda percent, now_s: (seconds, count))


def command(clock: FakeClock, config: HedgeConfig = AT_ONCE, **given: Any) -> Command:
    """A command that hedges, with budget for many copies."""
    settings = {"max_concurrent": 100, **given.pop("bulkhead", {})}
    made = Guards(clock=clock, random=Random(1)).command(
        "search",
        CommandConfig(hedge=config, bulkhead=BulkheadConfig(**settings)),
        idempotent=True,
        **given,
    )
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    part.succeeded(1000)
    return made


class Scripted:
    """An async dependency whose n-th call takes so long and ends so."""

    def __init__(self, *script: tuple[float, Any]) -> None:
        self.script = list(script)
        self.calls = 0
        self.cancelled = 0

    async def __call__(self) -> Any:
        seconds, end = self.script[self.calls]
        self.calls += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(end, Exception):
            raise end
        return end


def seconds_of(clock: FakeClock, work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, or the error, of awaiting `work()` and how long it took in virtual time."""

    async def main() -> tuple[Any, float]:
        start_s = clock.monotonic_s()
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 - handed to the test
            result = error
        return result, round(clock.monotonic_s() - start_s, 6)

    return run_virtual(main(), clock)


def sent(made: Command) -> int:
    """Copies sent."""
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    return part.stats().sent


def test_the_delay_is_the_commands_own_percentile() -> None:
    """Known after enough calls, looked up once a second."""
    asked: list[float] = []

    def percentile_s(percent: float, now_s: float) -> tuple[float, int]:
        asked.append(percent)
        return 0.25, 49 if len(asked) == 1 else 50

    part = Hedge(HedgeConfig(minimum_calls=50), percentile_s=percentile_s)
    assert part.delay_s(0.0) is None
    assert part.delay_s(0.9) is None
    assert part.delay_s(1.0) == 0.25
    assert part.delay_s(1.9) == 0.25
    assert asked == [95.0, 95.0]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 50), max_size=50), st.floats(0.5, 100), st.floats(1, 20))
def test_copies_never_exceed_their_share_of_successes(
    steps: list[int], percent: float, burst: float
) -> None:
    """At most budget_percent of the calls that succeeded, and none before any did."""
    part = hedge(HedgeConfig(budget_percent=percent, budget_burst=burst))
    successes = copies = 0
    for step in steps:
        if step:
            part.succeeded(step)
            successes += step
        else:
            copies += part.may_send(0.0)
        assert copies <= successes * percent / 100.0 + 1e-6 * successes
        assert part.stats().level <= burst + 1e-6
    assert part.stats().sent == copies


def test_a_slow_call_is_overtaken_by_its_copy(clock: FakeClock) -> None:
    """The answer comes after the delay and the copy's time; the loser is cancelled."""
    made, dependency = command(clock), Scripted((60.0, "slow"), (0.5, "fast"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("fast", 1.5)
    assert dependency.cancelled == 1
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    assert part.stats().won == 1
    assert made.bulkhead.in_flight() == 0


def test_a_fast_call_has_no_copy(clock: FakeClock) -> None:
    """Nothing is sent before the delay."""
    made, dependency = command(clock), Scripted((0.9, "fast"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("fast", 0.9)
    assert dependency.calls == 1


def test_a_failed_copy_makes_room_at_once(clock: FakeClock) -> None:
    """When the first copy fails the next is not delayed; one that is not worth it is no end."""
    made, dependency = command(clock), Scripted((0.2, ValueError("down")), (0.1, "second"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("second", 0.3)


def test_when_all_fail_the_last_error_stands(clock: FakeClock) -> None:
    """One extra copy, as configured, and no more."""
    made = command(clock)
    dependency = Scripted((0.2, ValueError("first")), (0.1, ValueError("second")))
    error, took_s = seconds_of(clock, lambda: made.call(dependency))
    assert str(error) == "second"
    assert took_s == 0.3
    assert made.bulkhead.in_flight() == 0


def test_an_error_for_good_ends_the_race(clock: FakeClock) -> None:
    """A caller's own mistake is no better at another replica: all copies are cancelled."""
    made = command(clock, ignore=(KeyError,))
    dependency = Scripted((60.0, "slow"), (0.5, KeyError("bad")))
    error, took_s = seconds_of(clock, lambda: made.call(dependency))
    assert isinstance(error, KeyError)
    assert took_s == 1.5
    assert dependency.cancelled == 1


def test_a_copy_that_is_refused_here_leaves_the_first_alone(clock: FakeClock) -> None:
    """No room for a copy in the bulkhead is no reason to give up the call that is under way."""
    made = command(clock, bulkhead={"max_concurrent": 1})
    dependency = Scripted((3.0, "first"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("first", 3.0)
    assert sent(made) == 1


def test_a_first_copy_that_is_refused_ends_the_call(clock: FakeClock) -> None:
    """What this process refuses once it refuses twice: no copy is sent."""
    made = command(clock, bulkhead={"max_concurrent": 1})

    async def both() -> Any:
        first = asyncio.ensure_future(made.call(Scripted((0.5, "first"))))
        await asyncio.sleep(0)
        try:
            return await made.call(Scripted((0.0, "never")))
        finally:
            await first

    error, _ = seconds_of(clock, both)
    assert isinstance(error, CallRefusedError)
    assert sent(made) == 0


def test_nothing_is_hedged_unless_it_may_be_repeated(clock: FakeClock) -> None:
    """Only idempotent commands send copies."""
    made = Guards(clock=clock).command("pay", CommandConfig(hedge=AT_ONCE))
    dependency = Scripted((9.0, "paid"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("paid", 9.0)
    assert dependency.calls == 1


def test_a_cancelled_call_cancels_all_its_copies(clock: FakeClock) -> None:
    """Whoever gives up leaves nothing running, and every permit comes back."""
    made, dependency = command(clock), Scripted((60.0, "a"), (60.0, "b"))

    async def give_up() -> None:
        task = asyncio.ensure_future(made.call(dependency))
        await asyncio.sleep(2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    seconds_of(clock, give_up)
    assert dependency.cancelled == 2
    assert made.bulkhead.in_flight() == 0


def test_an_empty_budget_sends_no_copies(clock: FakeClock) -> None:
    """Where nothing succeeds nothing is hedged."""
    made, dependency = command(clock), Scripted((5.0, "slow"))
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    while part.may_send(0.0):
        pass
    assert seconds_of(clock, lambda: made.call(dependency)) == ("slow", 5.0)


def test_the_winners_cancellation_leaves_no_trace(clock: FakeClock) -> None:
    """After a copy won, also over an attempt that resists, the caller's task is as before."""
    made, calls = command(clock), []

    async def resists() -> str:
        calls.append(1)
        if len(calls) == 2:
            return "copy"
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            await asyncio.sleep(0.25)
        return "resisted"

    async def main() -> tuple[str, int]:
        task = asyncio.current_task()
        assert task is not None
        answer = await made.call(resists)
        await asyncio.sleep(1.0)
        return answer, task.cancelling()

    assert run_virtual(main(), clock) == ("copy", 0)
    assert made.bulkhead.in_flight() == 0


def test_a_cancellation_from_outside_goes_first(clock: FakeClock) -> None:
    """If the caller is cancelled in the moment in which a copy wins, it is cancelled."""
    made, won = command(clock), asyncio.Event()

    async def dependency() -> str:
        if made.bulkhead.in_flight() > 1:
            await won.wait()
            return "copy"
        await asyncio.sleep(60.0)
        return "first"

    async def main() -> None:
        task = asyncio.ensure_future(made.call(dependency))
        await asyncio.sleep(2.0)
        won.set()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main(), clock)
    assert made.bulkhead.in_flight() == 0


@pytest.mark.parametrize("copy_s", [0.999, 1.0, 1.001])
def test_a_time_limit_and_a_winner_may_come_together(clock: FakeClock, copy_s: float) -> None:
    """Cancelled by its limit or by the copy: the first attempt loses, the copy answers."""
    made = Guards(clock=clock).command(
        "search", CommandConfig(hedge=AT_ONCE, timeout_s=2.0), idempotent=True
    )
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    part.succeeded(10)
    dependency = Scripted((60.0, "slow"), (copy_s, "copy"))
    assert seconds_of(clock, lambda: made.call(dependency)) == ("copy", 1.0 + copy_s)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.floats(0, 5).map(lambda seconds: round(seconds, 2)),
            st.sampled_from(["ok", "fails", "ignored"]),
        ),
        min_size=4,
        max_size=4,
    ),
    st.floats(0, 6) | st.none(),
    st.integers(1, 3),
)
def test_any_race_ends_as_it_should(
    script: list[tuple[float, str]], leaves_s: float | None, most: int
) -> None:
    """The answer is a copy's, the error the last or final one, and nothing is left under way."""
    clock = FakeClock()
    ends = {"ok": "ok", "fails": ValueError("fails"), "ignored": KeyError("ignored")}
    config = HedgeConfig(delay_s=1.0, budget_percent=100.0, max_hedges=most)
    made = command(clock, config, ignore=(KeyError,))
    dependency = Scripted(*((seconds, ends[end]) for seconds, end in script))

    async def limited() -> Any:
        async with asyncio.timeout(leaves_s):
            return await made.call(dependency)

    end, took_s = seconds_of(clock, limited)
    used = script[: dependency.calls]
    if end == "ok":
        assert any(how == "ok" for _, how in used)
    elif isinstance(end, KeyError):
        assert any(how == "ignored" for _, how in used)
    elif isinstance(end, TimeoutError):
        assert leaves_s is not None
        assert took_s == pytest.approx(leaves_s, abs=0.02)
    else:
        assert isinstance(end, ValueError)
        assert [how for _, how in used] == ["fails"] * (1 + most)
    assert made.bulkhead.in_flight() == 0
    assert dependency.calls <= 1 + most


def test_sync_calls_are_hedged_on_a_few_threads() -> None:
    """The first copy hangs until it is let go, the second answers."""
    config = HedgeConfig(delay_s=0.0, budget_percent=100.0, sync_threads=2)
    made = Guards().command("search", CommandConfig(hedge=config), idempotent=True)
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    part.succeeded(10)
    hangs, calls = threading.Event(), []

    def dependency() -> str:
        calls.append(1)
        if len(calls) == 1:
            assert hangs.wait(10)
            return "slow"
        return "fast"

    try:
        assert made.call_sync(dependency) == "fast"
    finally:
        hangs.set()


def test_a_sync_copy_takes_over_from_one_that_failed() -> None:
    """Errors are judged as in the loop: the next copy at once, the last error if all fail."""
    config = HedgeConfig(delay_s=60.0, budget_percent=100.0, sync_threads=2)
    made = Guards().command("search", CommandConfig(hedge=config), idempotent=True)
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    part.succeeded(10)
    ends: list[Any] = [ValueError("first"), "second", ValueError("third"), ValueError("fourth")]

    def dependency() -> Any:
        end = ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    assert made.call_sync(dependency) == "second"
    with pytest.raises(ValueError, match="fourth"):
        made.call_sync(dependency)
    assert made.bulkhead.in_flight() == 0


def test_a_sync_call_without_a_free_thread_is_made_without_hedge() -> None:
    """Nothing waits for a thread: the caller's own is used."""
    config = HedgeConfig(delay_s=0.0, budget_percent=100.0, sync_threads=1)
    made = Guards().command("search", CommandConfig(hedge=config), idempotent=True)
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    assert part.threads is not None
    hangs = threading.Event()

    def waits() -> None:
        assert hangs.wait(10)

    try:
        assert part.threads.try_run(waits)
        assert made.call_sync(threading.get_ident) == threading.get_ident()
    finally:
        hangs.set()
    assert part.stats().inline == 1


def test_a_sync_copy_without_a_free_thread_is_not_waited_for() -> None:
    """The first attempt goes on alone, and no further copy is tried."""
    config = HedgeConfig(delay_s=0.0, budget_percent=100.0, sync_threads=1, max_hedges=3)
    made = Guards().command("search", CommandConfig(hedge=config), idempotent=True)
    part = made.parts.hedges
    assert isinstance(part, Hedge)
    part.succeeded(10)
    threads = part.threads
    assert threads is not None

    def dependency() -> str:
        wait_until(lambda: threads.refused > 0)
        return "first"

    assert made.call_sync(dependency) == "first"
    assert part.stats().sent == 1


def test_a_sync_attempt_that_is_interrupted_ends_the_race() -> None:
    """What is not an ordinary error is raised to the caller as it is."""
    config = HedgeConfig(delay_s=60.0, budget_percent=100.0, sync_threads=2)
    made = Guards().command("search", CommandConfig(hedge=config), idempotent=True)

    def dependency() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        made.call_sync(dependency)
    assert made.bulkhead.in_flight() == 0


def test_sync_calls_without_threads_run_where_they_are() -> None:
    """Unless asked for, no thread is used, and an error is the caller's own."""
    made = Guards().command(
        "search", CommandConfig(hedge=HedgeConfig(delay_s=0.0)), idempotent=True
    )
    assert made.call_sync(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        made.call_sync(lambda: 1 // 0)


def test_threads_are_bounded_and_never_waited_for() -> None:
    """With all threads busy work is refused at once, and taken again when one is free."""
    threads, hangs, free = HedgeThreads(2), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        assert hangs.wait(10)
        free.release()

    assert threads.try_run(work)
    assert threads.try_run(work)
    assert not threads.try_run(work)
    assert threads.refused == 1
    hangs.set()
    for _ in range(2):
        assert free.acquire(timeout=10)


def test_hooks_can_tell_a_copy_from_the_attempt_it_stands_beside(clock: FakeClock) -> None:
    """By the number of the copy when it is sent, and by a mark when it ends."""
    made, dependency = command(clock), Scripted((5.0, "slow"), (0.5, "copy"))
    sent_out: list[HedgeSent] = []
    ended: list[AttemptEnded] = []
    made.parts.hooks.on(HedgeSent, sent_out.append)
    made.parts.hooks.on(AttemptEnded, ended.append)
    assert seconds_of(clock, lambda: made.call(dependency)) == ("copy", 1.5)
    assert [(one.number, one.delay_s) for one in sent_out] == [(2, 1.0)]
    assert [(one.attempt, one.is_hedge) for one in ended] == [(1, True), (1, False)]
