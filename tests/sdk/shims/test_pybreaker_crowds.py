"""Calls at once through the shim of pybreaker: threads, tasks, trials that hang or are left."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.shims.tripping import OOPS, OPEN_S, fail, opened

from breakwater.sdk import Guards
from breakwater.sdk.shims import pybreaker as shim
from breakwater.testing import FakeClock, run_virtual


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run it on so many threads at once; what each gave, or its error."""
    start = threading.Barrier(count)
    ends: list[Any] = []

    def run() -> None:
        start.wait(20)
        try:
            ends.append(work())
        except Exception as error:  # noqa: BLE001 - the error is looked at
            ends.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ends


def test_calls_run_side_by_side(breaker_of: Callable[..., shim.CircuitBreaker]) -> None:
    """Twenty callers meet inside the function; under pybreaker's lock never two are there."""
    meeting = threading.Barrier(20)
    breaker = breaker_of()
    ends = in_threads(20, lambda: breaker.call(meeting.wait, 20))
    assert sorted(ends) == list(range(20))

    theirs = pybreaker.CircuitBreaker()
    inside: list[int] = []
    most: list[int] = []

    def body() -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    in_threads(20, lambda: theirs.call(body))
    assert max(most) == 1


@pytest.mark.parametrize("threshold", [1, 3])
def test_of_fifty_threads_so_many_reach_the_callee(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock, threshold: int
) -> None:
    """At the moment the open time is over: `success_threshold` trial calls, and no more."""
    breaker = breaker_of(success_threshold=threshold)
    opened(breaker)
    clock.advance(OPEN_S + 1)
    release = threading.Event()
    refused: list[int] = []
    reached: list[int] = []
    lock = threading.Lock()

    def ask() -> str:
        try:
            return breaker.call(trial)
        except shim.CircuitBreakerError:
            with lock:
                refused.append(1)
                if len(refused) == 50 - threshold:
                    release.set()
            raise

    def trial() -> str:
        reached.append(1)
        assert release.wait(20)
        return "good"

    ends = in_threads(50, ask)
    assert len(reached) == threshold
    assert ends.count("good") == threshold
    assert breaker.current_state == shim.STATE_CLOSED


def test_of_fifty_threads_all_reach_the_callee_through_pybreaker() -> None:
    """One after another, each waiting for the lock: what the test above is compared with."""
    theirs = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0)
    with pytest.raises(pybreaker.CircuitBreakerError):
        theirs.call(fail)
    assert theirs.current_state == pybreaker.STATE_OPEN
    assert in_threads(50, lambda: theirs.call(lambda: "good")).count("good") == 50


def test_of_fifty_tasks_one_reaches_the_callee(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """The same in an event loop, and the others are told that a trial call is under way."""
    breaker = breaker_of()
    opened(breaker)
    clock.advance(OPEN_S + 1)
    reached = 0

    @breaker
    async def ask() -> None:
        nonlocal reached
        reached += 1
        await asyncio.sleep(1)
        raise OOPS

    async def main() -> list[Any]:
        return list(await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True))

    ends = run_virtual(main(), clock)
    assert reached == 1
    told = {str(error) for error in ends}
    assert told == {
        "Trial call failed, circuit breaker opened",
        "Trial call under way, circuit breaker still half-open",
    }
    assert breaker.current_state == shim.STATE_OPEN


