"""The breaker shared by threads and tasks: no probe too many, no result lost, no deadlock."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from tests.sdk.guard.breaking import SMALL, admitted, changed, opened, probes, state

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.probes import Permit
from breakwater.sdk.guard.breaking.reports import BreakerEvent
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.verdict import Verdict


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the standard library."""
    return "asyncio"


def together(work: Callable[[], None], count: int) -> None:
    """Run `work` in `count` threads that start at one moment."""
    start = threading.Barrier(count)

    def run() -> None:
        start.wait(10.0)
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()


@pytest.mark.parametrize("permits", [1, 3, 10])
def test_of_fifty_threads_at_half_open_exactly_the_permits_get_through(permits: int) -> None:
    """Whoever comes first turns it half open, and all others find what is left."""
    breaker = opened(changed(SMALL, half_open_permits=permits))
    got: list[Permit] = []

    def ask() -> None:
        permit = breaker.admit(102.1)
        if permit is not None:
            got.append(permit)

    together(ask, 50)
    assert len(got) == permits
    assert len(set(map(id, got))) == permits
    assert breaker.stats().short_circuited == 50 - permits


@pytest.mark.anyio
@pytest.mark.parametrize("permits", [1, 3, 10])
async def test_of_fifty_tasks_at_half_open_exactly_the_permits_get_through(permits: int) -> None:
    """Probes that are still waiting for their answer hold the others back."""
    breaker = opened(changed(SMALL, half_open_permits=permits))
    answered, all_asked = asyncio.Event(), asyncio.Event()
    asked: list[Permit | None] = []

    async def ask() -> None:
        permit = breaker.admit(102.1)
        asked.append(permit)
        if len(asked) == 50:
            all_asked.set()
        if permit is not None:
            await answered.wait()
            breaker.settle(permit, Verdict.SUCCESS, 102.2)

    async with asyncio.timeout(10.0), asyncio.TaskGroup() as callers:
        for _ in range(50):
            callers.create_task(ask())
        await all_asked.wait()
        assert sum(permit is not None for permit in asked) == permits
        answered.set()
    assert state(breaker) is BreakerState.CLOSED


def test_cancelled_probes_hand_their_permits_on_between_threads() -> None:
    """Each permit is out at most once at a time, whoever gives it back."""
    breaker = opened()
    most: list[int] = []

    def ask() -> None:
        for _ in range(200):
            permit = breaker.admit(102.1)
            if permit is not None:
                most.append(breaker.stats().probes_out)
                breaker.release(permit)

    together(ask, 8)
    assert max(most) <= 3
    assert breaker.stats().probes_out == 0
    assert len(probes(breaker, 102.2)) == 3


def test_no_result_is_lost_between_threads() -> None:
    """Every settled call is in the window."""
    breaker = Breaker(changed(SMALL, minimum_calls=1_000_000))

    def work() -> None:
        for _ in range(500):
            permit = admitted(breaker, 100.0)
            breaker.settle(permit, Verdict.FAILURE, 100.0)
            breaker.record_successes(2, 100.0)

    together(work, 8)
    found = breaker.stats()
    assert (found.window_calls, found.window_failures) == (12_000, 4_000)


def test_threads_that_fail_together_open_it_once() -> None:
    """Hystrix#1806: two that raced left it open as of never, which reads as closed for ever."""
    for _ in range(20):
        told: list[BreakerEvent] = []
        breaker = Breaker(SMALL, listener=told.append)
        permit = admitted(breaker, 100.0)

        def fail(breaker: Breaker = breaker, permit: Permit = permit) -> None:
            breaker.settle(permit, Verdict.FAILURE, 100.0)

        together(fail, 12)
        assert breaker.admit(101.0) is None
        assert breaker.stats().opened == 1
        assert [event.state for event in told if event.old is not event.state] == ["open"]
        assert breaker.admit(102.1) is not None


def test_a_permit_can_be_given_back_while_the_lock_is_held() -> None:
    """A generator may be finalised at any moment, within the breaker's own work too."""
    breaker = opened()
    probe = admitted(breaker, 102.1)
    with breaker._lock:
        breaker.release(probe)
    assert breaker.stats().probes_out == 0


def test_the_callers_code_runs_under_no_lock() -> None:
    """Neither listener nor call can stop another thread from using the breaker."""
    free: list[bool] = []

    def look(event: BreakerEvent) -> None:
        free.append(not breaker._lock._is_owned())  # type: ignore[attr-defined] # of every RLock

    breaker = Breaker(SMALL, listener=look)
    permit = admitted(breaker, 100.0)
    for _ in range(4):
        breaker.settle(permit, Verdict.FAILURE, 100.0)
    probes(breaker, 103.0)
    breaker.tick(120.0)
    assert free
    assert all(free)
