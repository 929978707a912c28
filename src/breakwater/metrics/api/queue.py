"""When a query runs: at once where that is cheap, else in threads, a few at a time.

What a query will cost is worked out before it runs. Those that take well below a millisecond run
where they are, in the event loop, and wait for nobody. The others take turns in two lanes of
threads, so that heavy ones never hold up light ones, and in each lane no caller gets every place.
A query ends at its deadline, and soon after its caller has left.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter, le
from typing import Final, Generic, Literal, TypeVar

import msgspec
from starlette.requests import Request

from breakwater.metrics.api.turns import Turn, Turns
from breakwater.metrics.cost import Estimate
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import (
    BusyError,
    QueryCancelledError,
    QueryLimitError,
    QueryTimeoutError,
)
from breakwater.metrics.programs import Question
from breakwater.web import caller_of

COST_HEADER: Final = "x-breakwater-cost"
CHEAP: Final = Estimate(
    input_datapoints=200_000, lines=32, output_points=4_000, bytes=4 << 20, parts=32
)
"""The most a query may cost that runs in the event loop: about half a millisecond of work."""

LIGHT: Final = Estimate(
    input_datapoints=10_000_000,
    lines=1_024,
    output_points=60_000,
    bytes=64 << 20,
    parts=512,
    files=2,
)
"""The most a query may cost in the light lane: about 50 ms of work."""

_LIGHT_AT_ONCE: Final = 3
_HEAVY_AT_ONCE: Final = 2
_MOST_WAITING: Final = 64
_BOUNDED: Final = attrgetter(
    "input_datapoints", "lines", "output_points", "bytes", "parts", "files"
)

_T = TypeVar("_T")
LaneName = Literal["inline", "light", "heavy"]


class QueryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of queries since the start; running and waiting are of now."""

    inline: int
    light: int
    heavy: int
    refused: int
    timed_out: int
    cancelled: int
    running: int
    waiting: int


class Answered(msgspec.Struct, Generic[_T], frozen=True):
    """What a query came to, what it was expected to cost, and that as headers of the answer."""

    value: _T
    estimate: Estimate
    headers: dict[str, str]


