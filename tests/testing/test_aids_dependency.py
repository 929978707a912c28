"""The scripted dependency: each call gets its step, and is remembered."""

import asyncio
import threading

import pytest

from breakwater.testing import (
    HANG,
    FakeClock,
    Rehearsal,
    ScriptedCall,
    ScriptedDependency,
    ScriptOverError,
    after,
    computed,
    run_virtual,
)


@pytest.fixture
def clock() -> FakeClock:
    """Its time."""
    return FakeClock()


def test_steps_are_answers_errors_and_functions(clock: FakeClock) -> None:
    """One for each call, in order; exceptions by object or by class."""
    dependency = ScriptedDependency(
        5,
        OSError("down"),
        KeyError,
        computed(lambda number, unit: f"{number}{unit}"),
        None,
        clock=clock,
    )
    assert dependency("a") == 5
    with pytest.raises(OSError, match="down"):
        dependency("b")
    with pytest.raises(KeyError):
        dependency("c")
    assert dependency(3, unit="s") == "3s"
    assert dependency() is None
    assert [call.end for call in dependency.calls] == [
        "answered", "raised", "raised", "answered", "answered",
    ]  # fmt: skip
    assert dependency.calls[3] == ScriptedCall(
        args=(3,),
        kwargs={"unit": "s"},
        began_s=clock.monotonic_s(),
        ended_s=clock.monotonic_s(),
        end="answered",
    )


def test_a_call_beyond_the_script_is_an_error(clock: FakeClock) -> None:
    """A test that calls once too often is told so, unless it says what comes then."""
    dependency = ScriptedDependency(1, clock=clock)
    dependency()
    with pytest.raises(ScriptOverError, match="call 2 of a script of 1"):
        dependency()
    endless = ScriptedDependency(1, clock=clock, then=OSError("down"))
    endless()
    for _ in range(3):
        with pytest.raises(OSError, match="down"):
            endless()


def test_delays_pass_on_the_clock(clock: FakeClock) -> None:
    """In sync and in async calls, before answers and before errors."""
    dependency = ScriptedDependency(
        after(2.0, 5), after(3.0, after(1.0, OSError("x"))), clock=clock
    )
    assert dependency() == 5

    async def main() -> None:
        with pytest.raises(OSError, match="x"):
            await dependency.call_async()

    run_virtual(main(), clock)
    took = [(call.ended_s or 0) - call.began_s for call in dependency.calls]
    assert took == [2.0, 4.0]


def test_concurrent_calls_are_counted(clock: FakeClock) -> None:
    """How many are under way, and the most there ever were together."""
    dependency = ScriptedDependency(clock=clock, then=after(1.0, "x"))

    async def main() -> None:
        tasks = [asyncio.ensure_future(dependency.call_async()) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert dependency.under_way == 3
        assert dependency.calls[0].end == "under_way"
        await asyncio.gather(*tasks)

    run_virtual(main(), clock)
    assert (dependency.under_way, dependency.most_at_once) == (0, 3)


def test_a_hanging_call_goes_on_when_released(clock: FakeClock) -> None:
    """An async one in its loop, a sync one in its thread, and all later ones."""
    dependency = ScriptedDependency(clock=clock, then=HANG)

    async def main() -> None:
        hanging = asyncio.ensure_future(dependency.call_async())
        await asyncio.sleep(1)
        assert not hanging.done()
        dependency.release()
        assert await hanging is None
        assert await dependency.call_async() is None

    run_virtual(main(), clock)
    other = ScriptedDependency(HANG, clock=clock)
    answers: list[None] = []
    began = threading.Event()

    def call() -> None:
        began.set()
        answers.append(other())

    thread = threading.Thread(target=call)
    thread.start()
    assert began.wait(10)
    other.release()
    thread.join(10)
    assert answers == [None]


def test_a_cancelled_call_is_remembered_as_such(rehearsal: Rehearsal) -> None:
    """Its caller left; nothing is left waiting."""
    dependency = rehearsal.dependency(HANG)

    async def main() -> None:
        task = asyncio.ensure_future(dependency.call_async(1))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    rehearsal.run(main())
    assert [call.end for call in dependency.calls] == ["cancelled"]
    assert dependency.under_way == 0
