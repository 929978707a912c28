"""What happens to guarded calls that end in unusual ways: collected, forked, moved, thrown into."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from random import Random
from typing import Any

import pytest
from tests.sdk.guard.commanding import BackendError, counted, guard

from breakwater.sdk import CallRefusedError
from breakwater.sdk.context import current
from breakwater.sdk.guard import (
    AdaptiveConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    HedgeConfig,
    RetryConfig,
    SheddingConfig,
    Verdict,
)
from breakwater.sdk.guard.counting.statistics import Statistics
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.limiting.shedding import Shedder
from breakwater.testing import FakeClock

WAITING = BulkheadConfig(max_concurrent=2, max_wait_s=60.0)


def made(config: CommandConfig, **code: Any) -> Command:
    """A command of its own registry, on the machine's clock."""
    return Command("rank", config, guards=Guards(), **code)


def two_items() -> Generator[int, None, None]:
    """A stream."""
    yield 1
    yield 2


async def for_ever() -> None:
    """Hang."""
    await asyncio.get_running_loop().create_future()


class Never:
    """Awaited, it waits for ever and needs no event loop."""

    def __await__(self) -> Generator[None, None, None]:
        """Wait."""
        while True:
            yield


async def never() -> None:
    """Hang, without a loop."""
    await Never()


def ends(body: Callable[[], object]) -> bool:
    """Whether `body` comes to an end on a thread of its own."""
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(10.0)
    return not thread.is_alive()


# Thrown into


def test_a_guarded_generator_may_be_a_context_manager() -> None:
    """An error of the with block reaches the guarded generator as it is, in whatever form."""
    command = guard(FakeClock())
    seen: list[str] = []

    @contextmanager
    @command
    def lent() -> Iterator[int]:
        try:
            yield 1
        except BackendError:
            seen.append("told")
            raise

    with pytest.raises(BackendError), lent():
        raise BackendError
    assert seen == ["told"]
    assert counted(command)["failure"] == 1
    assert command.stats().in_flight == 0


# Another context


@pytest.mark.parametrize("max_wait_s", [0.0, 60.0])
def test_a_coroutine_closed_in_another_context_gives_its_permit_back(max_wait_s: float) -> None:
    """A collected call is closed wherever the collector runs: it is cancelled, and nothing else."""
    bulkhead = BulkheadConfig(max_concurrent=2, max_wait_s=max_wait_s)
    command = made(CommandConfig(retry=RetryConfig(initial_s=0.0), bulkhead=bulkhead))
    call = command.call(never)
    copy_context().run(call.send, None)
    assert command.stats().in_flight == 1
    call.close()
    assert command.stats().in_flight == 0
    assert counted(command) == {"cancelled": 1}


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    """As a dependency that yields is, in a thread pool; what was bound goes with that context."""
    command = made(CommandConfig(timeout_s=10.0))
    block = command.entered()
    copy_context().run(block.__enter__)
    copy_context().run(block.__exit__, None, None, None)
    assert command.stats().in_flight == 0
    assert counted(command) == {"success": 1}
    assert current().deadline_s is None


def test_outside_any_task_a_limit_of_time_is_refused_and_keeps_no_permit() -> None:
    """There is nothing to cancel there: the call raises, however often, and takes no place."""
    command = made(CommandConfig(timeout_s=10.0, bulkhead=BulkheadConfig(max_concurrent=1)))

    async def block() -> None:
        async with command.entered_async():
            await never()

    for _ in range(3):
        with pytest.raises(RuntimeError, match="no running event loop"):
            command.call(never).send(None)
        with pytest.raises(RuntimeError, match="no running event loop"):
            block().send(None)
    assert command.stats().in_flight == 0


# The collector


@pytest.mark.parametrize(
    "config",
    [CommandConfig(), CommandConfig(bulkhead=WAITING), CommandConfig(adaptive=AdaptiveConfig())],
    ids=["plain", "waiting", "adaptive"],
)
def test_an_abandoned_stream_may_be_collected_in_the_midst_of_any_step(
    config: CommandConfig,
) -> None:
    """The collector runs on a thread that is inside a part already, which must not wait for it."""
    command = made(config)

    def stream() -> Generator[int, None, None]:
        return command(two_items)()

    def collect() -> None:
        for gate in command.parts.gates:
            lock = getattr(gate, "_lock", None) or getattr(
                getattr(gate, "places", None), "_lock", None
            )
            if lock is None:
                continue
            streams = stream()
            next(streams)
            with lock:
                streams.close()

    assert ends(collect)
    assert command.stats().in_flight == 0


def test_a_shedder_may_be_left_in_the_midst_of_its_own_step() -> None:
    """A request that is collected gives its seat back on a thread that holds the lock."""
    shedder = Shedder(SheddingConfig(limit=1), random=Random(1))
    seat = shedder.enter(CallInfo(command="rank", context=current()), 0.0)

    def leave() -> None:
        with shedder._lock:
            shedder.leave(seat, Verdict.CANCELLED, now_s=1.0, took_s=1.0, error=None)  # type: ignore[arg-type] # a seat

    assert ends(leave)
    assert shedder.stats(1.0).in_use == 0


def test_a_fold_within_a_fold_counts_nothing_twice() -> None:
    """A finaliser may end a call while its own thread empties the lists: the next fold sees it."""
    inner: list[Callable[[], None]] = []

    def peak() -> int:
        for again in inner:
            again()
        return 0

    statistics = Statistics(peak=peak, on_fold=lambda _found, _at_s, _now_s: float("inf"))
    statistics.success(0.1, 1.0)
    inner.append(lambda: statistics.success(0.1, 1.0))
    inner.append(lambda: statistics.fold(1.0))
    statistics.fold(1.0)
    written = statistics.since_start(1.0)[EventType.SUCCESS]
    inner.clear()
    assert statistics.since_start(1.0)[EventType.SUCCESS] >= written
    assert not statistics.log