class QueryQueue:
    """Gives each query its turn and its deadline; refuses when too much is waiting.

    It belongs to one event loop. Queries wait no longer than they may run, `query_timeout_s`.
    """

    def __init__(self, engine: MetricsEngine) -> None:
        self._engine = engine
        self._timeout_s = engine.settings.query_timeout_s
        now_s = engine.clock.monotonic_s
        self._lanes: dict[str, Turns] = {
            "light": Turns(_LIGHT_AT_ONCE, _MOST_WAITING, now_s),
            "heavy": Turns(_HEAVY_AT_ONCE, _MOST_WAITING, now_s),
        }
        self._threads: ThreadPoolExecutor | None = None
        self._runs = {"inline": 0, "light": 0, "heavy": 0}
        self._timed_out = self._cancelled = 0

    def stats(self) -> QueryStats:
        """Counts since the start."""
        lanes = self._lanes.values()
        return QueryStats(
            inline=self._runs["inline"],
            light=self._runs["light"],
            heavy=self._runs["heavy"],
            refused=sum(lane.refused for lane in lanes),
            timed_out=self._timed_out,
            cancelled=self._cancelled,
            running=sum(lane.running for lane in lanes),
            waiting=sum(lane.waiting for lane in lanes),
        )

    async def ask(
        self,
        request: Request,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        work: Callable[[Deadline], _T],
        is_long: bool = False,
    ) -> Answered[_T]:
        """Estimate a program over its window, then run `work` when its turn comes.

        `work` evaluates and encodes, in the event loop or in a thread, with the deadline it is
        given: `engine.query(..., deadline=deadline)`. `is_long` says that encoding alone takes
        more than a millisecond, such as drawing a picture. Raises QueryError, of which BusyError
        is to be answered 503.
        """
        estimate = await self.estimate(
            request, program, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms
        )
        self._check(estimate)
        if not is_long and within(estimate, CHEAP):
            return self._inline(work, estimate)
        lane: LaneName = "light" if within(estimate, LIGHT) else "heavy"
        value = await self.run(work, request=request, estimate=estimate, lane=lane)
        return Answered(value, estimate, {COST_HEADER: f"{estimate.header()}, lane={lane}"})

    async def estimate(
        self,
        request: Request,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> Estimate:
        """What a program would cost; looked up in a thread where that may take a while."""
        engine = self._engine
        found = engine.estimate_soon(program, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms)
        if found is not None:
            return found
        look = partial(engine.estimate, program, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms)
        return await self.run(lambda deadline: look(deadline=deadline), request=request)

    async def run(
        self,
        work: Callable[[Deadline], _T],
        *,
        request: Request,
        estimate: Estimate | None = None,
        lane: LaneName = "light",
        deadline: Deadline | None = None,
    ) -> _T:
        """The result of `work`, run in a thread of a lane; raises BusyError and what it raises.

        `request` tells who asks and whether they are still there. Who brings a `deadline` of
        their own watches that themselves.
        """
        estimated = estimate.input_datapoints if estimate else 0
        terms = deadline or Deadline(self._timeout_s, estimated=estimated)
        leaving = asyncio.ensure_future(_cancel_when_gone(request, None if deadline else terms))
        try:
            turn = await self._turn(caller_of(request), self._lanes[lane], leaving)
            return await self._in_thread(partial(work, terms), turn, lane, terms)
        except QueryTimeoutError:
            self._timed_out += 1
            raise
        except (QueryCancelledError, asyncio.CancelledError):
            self._cancelled += 1
            terms.cancel("nobody waits for the answer")
            raise
        finally:
            leaving.cancel()

    def _inline(self, work: Callable[[Deadline], _T], estimate: Estimate) -> Answered[_T]:
        self._runs["inline"] += 1
        value = work(Deadline(self._timeout_s, estimated=estimate.input_datapoints))
        return Answered(value, estimate, {COST_HEADER: f"{estimate.header()}, lane=inline"})

    def _check(self, estimate: Estimate) -> None:
        """Refuse what could not be answered, before anything is read."""
        settings = self._engine.settings
        for what, asked, limit in (
            ("input datapoints", estimate.input_datapoints, settings.max_input_points),
            ("bytes of arrays for the query", estimate.bytes, settings.max_query_bytes),
        ):
            if asked > limit:
                raise QueryLimitError(what, asked, limit)

    async def _turn(self, caller: str, lane: Turns, leaving: "asyncio.Future[None]") -> Turn:
        """A place in the lane, once it is this query's turn."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(refused: BusyError | None) -> None:
            if granted.done():
                return
            if refused is None:
                granted.set_result(None)
            else:
                granted.set_exception(refused)

        turn = Turn(caller, settled)
        lane.enter(turn)
        if granted.done():
            return turn
        try:
            waits = (granted, leaving)
            await asyncio.wait(waits, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            lane.leave(turn)
            raise
        if granted.done():
            granted.result()
            return turn
        lane.leave(turn)
        if leaving.done():
            raise QueryCancelledError("the query was cancelled: its caller left before its turn")
        raise BusyError(f"other queries took all of {self._timeout_s:g} s; try again later")

    async def _in_thread(
        self, work: Callable[[], _T], turn: Turn, lane: LaneName, deadline: Deadline
    ) -> _T:
        """Run `work` in a thread; the place is given back when it has really ended."""
        self._runs[lane] += 1
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool(), work)

        def ended(done: "asyncio.Future[_T]") -> None:
            if not done.cancelled():
                done.exception()  # told to whoever still waits, and to nobody else
            self._lanes[lane].leave(turn, used=deadline.read_datapoints + 1.0)

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LIGHT_AT_ONCE + _HEAVY_AT_ONCE, "query")
        return self._threads


def within(estimate: Estimate, most: Estimate) -> bool:
    """Whether nothing of an estimate is more than allowed."""
    return all(map(le, _BOUNDED(estimate), _BOUNDED(most)))


async def _cancel_when_gone(request: Request, deadline: Deadline | None) -> None:
    """Wait until the caller has left, then cancel its query; for ever without one."""
    if deadline is None:
        await asyncio.get_running_loop().create_future()
    else:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        deadline.cancel("its caller left")
