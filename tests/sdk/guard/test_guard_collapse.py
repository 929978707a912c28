"""Collapsing: calls that come together are sent as one."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.guard.batching import Store, all_of, command, run

from breakwater.sdk import CallFailedError, CallRefusedError, Criticality, DeadlineExceededError
from breakwater.sdk import context as ctx
from breakwater.sdk.context import NESTED, CallContext
from breakwater.sdk.guard import (
    BreakerConfig,
    CollapseConfig,
    CommandConfig,
    EventType,
    Guards,
    request_scope,
)
from breakwater.sdk.guard.sharing.collapse import Tally, merged
from breakwater.testing import FakeClock


def test_calls_within_the_wait_are_one_batch(clock: FakeClock) -> None:
    """Each caller gets his own result; the batch is sent once the first has waited."""
    store, made = Store(), command(clock, wait_s=0.01)
    load = made.collapse(store.load)

    async def main() -> tuple[list[Any], float]:
        start_s = clock.monotonic_s()
        results = await all_of([load(number) for number in (3, 1, 2)])
        return results, clock.monotonic_s() - start_s

    results, took_s = run(clock, main)
    assert results == [6, 2, 4]
    assert store.batches == [[3, 1, 2]]
    assert took_s == pytest.approx(0.01)
    assert made.statistics.figures(clock.monotonic_s()).count(EventType.COLLAPSED) == 3


def test_a_full_batch_does_not_wait(clock: FakeClock) -> None:
    """With max_batch arguments it is sent at once; the rest opens the next."""
    store = Store()
    load = command(clock, wait_s=1.0, max_batch=2).collapse(store.load)

    async def main() -> tuple[list[Any], float]:
        start_s = clock.monotonic_s()
        results = await all_of([load(number) for number in range(4)])
        return results, clock.monotonic_s() - start_s

    assert run(clock, main) == ([0, 2, 4, 6], 0.0)
    assert store.batches == [[0, 1], [2, 3]]


def test_equal_arguments_are_asked_for_once(clock: FakeClock) -> None:
    """Unless caches_requests is off, or they cannot be compared."""
    store, twice = Store(), Store()
    load = command(clock).collapse(store.load)
    load_twice = command(clock, caches_requests=False).collapse(twice.load)

    async def unhashable(lists: list[list[int]]) -> list[int]:
        return [len(each) for each in lists]

    load_lists = command(clock).collapse(unhashable)

    async def main() -> None:
        assert await all_of([load(7), load(7), load(8)]) == [14, 14, 16]
        assert await all_of([load_twice(7), load_twice(7)]) == [14, 14]
        assert await all_of([load_lists([1]), load_lists([1])]) == [1, 1]

    run(clock, main)
    assert store.batches == [[7, 8]]
    assert twice.batches == [[7, 7]]
    assert load.stats().shared == 1


def test_each_gets_the_error_that_is_his(clock: FakeClock) -> None:
    """Exceptions among the results are raised to who asked, a copy for each; others are fine."""
    failure = ValueError("odd")

    async def evens(numbers: list[int]) -> list[int | BaseException]:
        return [failure if number % 2 else number for number in numbers]

    load = command(clock).collapse(evens)

    async def main() -> None:
        first, second, third = await all_of([load(1), load(2), load(1)])
        assert second == 2
        assert str(first) == str(third) == "odd"
        assert first is not third

    run(clock, main)


def test_results_may_be_a_dictionary(clock: FakeClock) -> None:
    """By argument; who is missing from it fails alone."""

    async def some(numbers: list[int]) -> dict[int, str]:
        return {number: str(number) for number in numbers if number < 3}

    load = command(clock).collapse(some)

    async def main() -> None:
        one, two, three = await all_of([load(1), load(2), load(3)])
        assert (one, two) == ("1", "2")
        assert isinstance(three, CallFailedError)
        assert three.detail == "batch_answer_missing"

    run(clock, main)


@pytest.mark.parametrize("answer", [[1], [1, 2, 3], "ab", 7, None])
def test_an_answer_of_another_shape_fails_all(clock: FakeClock, answer: Any) -> None:
    """Results that cannot be told apart are given to nobody."""

    async def wrong(numbers: list[int]) -> Any:
        return answer

    load = command(clock).collapse(wrong)

    async def main() -> None:
        errors = await all_of([load(1), load(2)])
        assert all(isinstance(error, CallFailedError) for error in errors)
        assert {error.detail for error in errors} == {"batch_answer_mismatch"}

    run(clock, main)


def test_a_batch_that_fails_fails_for_all(clock: FakeClock) -> None:
    """Through the guard: the breaker hears of one failure, each caller gets his copy."""

    async def broken(numbers: list[int]) -> list[int]:
        raise ValueError("down")

    made = command(clock)
    load = made.collapse(broken)

    async def main() -> None:
        errors = await all_of([load(1), load(2)])
        assert [str(error) for error in errors] == ["down", "down"]
        assert errors[0] is not errors[1]

    run(clock, main)
    assert made.statistics.figures(clock.monotonic_s()).count(EventType.FAILURE) == 1


def test_who_leaves_disturbs_nobody(clock: FakeClock) -> None:
    """Before the batch is sent his argument goes with him; after that the others get theirs."""
    store = Store(seconds=1.0)
    load = command(clock, wait_s=0.01).collapse(store.load)

    async def main() -> None:
        tasks = [asyncio.ensure_future(load(number)) for number in range(4)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in results[:2]] == [asyncio.CancelledError] * 2
        assert results[2:] == [4, 6]

    run(clock, main)
    assert store.batches == [[1, 2, 3]]
    assert load.stats().left == 2


def test_a_batch_that_nobody_waits_for_is_cancelled(clock: FakeClock) -> None:
    """Sent or not, no work is done for nobody, and the next call opens a new batch."""
    store = Store(seconds=60.0)
    load = command(clock, wait_s=0.01).collapse(store.load)

    async def main() -> None:
        for pause_s in (0.005, 1.0):
            tasks = [asyncio.ensure_future(load(number)) for number in range(2)]
            await asyncio.sleep(pause_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(1.0)
        assert store.cancelled == 1
        store.seconds = 0.0
        assert await load(5) == 10

    run(clock, main)
    assert store.batches == [[0, 1], [5]]
    assert load.stats().open == 0


def test_shards_do_not_mix(clock: FakeClock) -> None:
    """Calls of one batch have their shard in common."""
    store = Store()
    load = command(clock).collapse(store.load, shard=lambda number: number % 2)

    async def main() -> None:
        assert await all_of([load(number) for number in range(4)]) == [0, 2, 4, 6]

    run(clock, main)
    assert store.batches == [[0, 2], [1, 3]]


def test_requests_do_not_mix_in_their_own_scope(clock: FakeClock) -> None:
    """With scope `request` a batch holds calls of one request; outside any, calls go alone."""
    store = Store()
    load = command(clock, scope="request").collapse(store.load)

    async def request(*numbers: int) -> None:
        with request_scope():
            await all_of([load(number) for number in numbers])

    async def main() -> None:
        await asyncio.gather(request(1, 2), request(3, 4))
        await all_of([load(5), load(6)])

    run(clock, main)
    assert sorted(store.batches) == [[1, 2], [3, 4], [5], [6]]


def test_a_request_asks_once_over_all_its_batches(clock: FakeClock) -> None:
    """With the request cache on, what was answered or is under way is not sent again."""
    store = Store(seconds=1.0)
    guards = Guards(clock=clock)
    made = guards.command("load", CommandConfig(collapse=CollapseConfig(), request_cache=True))
    load = made.collapse(store.load)

    async def main() -> None:
        with request_scope():
            assert await all_of([load(1), load(2), load(1)]) == [2, 4, 2]
            under_way = asyncio.ensure_future(load(3))
            await asyncio.sleep(0.5)
            assert await all_of([load(1), load(3), load(4)]) == [2, 6, 8]
            assert await under_way == 6
        with request_scope():
            assert await load(1) == 2

    run(clock, main)
    assert store.batches == [[1, 2], [3], [4], [1]]
    assert load.stats().from_cache == 3
    assert "collapse (load), 100 within 10 ms" in made.describe()


def test_a_request_remembers_what_failed_and_not_who_left(clock: FakeClock) -> None:
    """An error stands for equal calls of the request; a cancelled one is asked for again."""
    asked: list[list[int]] = []

    async def broken(numbers: list[int]) -> list[int]:
        asked.append(numbers)
        await asyncio.sleep(1.0)
        raise ValueError("down")

    guards = Guards(clock=clock)
    made = guards.command("load", CommandConfig(request_cache=True, breaker=None))
    load = made.collapse(broken)

    async def main() -> None:
        with request_scope():
            errors = [*await all_of([load(1), load(1)]), *await all_of([load(1)])]
            assert [str(error) for error in errors] == ["down"] * 3
            tasks = [asyncio.ensure_future(load(2)) for _ in range(2)]
            await asyncio.sleep(0.5)
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(error) for error in await all_of([load(2)])] == ["down"]

    run(clock, main)
    assert asked == [[1], [2], [2]]


def test_everybody_keeps_to_his_own_deadline(clock: FakeClock) -> None:
    """The impatient fails in time, the batch goes on for the patient, no later than he waits."""
    store, seen = Store(seconds=1.0), []

    async def load_all(numbers: list[int]) -> list[int]:
        seen.append(ctx.current().deadline_s)
        return await store.load(numbers)

    load = command(clock).collapse(load_all)

    async def within(seconds: float, number: int) -> int:
        with ctx.deadline(seconds, clock):
            return await load(number)

    async def main() -> None:
        start_s = clock.monotonic_s()
        impatient = asyncio.ensure_future(within(0.5, 1))
        patient = asyncio.ensure_future(within(5.0, 2))
        with pytest.raises(DeadlineExceededError):
            await impatient
        assert clock.monotonic_s() == pytest.approx(start_s + 0.5)
        assert await patient == 4
        assert seen == [pytest.approx(start_s + 5.0)]
        with pytest.raises(DeadlineExceededError):
            await within(-1.0, 3)

    run(clock, main)


def test_a_near_deadline_sends_the_batch_sooner(clock: FakeClock) -> None:
    """Nobody spends more than half of his time waiting for company."""
    load = command(clock, wait_s=1.0).collapse(Store().load)

    async def main() -> float:
        start_s = clock.monotonic_s()
        with ctx.deadline(0.2, clock):
            await load(1)
        return clock.monotonic_s() - start_s

    assert run(clock, main) == pytest.approx(0.1)


def test_a_batch_has_the_best_of_its_callers() -> None:
    """The latest deadline if all have one, the highest importance, a retrying caller if any."""
    hurried = CallContext(deadline_s=1.0, criticality=Criticality.SHEDDABLE)
    patient = CallContext(deadline_s=5.0, criticality=Criticality.CRITICAL_PLUS, attempts=NESTED)
    assert merged([hurried, patient]) == CallContext(
        deadline_s=5.0, criticality=Criticality.CRITICAL_PLUS, attempts=NESTED
    )
    assert merged([hurried, CallContext()]).deadline_s is None


def test_a_refused_batch_is_refused_to_all(clock: FakeClock) -> None:
    """The guard's own refusals reach every caller as what they are."""
    made = command(clock)
    load = made.collapse(Store().load)
    made.configure(CommandConfig(breaker=BreakerConfig(mode="forced_open")))

    async def main() -> None:
        errors = await all_of([load(1), load(2)])
        assert all(isinstance(error, CallRefusedError) for error in errors)

    run(clock, main)


