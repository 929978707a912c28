"""Collapsing of sync calls: threads that come together send one batch."""

import threading

import pytest
from tests.sdk.guard.batching import command
from tests.sdk.guarding import wait_until

from breakwater.sdk import DeadlineExceededError
from breakwater.sdk import context as ctx
from breakwater.sdk.guard import CommandConfig, Guards, request_scope
from breakwater.testing import FakeClock


def test_a_thread_keeps_to_its_own_deadline() -> None:
    """Who waits for another thread's batch gives up in time, and the batch goes on."""
    goes_on, results = threading.Event(), []

    def load_all(numbers: list[int]) -> list[int]:
        assert goes_on.wait(10)
        return numbers

    load = command(wait_s=30.0, max_batch=2).collapse(load_all)
    first = threading.Thread(target=lambda: results.append(load(1)))
    first.start()
    wait_until(lambda: load.stats().open > 0)
    try:
        with ctx.deadline(-1.0), pytest.raises(DeadlineExceededError):
            load(3)
        with ctx.deadline(0.05), pytest.raises(DeadlineExceededError):
            load(2)
    finally:
        goes_on.set()
        if load.stats().open:  # the deadline was over before the call could join
            load(4)
        first.join(10)
    assert results == [1]


def test_threads_of_a_request_ask_once() -> None:
    """Sync calls too, errors included."""
    made = Guards().command("load", CommandConfig(request_cache=True, breaker=None))
    batches = []

    def load_all(numbers: list[int]) -> list[float]:
        batches.append(numbers)
        return [1 / number for number in numbers]

    load = made.collapse(load_all)
    with request_scope():
        assert [load(2), load(2)] == [0.5, 0.5]
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                load(0)
    assert batches == [[2], [0]]


def test_threads_share_a_batch() -> None:
    """Sync calls of many threads go in one batch, sent by the first of them."""
    batches: list[list[int]] = []

    def load_all(numbers: list[int]) -> list[int]:
        batches.append(numbers)
        return [2 * number for number in numbers]

    load = command(wait_s=30.0, max_batch=8).collapse(load_all)
    results: dict[int, int] = {}

    def ask(number: int) -> None:
        results[number] = load(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {number: 2 * number for number in range(8)}
    assert len(batches) == 1


def test_a_thread_alone_waits_and_goes(clock: FakeClock) -> None:
    """A batch of one is sent at the end of the wait; errors are raised as they are."""

    def load_all(numbers: list[int]) -> list[int]:
        return [1 // number for number in numbers]

    load = command(wait_s=0.0).collapse(load_all)
    assert load(1) == 1
    with pytest.raises(ZeroDivisionError):
        load(0)
    assert load.stats().batches == 2


def test_an_interrupted_thread_lets_the_others_know() -> None:
    """When the thread that sends is interrupted those who wait get an error, not silence."""
    entered, ended = threading.Event(), []

    def load_all(numbers: list[int]) -> list[int]:
        raise KeyboardInterrupt

    load = command(wait_s=30.0, max_batch=2).collapse(load_all)

    def ask(number: int) -> None:
        entered.set()
        try:
            load(number)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            ended.append(type(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(kind.__name__ for kind in ended) == ["CallFailedError", "KeyboardInterrupt"]
