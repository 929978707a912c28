"""Where the shim differs from tenacity, and why that is better: the listed differences, shown."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

import asyncio
import pickle
import sys
import threading
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity

from breakwater.sdk import Command, CommandConfig, Guards, Kind, RetryConfig, deadline
from breakwater.sdk.guard import BudgetConfig
from breakwater.sdk.shims import tenacity as shim
from breakwater.testing import FakeClock, recording, run_virtual, told

OOPS = ValueError("oops")


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """A registry whose time is the fake clock's."""
    return Guards(clock=clock, random=Random(7), sleep=clock.advance)


def cancelled_attempts(lib: Any, strategy: Any) -> int:
    """How often a function is called whose task is cancelled in its first attempt."""
    attempts = 0
    waits = asyncio.Event()

    @lib.retry(retry=strategy, stop=lib.stop_after_attempt(4))
    async def ask() -> None:
        nonlocal attempts
        attempts += 1
        waits.set()
        if attempts == 1:
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(ask())
        await waits.wait()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    return attempts


def test_a_cancelled_call_is_over() -> None:
    """Nobody asked for the result any more; tenacity tries again, with these strategies."""
    for name in ("retry_if_not_exception_type", "retry_unless_exception_type"):
        theirs = cancelled_attempts(tenacity, getattr(tenacity, name)(OSError))
        assert theirs > 1
        assert cancelled_attempts(shim, getattr(shim, name)(OSError)) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_the_process_is_not_retried(kind: type[BaseException]) -> None:
    """Neither in a function nor in a block, whatever the strategy says."""
    calls = 0

    @shim.retry(retry=shim.retry_always)
    def ask() -> None:
        nonlocal calls
        calls += 1
        raise kind

    def block() -> None:
        nonlocal calls
        for attempt in shim.Retrying(retry=shim.retry_always):
            with attempt:
                calls += 1
                raise kind

    for run in (ask, block):
        with pytest.raises(kind):
            run()
    assert calls == 2


def test_statistics_are_those_of_one_call(clock: FakeClock, guards: Guards) -> None:
    """Of two calls under way at once the latest is shown; the other adds nothing to it."""

    @shim.retry(
        stop=shim.stop_after_attempt(3), wait=shim.wait_fixed(1), guards=guards, reraise=True
    )
    async def ask(*, fails: bool) -> None:
        if fails:
            raise OOPS

    async def main() -> None:
        failing = asyncio.ensure_future(ask(fails=True))
        await asyncio.sleep(0.5)
        await ask(fails=False)
        assert ask.statistics["attempt_number"] == 1
        with pytest.raises(ValueError, match="oops"):
            await failing
        assert ask.statistics["attempt_number"] == 1
        assert ask.statistics["idle_for"] == 0

    run_virtual(main(), clock)


def test_one_object_serves_several_loops_at_once(clock: FakeClock, guards: Guards) -> None:
    """Each `async for` counts its own attempts."""
    retrying = shim.AsyncRetrying(
        stop=shim.stop_after_attempt(3), wait=shim.wait_fixed(1), guards=guards
    )
    counts: dict[str, list[int]] = {"a": [], "b": []}

    async def loop(name: str) -> None:
        async for attempt in retrying:
            with attempt:
                counts[name].append(attempt.retry_state.attempt_number)
                if len(counts[name]) < 3:
                    raise OOPS

    async def main() -> None:
        await asyncio.gather(loop("a"), loop("b"))

    run_virtual(main(), clock)
    assert counts == {"a": [1, 2, 3], "b": [1, 2, 3]}


def crowd(lib: Any, clock: FakeClock, callers: int, **settings: Any) -> int:
    """Calls made in all when so many callers at once meet a callee that fails."""
    calls = 0

    @lib.retry(stop=lib.stop_after_attempt(10), wait=lib.wait_fixed(1), **settings)
    async def ask() -> None:
        nonlocal calls
        calls += 1
        raise OOPS

    async def main() -> None:
        await asyncio.gather(*(ask() for _ in range(callers)), return_exceptions=True)

    run_virtual(main(), clock)
    return calls


def test_a_crowd_has_a_budget(clock: FakeClock, guards: Guards) -> None:
    """100 callers of a dead callee: 100 retries and not 900, and the last one goes on alone."""
    assert crowd(tenacity, clock, 100) == 1000
    assert crowd(shim, clock, 100, guards=guards) == 200 + 8
    assert crowd(shim, clock, 100, guards=guards, budget=None) == 1000


def test_successes_fill_the_budget(clock: FakeClock, guards: Guards) -> None:
    """A hundred good calls are worth twenty retries."""
    is_down = True
    calls = 0

    @shim.retry(stop=shim.stop_after_attempt(2), guards=guards)
    async def ask() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if is_down:
            raise OOPS

    async def main() -> None:
        nonlocal is_down, calls
        for wanted in (200 + 100, 200 + 20):
            is_down, calls = True, 0
            await asyncio.gather(*(ask() for _ in range(200)), return_exceptions=True)
            assert calls == wanted
            is_down = False
            await asyncio.gather(*(ask() for _ in range(100)))

    run_virtual(main(), clock)


