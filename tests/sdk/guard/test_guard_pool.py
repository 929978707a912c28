"""The thread-pool bulkhead: the caller can leave, the pool stays bounded, nothing is misbooked."""

import threading
from contextvars import ContextVar

import pytest
from tests.sdk.guarding import wait_until

from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import BulkheadConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.limiting.pool import ThreadPool
from breakwater.sdk.guard.verdict import Verdict

PATIENCE_S = 10.0
CALL = CallInfo(command="decode", context=CallContext())


def pool(threads: int, queue: int = 0) -> ThreadPool:
    """A pool of so many threads."""
    return ThreadPool("decode", BulkheadConfig(isolation="thread", threads=threads, queue=queue))


class Hang:
    """Work that stays where it is until it is let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.go.wait(PATIENCE_S)
        self.ended.set()
        return "late"


def in_background(workers: ThreadPool, work: Hang) -> threading.Thread:
    """A caller that waits for `work` on a thread of its own."""
    caller = threading.Thread(target=workers.run, args=(work, None))
    caller.start()
    assert work.began.wait(PATIENCE_S)
    return caller


def until_completed(workers: ThreadPool, count: int) -> None:
    """Wait until so many calls ran to their end."""
    wait_until(lambda: workers.stats().completed >= count)


def test_the_result_and_the_error_come_back() -> None:
    """What the work returns or raises is what the caller gets."""
    workers = pool(1)
    assert workers.run(lambda: 42, None) == 42
    with pytest.raises(ZeroDivisionError):
        workers.run(lambda: 1 // 0, None)
    assert workers.stats().completed == 2


def test_the_work_runs_in_a_copy_of_the_callers_context() -> None:
    """Context variables of the caller are seen by the work, and its changes stay its own."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    workers = pool(1)
    variable.set("caller")

    def work() -> str:
        seen = variable.get()
        variable.set("worker")
        return seen

    assert workers.run(work, None) == "caller"
    assert variable.get() == "caller"


def test_the_caller_walks_away_and_the_worker_goes_on() -> None:
    """At the timeout the caller gets TimeoutError; the late result is counted and dropped."""
    workers, hang = pool(1), Hang()
    with pytest.raises(TimeoutError):
        workers.run(hang, 0.01 if hang.began.is_set() else 0.05)
    assert hang.began.wait(PATIENCE_S)
    assert workers.stats().active == 1
    hang.go.set()
    until_completed(workers, 1)
    stats = workers.stats()
    assert (stats.late, stats.active, stats.completed) == (1, 0, 1)
    assert workers.run(lambda: "well again", None) == "well again"


def test_a_stuck_thread_keeps_its_place() -> None:
    """While an abandoned call holds the only thread, the gate refuses the next with pool_full."""
    workers, hang = pool(1), Hang()
    ticket = workers.enter(CALL, 0.0)
    with pytest.raises(TimeoutError):
        workers.run(hang, 0.05)
    workers.leave(ticket, Verdict.TIMEOUT, now_s=0.0, took_s=0.05, error=None)
    with pytest.raises(CallRefusedError) as refusal:
        workers.enter(CALL, 0.0)
    assert refusal.value.reason == "pool_full"
    hang.go.set()
    until_completed(workers, 1)
    workers.leave(workers.enter(CALL, 0.0), Verdict.CANCELLED, now_s=0.0, took_s=0.0, error=None)
    assert workers.stats().rejected == 1


def test_what_never_started_is_a_refusal_not_a_timeout() -> None:
    """A call whose time ran out in the queue was not made: never_started, and it never runs."""
    workers, hang = pool(1, queue=1), Hang()
    caller = in_background(workers, hang)
    ran = threading.Event()
    with pytest.raises(CallRefusedError) as refusal:
        workers.run(ran.set, 0.01)
    assert refusal.value.reason == "never_started"
    hang.go.set()
    caller.join(PATIENCE_S)
    assert not ran.is_set()
    stats = workers.stats()
    assert (stats.never_started, stats.completed, stats.late) == (1, 1, 0)


def test_threads_and_queue_bound_what_is_accepted() -> None:
    """Threads plus queue places are given out, and not one more."""
    workers = pool(2, queue=3)
    tickets = [workers.enter(CALL, 0.0) for _ in range(5)]
    with pytest.raises(CallRefusedError):
        workers.enter(CALL, 0.0)
    for ticket in tickets:
        workers.leave(ticket, Verdict.NOT_TRIED, now_s=0.0, took_s=0.0, error=None)
    assert workers.stats().rejected == 1


def test_without_a_gate_the_pool_is_bounded_too() -> None:
    """`run` alone refuses when every thread is busy and there is no queue."""
    workers, hang = pool(1), Hang()
    caller = in_background(workers, hang)
    with pytest.raises(CallRefusedError) as refusal:
        workers.run(lambda: None, None)
    assert refusal.value.reason == "pool_full"
    hang.go.set()
    caller.join(PATIENCE_S)


def test_the_queue_is_worked_off_in_order() -> None:
    """With one thread, calls run one at a time in the order they came."""
    workers, hang = pool(1, queue=10), Hang()
    first = in_background(workers, hang)
    order: list[int] = []
    callers = []
    for number in range(5):
        caller = threading.Thread(target=workers.run, args=(lambda n=number: order.append(n), None))
        caller.start()
        callers.append(caller)
        wait_until(lambda n=number: workers.stats().queue > n)  # type: ignore[misc] # bound per turn
    hang.go.set()
    for caller in [first, *callers]:
        caller.join(PATIENCE_S)
    assert order == [0, 1, 2, 3, 4]


def test_threads_are_hired_as_needed_and_kept() -> None:
    """Calls one after the other need one thread; the figures are those the streams show."""
    workers = pool(4)
    for _ in range(10):
        workers.run(lambda: None, None)
    stats = workers.stats()
    assert (stats.size, stats.largest, stats.core, stats.tasks) == (1, 1, 4, 10)
    assert workers.take_max_active() == 1
    assert workers.take_max_active() == 0


def test_fewer_threads_after_a_change() -> None:
    """A pool that was made smaller lets go of the threads it does not need."""
    workers = pool(3)
    hangs = [Hang() for _ in range(3)]
    callers = [in_background(workers, hang) for hang in hangs]
    assert workers.stats().largest == 3
    workers.configure(BulkheadConfig(isolation="thread", threads=1))
    for hang, caller in zip(hangs, callers, strict=True):
        hang.go.set()
        caller.join(PATIENCE_S)
    wait_until(lambda: workers.stats().size <= 1)
    assert workers.run(lambda: 1, None) == 1


def test_a_closed_pool_takes_no_calls() -> None:
    """After `close` calls are refused."""
    workers = pool(1)
    workers.run(lambda: None, None)
    workers.close()
    with pytest.raises(CallRefusedError):
        workers.run(lambda: None, None)
