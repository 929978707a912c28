"""Queries take turns: cheap ones at once, the others in threads, until nobody wants them."""

import threading
import time
from typing import Any, Self

import anyio
import anyio.to_thread
import pytest
from starlette.requests import Request
from starlette.types import Message

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryLimitError, QueryTimeoutError
from breakwater.metrics.api.queue import CHEAP, LIGHT, QueryQueue, within
from breakwater.metrics.cost import Estimate
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import BusyError, QueryCancelledError
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


class Caller:
    """Somebody who asks, and may leave."""

    def __init__(self, name: str = "a") -> None:
        self.has_left = anyio.Event()
        self.request = Request(
            {"type": "http", "client": (name, 1), "headers": [], "method": "GET", "path": "/"},
            self._receive,
        )

    async def _receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}


def made(**settings: Any) -> tuple[MetricsEngine, QueryQueue]:
    """An engine with two series and its queue."""
    engine = MetricsEngine(MetricsSettings(**settings), FakeClock())
    for app in ("a", "b"):
        engine.write_series({"name": "calls", "nf.app": app}, engine.clock.now_ms(), 1.0)
    return engine, QueryQueue(engine)


async def asked(engine: MetricsEngine, queue: QueryQueue, program: str, **more: Any) -> Any:
    """The thread a program is worked out in, and the headers of its answer."""
    now_ms = engine.clock.now_ms()
    answered = await queue.ask(
        Caller().request,
        program,
        start_ms=now_ms - 5_000,
        end_ms=now_ms,
        step_ms=1_000,
        work=lambda _: threading.current_thread().name,
        **more,
    )
    return answered.value, answered.headers["x-breakwater-cost"]


async def test_a_cheap_query_runs_where_it_is() -> None:
    """Nothing is handed to a thread that takes less time than the handing."""
    engine, queue = made()
    thread, cost = await asked(engine, queue, "name,calls,:eq,(,nf.app,),:by")
    assert thread == threading.current_thread().name
    assert cost.startswith("series=2, input-datapoints=10, lines=2, output-points=10, bytes=160,")
    assert cost.endswith(", lane=inline")
    assert queue.stats().inline == 1


async def test_what_has_to_be_looked_for_is_looked_for_in_a_thread_once() -> None:
    """A pattern is tried on values in a thread; the plan it led to is used at once afterwards."""
    engine, queue = made()
    await asked(engine, queue, "name,ca.*s,:re")
    thread, _ = await asked(engine, queue, "name,ca.*s,:re")
    assert thread == threading.current_thread().name
    assert (queue.stats().light, queue.stats().inline) == (1, 2)


async def test_what_takes_long_to_encode_runs_in_a_thread() -> None:
    """A picture of one cheap line is still a picture."""
    engine, queue = made()
    thread, cost = await asked(engine, queue, "name,calls,:eq", is_long=True)
    assert thread.startswith("query")
    assert cost.endswith("lane=light")


async def test_too_large_a_query_is_refused_with_the_numbers() -> None:
    """Before anything is read the answer says how much it would have been."""
    engine, queue = made(max_input_points=9)
    with pytest.raises(QueryLimitError, match="too many input datapoints: 10 > 9"):
        await asked(engine, queue, "name,calls,:eq")
    engine, queue = made(max_query_bytes=8)
    with pytest.raises(QueryLimitError, match="too many bytes of arrays for the query"):
        await asked(engine, queue, "name,calls,:eq")


async def test_a_query_ends_when_its_caller_leaves() -> None:
    """Its thread learns of it at the next check, and its place is free again."""
    _, queue = made()
    caller, begun = Caller(), threading.Event()

    def work(deadline: Deadline) -> None:
        deadline.count(7)
        begun.set()
        _until_stopped(deadline)

    async with anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(QueryCancelledError, match="its caller left; 7 datapoints"):
                await queue.run(work, request=caller.request)

        group.start_soon(ask)
        await anyio.to_thread.run_sync(begun.wait, 30)
        caller.has_left.set()
    assert (queue.stats().running, queue.stats().cancelled) == (0, 1)


async def test_a_query_ends_at_its_deadline() -> None:
    """The message says how far it came of how much."""
    _, queue = made(query_timeout_s=0.02)

    def work(deadline: Deadline) -> None:
        deadline.count(7)
        _until_stopped(deadline)

    with pytest.raises(QueryTimeoutError, match=r"than 0\.02 s .*; 7 of about 10 datapoints"):
        await queue.run(work, request=Caller().request, estimate=Estimate(input_datapoints=10))
    assert queue.stats().timed_out == 1


async def test_who_waits_too_long_for_other_queries_is_told_so() -> None:
    """A query that does not get its turn in the time it may take is refused, and others go on."""
    _, queue = made(query_timeout_s=0.05)
    async with Held(queue) as held:
        with pytest.raises(BusyError, match="try again later"):
            await queue.run(lambda _: None, request=Caller().request)
        held.done.set()
    assert await queue.run(lambda _: 7, request=Caller().request) == 7


async def test_who_leaves_while_waiting_is_not_run() -> None:
    """Work nobody waits for any more is not begun."""
    _, queue = made()
    gone = Caller()
    gone.has_left.set()
    async with Held(queue) as held:
        with pytest.raises(QueryCancelledError, match="before its turn"):
            await queue.run(lambda _: pytest.fail("begun"), request=gone.request)
        held.done.set()


async def test_heavy_queries_do_not_hold_up_light_ones() -> None:
    """With every heavy place taken the other lane moves as before."""
    _, queue = made()
    async with Held(queue, lane="heavy") as held:
        assert await queue.run(lambda _: 7, request=Caller().request) == 7
        held.done.set()


def test_what_is_cheap_is_light_too() -> None:
    """The bounds of the lanes follow each other, and nothing may be above one of them."""
    assert within(CHEAP, LIGHT)
    assert not within(Estimate(lines=33), CHEAP)


def _until_stopped(deadline: Deadline) -> None:
    latest_s = time.monotonic() + 30
    while time.monotonic() < latest_s:
        deadline.check()
    pytest.fail("nobody stopped the query")


class Held:
    """Every place of a lane, held until `done`."""

    def __init__(self, queue: QueryQueue, lane: Any = "light") -> None:
        self.done = threading.Event()
        self._queue = queue
        self._lane = lane
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        places = self._queue._lanes[self._lane]._at_once
        for number in range(places):
            begun = threading.Event()
            self._group.start_soon(self._hold, f"holder-{number}", begun)
            await anyio.to_thread.run_sync(begun.wait, 30)
        return self

    async def _hold(self, name: str, begun: threading.Event) -> None:
        def work(_: Deadline) -> bool:
            begun.set()
            return self.done.wait(30)

        await self._queue.run(work, request=Caller(name).request, lane=self._lane)

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036 - handed on as they are
        self.done.set()
        await self._group.__aexit__(*error)