def test_a_cancelled_trial_gives_its_place_to_another(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """It says nothing of the callee: the breaker stays half open and admits the next."""
    breaker = breaker_of()
    opened(breaker)
    clock.advance(OPEN_S + 1)

    async def main() -> None:
        task = asyncio.ensure_future(breaker.call_async(asyncio.sleep, 1000))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert breaker.current_state == shim.STATE_HALF_OPEN
        assert await breaker.call_async(lambda: 5) == 5

    run_virtual(main(), clock)
    assert breaker.current_state == shim.STATE_CLOSED


def test_a_trial_that_hangs_loses_its_say(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """After a minute another goes and closes the circuit; the late failure moves nothing."""
    breaker = breaker_of()
    opened(breaker)
    clock.advance(OPEN_S + 1)

    async def hang() -> None:
        await asyncio.sleep(90)
        raise OOPS

    async def main() -> None:
        hung = asyncio.ensure_future(breaker.call_async(hang))
        await asyncio.sleep(59)
        with pytest.raises(shim.CircuitBreakerError, match="still half-open"):
            breaker.call(lambda: 5)
        await asyncio.sleep(2)
        assert breaker.call(lambda: 5) == 5
        with pytest.raises(ValueError, match="oops"):
            await hung

    run_virtual(main(), clock)
    assert breaker.current_state == shim.STATE_CLOSED


def test_a_result_from_before_the_opening_moves_nothing(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """Neither does a late success close it, nor a late failure use up its trial."""
    breaker = breaker_of()

    async def late(answer: Exception | None) -> int:
        await asyncio.sleep(100)
        if answer is not None:
            raise answer
        return 5

    async def main() -> None:
        under_way = [asyncio.ensure_future(breaker.call_async(late, e)) for e in (None, OOPS)]
        await asyncio.sleep(1)
        opened(breaker)
        await asyncio.sleep(70)
        trial = asyncio.ensure_future(breaker.call_async(asyncio.sleep, 50))
        await asyncio.wait(under_way)
        assert breaker.current_state == shim.STATE_HALF_OPEN
        await trial
        assert [task.exception() for task in under_way] == [None, OOPS]

    run_virtual(main(), clock)
    assert breaker.current_state == shim.STATE_CLOSED


def test_a_block_that_is_cancelled_says_nothing(
    breaker_of: Callable[..., shim.CircuitBreaker], clock: FakeClock
) -> None:
    """Neither does a coroutine given by `call`, nor one that is never awaited to its end."""
    breaker = breaker_of()

    async def block() -> None:
        with breaker.calling():
            await asyncio.sleep(1000)

    async def main() -> None:
        for work in (block(), breaker.call(asyncio.sleep, 1000)):
            task = asyncio.ensure_future(work)
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])

    run_virtual(main(), clock)
    assert (breaker.current_state, breaker.fail_counter) == ("closed", 0)


class Rounds(shim.CircuitBreakerListener):
    """Numbers the half-open rounds from 1, and counts the calls under way of each."""

    def __init__(self) -> None:
        self.number = 0
        self.out: Counter[int] = Counter()

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.number += new_state.name == shim.STATE_HALF_OPEN


STEP = st.tuples(st.floats(0, 200), st.floats(0, 200), st.sampled_from(["good", "bad", "leave"]))


@pytest.mark.slow
@given(steps=st.lists(STEP, max_size=30), threshold=st.integers(1, 3))
def test_no_interleaving_sticks_or_stampedes(
    steps: list[tuple[float, float, str]], threshold: int
) -> None:
    """Calls that begin and end at any times: few at once while half open, and it always recovers.

    Each step is when a call begins, how long it takes, and how it ends.
    """
    clock = FakeClock()
    breaker = shim.CircuitBreaker(
        fail_max=2, reset_timeout=30, success_threshold=threshold, guards=Guards(clock=clock)
    )
    rounds = Rounds()
    breaker.add_listener(rounds)

    async def call(begins_s: float, takes_s: float, end: str) -> None:
        await asyncio.sleep(begins_s)

        async def body() -> None:
            number = rounds.number if breaker.current_state == shim.STATE_HALF_OPEN else 0
            rounds.out[number] += 1
            assert number == 0 or rounds.out[number] <= threshold
            try:
                await asyncio.sleep(min(takes_s, 59.0))
            finally:
                rounds.out[number] -= 1
            if end == "bad":
                raise OOPS

        task = asyncio.ensure_future(breaker.call_async(body))
        if end == "leave":
            await asyncio.sleep(takes_s / 2)
            task.cancel()
        await asyncio.wait([task])
        error = None if task.cancelled() else task.exception()
        assert error is None or isinstance(error, shim.CircuitBreakerError) or error is OOPS

    async def main() -> None:
        await asyncio.gather(*(call(*step) for step in steps))
        await asyncio.sleep(31)
        for _ in range(threshold):
            await breaker.call_async(asyncio.sleep, 0)

    run_virtual(main(), clock)
    assert breaker.current_state == shim.STATE_CLOSED