def test_a_call_that_is_alone_needs_no_budget(guards: Guards) -> None:
    """A single poller multiplies nothing: it may go on as long as its strategy says."""
    calls = 0

    @shim.retry(stop=shim.stop_after_attempt(700), guards=guards)
    def ask() -> None:
        nonlocal calls
        calls += 1
        raise OOPS

    with pytest.raises(shim.RetryError):
        ask()
    assert calls == 700


@pytest.mark.parametrize("how", ["stop_never", "result", "try_again"])
def test_what_the_program_insists_on_needs_no_budget(
    clock: FakeClock, guards: Guards, how: str
) -> None:
    """`stop_never`, an answer that is polled for, and TryAgain, in a crowd as alone."""
    calls = 0
    stop = shim.stop_never if how == "stop_never" else shim.stop_after_attempt(100)

    @shim.retry(
        stop=stop,
        wait=shim.wait_fixed(1),
        retry=shim.retry_if_exception_type() | shim.retry_if_result(lambda answer: answer is None),
        guards=guards,
    )
    async def ask() -> int | None:
        nonlocal calls
        calls += 1
        if calls > 300:
            return calls
        if how == "result":
            return None
        if how == "try_again":
            raise shim.TryAgain
        raise OOPS

    async def main() -> list[int | None]:
        return list(await asyncio.gather(*(ask() for _ in range(10))))

    assert all(run_virtual(main(), clock))


def test_nobody_waits_beyond_the_deadline(clock: FakeClock, guards: Guards) -> None:
    """With five seconds left and two between attempts there are three, and no wait for a fourth."""
    calls: list[float] = []

    @shim.retry(wait=shim.wait_fixed(2), guards=guards, reraise=True)
    def ask() -> None:
        calls.append(clock.monotonic_s())
        raise OOPS

    start_s = clock.monotonic_s()
    with deadline(5.0, clock), pytest.raises(ValueError, match="oops"):
        ask()
    assert [at_s - start_s for at_s in calls] == [0, 2, 4]
    assert clock.monotonic_s() - start_s == 4


def test_one_layer_retries(guards: Guards) -> None:
    """A guarded command below a retried function leaves the retries to it."""
    calls = 0
    command = Command("below", CommandConfig(retry=RetryConfig(max_attempts=3)), guards=guards)

    @shim.retry(stop=shim.stop_after_attempt(3), reraise=True, guards=guards)
    def ask() -> None:
        command.call_sync(fail)

    def fail() -> None:
        nonlocal calls
        calls += 1
        raise OOPS

    with pytest.raises(ValueError, match="oops"):
        ask()
    assert calls == 3


def test_a_function_may_leave_retries_to_its_caller(guards: Guards) -> None:
    """`nested=False`: below another retried function it is tried once."""
    calls = 0

    @shim.retry(stop=shim.stop_after_attempt(3), guards=guards, nested=False, reraise=True)
    def inner() -> None:
        nonlocal calls
        calls += 1
        raise OOPS

    @shim.retry(stop=shim.stop_after_attempt(4), guards=guards, reraise=True)
    def outer() -> None:
        inner()

    with pytest.raises(ValueError, match="oops"):
        outer()
    assert calls == 4
    with pytest.raises(ValueError, match="oops"):
        inner()
    assert calls == 7


def test_hooks_hear_of_retries(clock: FakeClock, guards: Guards) -> None:
    """RETRY with its number and delay, RETRY_REFUSED with the reason."""

    @shim.retry(wait=shim.wait_fixed(2), guards=guards)
    def ask() -> None:
        raise OOPS

    with recording(guards) as recorder, deadline(3.0, clock), pytest.raises(shim.RetryError):
        ask()
    recorder.assert_sequence(
        told(Kind.RETRY, attempt=2, delay_s=2.0),
        told(Kind.RETRY_REFUSED, attempt=2, reason="no_time", error=ValueError),
    )
    assert recorder.events[0].command.endswith("ask")


def test_random_waits_replay_from_a_seed(clock: FakeClock) -> None:
    """Two registries with the same seed draw the same waits."""

    def waits(seed: int) -> list[float]:
        found: list[float] = []
        guards = Guards(clock=clock, random=Random(seed))
        ask = shim.retry(
            stop=shim.stop_after_attempt(6),
            wait=shim.wait_random_exponential(max=30) + shim.wait_random(0, 1),
            sleep=found.append,
            guards=guards,
        )(fail)
        with pytest.raises(shim.RetryError):
            ask()
        return found

    def fail() -> None:
        raise OOPS

    assert waits(3) == waits(3)
    assert waits(3) != waits(4)


def test_time_is_the_registrys(clock: FakeClock, guards: Guards) -> None:
    """`stop_after_delay` and the waits of a sync call go by the registry's clock."""
    retrying = shim.Retrying(stop=shim.stop_after_delay(10), wait=shim.wait_fixed(3), guards=guards)
    seen = []

    def ask() -> None:
        for attempt in retrying:
            with attempt:
                seen.append(clock.monotonic_s())
                raise OOPS

    with pytest.raises(shim.RetryError):
        ask()
    assert [at_s - seen[0] for at_s in seen] == [0, 3, 6, 9, 12]


