"""Where the shim differs from pybreaker, and why that is better: the listed differences, shown."""

import abc
import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk import BreakerState, Guards, Kind, SettingsError
from breakwater.sdk.shims import pybreaker as shim
from breakwater.testing import FakeClock, recording, run_virtual, told

OOPS = ValueError("oops")
OPEN_S = 60.0


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """A registry whose time is the fake clock's."""
    return Guards(clock=clock, sleep=clock.advance)


@pytest.fixture
def breaker_of(guards: Guards) -> Callable[..., shim.CircuitBreaker]:
    """Makes breakers that open at the second failure, for a minute."""

    def make(**settings: Any) -> shim.CircuitBreaker:
        given: dict[str, Any] = {"fail_max": 2, "reset_timeout": OPEN_S, **settings}
        return shim.CircuitBreaker(**given, guards=guards)

    return make


def fail() -> None:
    """The callee is down."""
    raise OOPS


def opened(breaker: shim.CircuitBreaker) -> None:
    """Let it open by failures."""
    while breaker.current_state == shim.STATE_CLOSED:
        with pytest.raises((ValueError, shim.CircuitBreakerError)):
            breaker.call(fail)


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


def test_states_show_their_names(breaker_of: Callable[..., shim.CircuitBreaker]) -> None:
    """And may be set by name."""
    breaker = breaker_of()
    breaker.state = shim.STATE_HALF_OPEN
    assert repr(breaker.state) == "<CircuitHalfOpenState 'half-open'>"


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