def test_batch_sizes_are_counted() -> None:
    """Rolling numbers of calls and batches, and percentiles of the sizes of the last minute."""
    tally = Tally()
    for at, size in enumerate((1, 1, 2, 300)):
        tally.sent(size + 1, size, 100.0 + at)
    figures = tally.figures(104.0)
    assert (figures.requests, figures.shared, figures.batches) == (308, 4, 4)
    assert figures.sizes == {1: 2, 2: 1, 300: 1}
    assert [figures.size_percentile(percent) for percent in (0, 50, 75, 100)] == [1, 1, 2, 300]
    assert figures.mean_size == 76
    assert tally.figures(112.5).batches == 1
    assert tally.figures(200.0).sizes == {}
    assert tally.stats(0).batches == 4


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 0.03), st.floats(0, 0.05) | st.none()),
        max_size=30,
    ),
    st.integers(1, 6),
)
def test_whoever_stays_gets_his_own_result(
    calls: list[tuple[int, float, float | None]], most: int
) -> None:
    """Whatever comes together, leaves or stays: results go to who asked, batches stay bounded."""
    clock = FakeClock()
    store = Store(seconds=0.01)
    load = command(clock, wait_s=0.01, max_batch=most).collapse(store.load)

    async def ask(number: int, comes_s: float, leaves_s: float | None) -> None:
        await asyncio.sleep(comes_s)
        try:
            async with asyncio.timeout(leaves_s):
                assert await load(number) == 2 * number
        except TimeoutError:
            assert leaves_s is not None
            return
        assert leaves_s is None or leaves_s > 0.01

    async def main() -> None:
        await asyncio.gather(*(ask(*call) for call in calls))

    run(clock, main)
    assert all(0 < len(batch) <= most for batch in store.batches)
    assert all(len(set(batch)) == len(batch) for batch in store.batches)
    assert load.stats().open == 0