def test_a_call_waiting_in_a_closed_loop_takes_no_place() -> None:
    """A loop that is closed with calls in line is forgotten, and their places go to others."""
    command = made(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1, max_wait_s=60.0)))
    with command.entered():
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        waiting = loop.create_task(command.call(for_ever))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        gate = command.parts.gates[1]
        assert gate.stats().waiting == 1  # type: ignore[attr-defined] # the waiting bulkhead
        loop.close()
        del waiting, loop
        gc.collect()
        assert gate.stats().waiting == 0  # type: ignore[attr-defined] # as above
    assert command.call_sync(lambda: "in") == "in"


def test_a_queue_outlives_the_loop_of_one_who_waited_in_it() -> None:
    """To wake somebody whose loop was closed does no harm to whoever gave the place back."""
    command = made(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1, max_wait_s=60.0)))
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    with command.entered():
        waiting = loop.create_task(command.call(for_ever))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert counted(command)["success"] == 1
    del waiting
    gc.collect()
    assert command.call_sync(lambda: "in") == "in"


class RaisedError(Exception):
    """Known by a weak reference, to see how long it lives."""

    def __init__(self, born: "list[weakref.ref[RaisedError]]") -> None:
        born.append(weakref.ref(self))


def raises(born: "list[weakref.ref[RaisedError]]") -> None:
    """Raise."""
    raise RaisedError(born)


def alive(call: Callable[["list[weakref.ref[RaisedError]]"], object]) -> int:
    """Errors of the call that are still there without the collector having run."""
    born: list[weakref.ref[RaisedError]] = []
    gc.collect()
    gc.disable()
    try:
        call(born)
        return sum(error() is not None for error in born)
    finally:
        gc.enable()


def test_a_failed_block_leaves_its_error_to_nobody() -> None:
    """No frame of the guard holds the error of a block or a stream, nor shows in its traceback."""
    command = made(CommandConfig())
    frames: list[str] = []

    def block(born: "list[weakref.ref[RaisedError]]") -> None:
        try:
            with command.entered():
                raises(born)
        except RaisedError as error:
            traceback = error.__traceback__
            while traceback is not None:
                frames.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next

    def stream(born: "list[weakref.ref[RaisedError]]") -> None:
        @command
        def items() -> Iterator[int]:
            yield 1
            raise RaisedError(born)

        with suppress(RaisedError):
            list(items())

    def stream_async(born: "list[weakref.ref[RaisedError]]") -> None:
        @command
        async def items() -> AsyncIterator[int]:
            yield 1
            raise RaisedError(born)

        async def consume() -> None:
            with suppress(RaisedError):
                async for _ in items():
                    pass

        asyncio.run(consume())

    assert alive(block) == 0
    assert frames == ["block", "raises"]
    assert alive(stream) == 0
    assert alive(stream_async) == 0


def test_a_failed_race_leaves_its_error_to_nobody() -> None:
    """Neither the race nor the driver holds the error of a hedged call once it is raised."""
    config = CommandConfig(breaker=None, hedge=HedgeConfig(delay_s=60.0))
    command = made(config, idempotent=True)

    async def raises_async(born: "list[weakref.ref[RaisedError]]") -> None:
        raises(born)

    async def call(born: "list[weakref.ref[RaisedError]]") -> None:
        with suppress(RaisedError):
            await command.call(raises_async, born)

    assert alive(lambda born: asyncio.run(call(born))) == 0


# Configured meanwhile


@pytest.mark.slow
def test_configuring_while_calls_are_under_way_never_closes_a_command() -> None:
    """However a call and a change interleave, both roads stay usable and all permits come home."""
    command = made(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=50)))
    decorated = command(lambda: 1)
    errors: list[BaseException] = []
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                command.call_sync(lambda: 1)
                decorated()
            except CallRefusedError:
                continue
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                errors.append(error)
                return

    threads = [threading.Thread(target=call) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for n in range(300):
            timeout_s = None if n % 2 else 5.0
            bulkhead = BulkheadConfig(max_concurrent=3 if n % 3 else 50)
            command.configure(CommandConfig(timeout_s=timeout_s, bulkhead=bulkhead))
    finally:
        over.set()
        for thread in threads:
            thread.join(10.0)
        sys.setswitchinterval(before)
    assert not errors
    for timeout_s in (None, 5.0):
        command.configure(CommandConfig(timeout_s=timeout_s))
        assert command.call_sync(lambda: 2) + decorated() == 3
    assert command.stats().in_flight == 0


# Forked

FORKED = """
import os, sys
from breakwater.sdk.guard import *
config, code = CommandConfig(timeout_s=10.0, {part}), dict(idempotent=True)
command = Command("rank", config, guards=Guards(), **code)
assert command.call_sync(lambda: 1) == 1
child = os.fork()
if child == 0:
    os._exit(0 if [command.call_sync(lambda: 2) for _ in range(3)] == [2, 2, 2] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or command.call_sync(lambda: 0))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(sys, "getswitchinterval") or sys.platform == "win32", reason="fork")
@pytest.mark.parametrize(
    "part",
    [
        'bulkhead=BulkheadConfig(isolation="thread", threads=1)',
        "hedge=HedgeConfig(delay_s=5.0, sync_threads=1)",
    ],
    ids=["pool", "hedge"],
)
def test_threads_of_the_parent_are_not_waited_for_in_a_forked_child(part: str) -> None:
    """A prefork server may call before it forks: the child starts threads of its own."""
    script = FORKED.replace("{part}", part)
    ran = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ran.returncode == 0
