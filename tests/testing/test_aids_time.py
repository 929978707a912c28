"""Virtual time: clocks that jump, loops that leap, and registries that wait on them."""

import asyncio
import threading

import pytest

from breakwater.sdk import AttemptTimedOutError, BreakerConfig, CommandConfig, RetryConfig
from breakwater.testing import (
    HANG,
    FakeClock,
    Rehearsal,
    StuckError,
    after,
    run_virtual,
    seeded,
)

STEADY = RetryConfig(max_attempts=3, initial_s=2.0, factor=3.0, max_s=60.0, jitter="none")


def test_a_sync_wait_jumps() -> None:
    """`FakeClock.sleep` in place of `time.sleep`: both clocks move on, backwards never."""
    clock = FakeClock()
    start_s, start_ms = clock.monotonic_s(), clock.now_ms()
    clock.sleep(90.0)
    clock.sleep(-1.0)
    assert clock.monotonic_s() - start_s == 90.0
    assert clock.now_ms() - start_ms == 90_000


def test_async_waits_and_timeouts_come_in_order() -> None:
    """Each at its own instant, in no real time."""
    clock = FakeClock()
    start_s = clock.monotonic_s()
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, clock.monotonic_s() - start_s))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait("long", 3600.0))
            group.create_task(wait("short", 0.5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await asyncio.Event().wait()
        seen.append(("timeout", clock.monotonic_s() - start_s))

    run_virtual(main(), clock)
    assert seen == [("short", 0.5), ("long", 3600.0), ("timeout", 3610.0)]


def test_a_loop_that_would_hang_says_so() -> None:
    """Nothing is ready, no timer is set: an error in place of a test run that stands still."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="every task waits, no timer is set"):
        run_virtual(main(), patience_s=0.01)


def test_a_loop_waits_for_other_threads() -> None:
    """As long as its patience lasts."""

    async def main() -> str:
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=loop.call_soon_threadsafe, args=(woken.set,)).start()
        await woken.wait()
        return "woken"

    assert run_virtual(main()) == "woken"


def test_retries_wait_in_virtual_time(rehearsal: Rehearsal) -> None:
    """A sync command's waits and an async one's are the same instants of the same clock."""
    config = CommandConfig(retry=STEADY)
    for way in ("sync", "async"):
        dependency = rehearsal.dependency(OSError("a"), OSError("b"), "good")
        command = rehearsal.command(f"prices-{way}", config)
        if way == "sync":
            assert command.call_sync(dependency) == "good"
        else:
            assert rehearsal.run(command.call(dependency.call_async)) == "good"
        began = [call.began_s for call in dependency.calls]
        assert [at_s - began[0] for at_s in began] == [0.0, 2.0, 8.0]


def test_a_timeout_is_met_to_the_instant(rehearsal: Rehearsal) -> None:
    """An async attempt that hangs ends after its limit; a sync one that came late is a timeout."""
    config = CommandConfig(timeout_s=0.25, breaker=BreakerConfig(minimum_calls=2))
    command = rehearsal.command("prices", config)
    dependency = rehearsal.dependency(HANG, after(1.0, "late"))

    async def main() -> None:
        with pytest.raises(AttemptTimedOutError):
            await command.call(dependency.call_async)

    start_s = rehearsal.clock.monotonic_s()
    rehearsal.run(main())
    assert rehearsal.clock.monotonic_s() - start_s == pytest.approx(0.25)
    assert dependency.calls[0].end == "cancelled"
    assert command.call_sync(dependency) == "late"
    assert command.parts.breaker is not None
    assert command.parts.breaker.state == "open"


def test_randomness_repeats_by_name_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal names draw equal numbers, in every process; the variable shifts them all."""
    first = [seeded("a").random(), seeded("b").random()]
    assert first == [seeded("a").random(), seeded("b").random()]
    assert first[0] != first[1]
    assert first[0] == pytest.approx(0.86331185, abs=1e-8)
    monkeypatch.setenv("BREAKWATER_TEST_SEED", "7")
    assert seeded("a").random() != first[0]
    assert seeded("a").random() == seeded("a", seed=7).random()


def test_jitter_replays() -> None:
    """Two rehearsals of one name wait equally long, of two names differently."""

    def waited(name: str) -> float:
        rehearsal = Rehearsal(name)
        command = rehearsal.command("prices", CommandConfig(retry=RetryConfig(jitter="full")))
        start_s = rehearsal.clock.monotonic_s()
        assert command.call_sync(rehearsal.dependency(OSError("a"), 1)) == 1
        return rehearsal.clock.monotonic_s() - start_s

    assert waited("x") == waited("x")
    assert waited("x") != waited("y")