def test_threads_share_nothing_but_the_budget() -> None:
    """Concurrent calls of one function: each gets its own answer after its own attempts."""
    starts = threading.Barrier(8)
    answers: list[tuple[int, int]] = []

    @shim.retry(stop=shim.stop_after_attempt(3), reraise=True)
    def ask(number: int, calls: list[int]) -> int:
        calls.append(1)
        if len(calls) < 3:
            starts.wait(10)
            raise OOPS
        return number

    def run(number: int) -> None:
        calls: list[int] = []
        answers.append((ask(number, calls), len(calls)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [(number, 3) for number in range(8)]


def test_a_retrying_object_can_be_sent_to_another_process() -> None:
    """Its settings travel; clock and registry are the other process's."""
    sent = shim.Retrying(stop=shim.stop_after_attempt(2), wait=shim.wait_fixed(0), reraise=True)
    received = pickle.loads(pickle.dumps(sent))
    calls: list[int] = []

    def ask() -> None:
        calls.append(1)
        raise OOPS

    with pytest.raises(ValueError, match="oops"):
        received(ask)
    assert len(calls) == 2


def test_a_subclass_may_call_in_its_own_way() -> None:
    """An overridden `__call__` is what decorated functions go through."""

    class Counting(shim.Retrying):
        calls = 0

        def __call__(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            return super().__call__(fn, *args, **kwargs)

    assert Counting().wraps(lambda: 5)() == 5
    assert Counting.calls == 1


def test_a_strategy_in_the_place_of_the_function_is_warned_of() -> None:
    """`@retry(retry_if_result(...))` would call the strategy for ever."""
    with pytest.warns(UserWarning, match="did you mean retry=retry_if_result"):
        shim.retry(shim.retry_if_result(lambda answer: answer is None))


def test_an_async_object_cannot_be_looped_over_in_a_plain_for() -> None:
    """It says so, and does not hang."""
    with pytest.raises(TypeError, match="not iterable"):
        iter(shim.AsyncRetrying())


def test_in_trio_waits_are_trios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program has loaded trio and runs in it, its sleep is awaited; else asyncio's."""
    waited: list[float] = []
    library = "trio"

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setitem(sys.modules, "trio", SimpleNamespace(sleep=sleep))
    sniffed = SimpleNamespace(current_async_library=lambda: library)
    monkeypatch.setitem(sys.modules, "sniffio", sniffed)

    @shim.retry(stop=shim.stop_after_attempt(2), wait=shim.wait_fixed(5), reraise=True)
    async def ask() -> None:
        raise OOPS

    with pytest.raises(ValueError, match="oops"):
        asyncio.run(ask())
    assert waited == [5]
    library = "asyncio"
    with pytest.raises(ValueError, match="oops"):
        run_virtual(ask())
    assert waited == [5]


def test_an_async_subclass_may_call_in_its_own_way() -> None:
    """As a plain one."""

    class Counting(shim.AsyncRetrying):
        calls = 0

        async def __call__(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            return await super().__call__(fn, *args, **kwargs)

    async def ask() -> int:
        return 5

    assert asyncio.run(Counting().wraps(ask)()) == 5
    assert Counting.calls == 1


def test_a_block_that_forgets_its_attempt_goes_on(clock: FakeClock, guards: Guards) -> None:
    """Without `with attempt:` nothing is known of an attempt, so there is another."""
    rounds = 0
    for attempt in shim.Retrying(guards=guards):
        rounds += 1
        if rounds == 3:
            with attempt:
                pass
    assert rounds == 3


def test_a_caller_who_leaves_during_the_wait_costs_nothing(
    clock: FakeClock, guards: Guards
) -> None:
    """What was taken from the budget for the retry is given back."""

    @shim.retry(stop=shim.stop_after_attempt(2), wait=shim.wait_fixed(60), guards=guards)
    async def ask() -> None:
        raise OOPS

    async def main() -> None:
        for _ in range(5):
            tasks = [asyncio.ensure_future(ask()) for _ in range(80)]
            await asyncio.sleep(1)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        stats = guards.shared.budgets.stats().budgets
        assert [(budget.level, budget.refused) for budget in stats] == [(500.0, 0)]

    run_virtual(main(), clock)


def test_the_budget_may_follow_the_calls_under_way(clock: FakeClock, guards: Guards) -> None:
    """Envoy's arithmetic: of fifty at once, a fifth may try again."""
    budget = BudgetConfig(mode="envoy", percent=20.0, minimum=1)
    calls = 0

    @shim.retry(
        stop=shim.stop_after_attempt(2), wait=shim.wait_fixed(1), guards=guards, budget=budget
    )
    async def ask() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.5)
        raise OOPS

    async def main() -> None:
        await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)

    run_virtual(main(), clock)
    assert calls == 50 + 10
