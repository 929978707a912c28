"""GET /api/v2/fetch: a graph as a stream of server-sent events, 60 points at a time.

It takes what `/api/v1/graph` takes. First come `graph-metadata` and a `plot-metadata` for each
axis, then for each stretch of the window a `timeseries` for every line that has a value in it,
at the end `close`. An `info` is sent when nothing else was for ten seconds; an `error` says why
a stream ends early. The next stretch is worked out when the one before has been taken, so a slow
reader costs the memory of one stretch, and a window may be longer than a graph can be.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from breakwater.metrics.api.fitting import fitted
from breakwater.metrics.api.graph import Graph, arranged
from breakwater.metrics.api.parameters import GraphParameters, read_parameters
from breakwater.metrics.api.queue import LIGHT, LaneName, QueryQueue, within
from breakwater.metrics.api.v2 import heading, series
from breakwater.metrics.cost import Estimate
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import BusyError, QueryError, QueryLimitError
from breakwater.metrics.results import Expression, QueryResult
from breakwater.web import EventStream, caller_of

POINTS: Final = 60
HEARTBEAT_S: Final = 10.0
MOST_STREAMS: Final = 64
MOST_STREAMS_EACH: Final = 16
_MOST_WINDOWS: Final = 20
"""A stream may read so many times what one query may."""

_NEED_WHOLE_LINES: Final = frozenset(("limit", "sort", "order"))
"""Settings that choose by the whole of each line; a stream sends every line as it comes."""

Event = dict[str, Any]  # Any: an object of JSON


class FetchEndpoint:
    """Opens streams, only so many at once."""

    def __init__(
        self, engine: MetricsEngine, queue: QueryQueue, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._heartbeat_s = heartbeat_s
        self._open: dict[str, int] = {}

    async def fetch(self, request: Request) -> Response:
        """A stream of one graph; what is wrong with the request itself is refused before it."""
        asked = read_parameters(request, primary_ms=self._engine.step_ms, clock=self._engine.clock)
        estimate = await self._queue.estimate(
            request,
            asked.question,
            start_ms=asked.start_ms,
            end_ms=asked.end_ms,
            step_ms=asked.step_ms,
        )
        limit = _MOST_WINDOWS * self._engine.settings.max_input_points
        if estimate.input_datapoints > limit:
            raise QueryLimitError("input datapoints", estimate.input_datapoints, limit)
        caller = caller_of(request)
        self._check_room(caller)
        asked = await fitted(self._engine, self._queue, request, asked)
        return EventStream(self._events(request, caller, asked, estimate))

    def _check_room(self, caller: str) -> None:
        everybody, own = sum(self._open.values()), self._open.get(caller, 0)
        if everybody >= MOST_STREAMS or own >= MOST_STREAMS_EACH:
            raise BusyError(
                f"{everybody} streams are open, {own} of them yours; at most {MOST_STREAMS} and "
                f"{MOST_STREAMS_EACH} can be; try again later"
            )

    async def _events(
        self, request: Request, caller: str, asked: GraphParameters, estimate: Estimate
    ) -> AsyncGenerator[bytes, None]:
        deadline = Deadline(self._engine.settings.query_timeout_s)
        walk = _Walk(self._engine, asked, deadline)
        lane = _lane(estimate, asked)
        turn: asyncio.Future[bytes] | None = None
        self._open[caller] = self._open.get(caller, 0) + 1
        try:
            while not walk.has_ended:
                deadline.restart()
                turn = asyncio.ensure_future(
                    self._queue.run(walk.next, request=request, lane=lane, deadline=deadline)
                )
                while not (await asyncio.wait((turn,), timeout=self._heartbeat_s))[0]:
                    yield encoded({"type": "info", "message": "heartbeat"})
                yield turn.result()
        except QueryError as error:
            yield encoded({"type": "error", "message": str(error)})
        finally:
            deadline.cancel("its caller left")
            if turn is not None:
                turn.cancel()
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
        yield encoded({"type": "close"})


class _Walk:
    """One walk over the window; `next` works out one stretch, in whatever thread."""

    def __init__(self, engine: MetricsEngine, asked: GraphParameters, deadline: Deadline) -> None:
        self.has_ended = False
        self._asked = asked
        self._is_begun = False
        self._stretches: Iterator[QueryResult] = engine.stretches(
            asked.question,
            start_ms=asked.start_ms,
            end_ms=asked.end_ms,
            step_ms=asked.step_ms,
            points=POINTS,
            deadline=deadline,
        )

    def next(self, _: Deadline) -> bytes:
        """The events of the next stretch; those of the whole graph come before the first."""
        result = next(self._stretches, None)
        if result is None:
            self.has_ended = True
            return b""
        graph = arranged(_with_every_line(result), self._asked)
        graph.paint()
        events = [] if self._is_begun else self._heading(graph)
        self._is_begun = True
        span = {
            "start": result.start_ms,
            "end": result.start_ms + graph.points * result.step_ms,
            "step": result.step_ms,
        }
        events += [{**line, **span} for line in series(graph, only_with_values=True)]
        return b"".join(map(encoded, events))

    def _heading(self, graph: Graph) -> list[Event]:
        start_ms, step_ms = graph.result.start_ms, graph.result.step_ms
        end_ms = self._asked.end_ms // step_ms * step_ms + step_ms
        entries = heading(graph, start_ms=start_ms, end_ms=end_ms)
        return [entry for entry in entries if entry["type"] != "heatmap"]


def _lane(estimate: Estimate, asked: GraphParameters) -> LaneName:
    """The lane in which one stretch takes its turns."""
    points = max((asked.end_ms - asked.start_ms) // asked.step_ms, 1)
    share = min(POINTS / points, 1.0)
    of_stretch = Estimate(
        input_datapoints=round(estimate.input_datapoints * share),
        lines=estimate.lines,
        output_points=round(estimate.output_points * share),
        bytes=round(estimate.bytes * share),
        parts=estimate.parts,
    )
    return "light" if within(of_stretch, LIGHT) else "heavy"


def _with_every_line(result: QueryResult) -> QueryResult:
    """The answer without what would leave lines out."""
    return msgspec.structs.replace(
        result, expressions=[_unsorted(expression) for expression in result.expressions]
    )


def _unsorted(expression: Expression) -> Expression:
    kept = {
        name: value for name, value in expression.settings.items() if name not in _NEED_WHOLE_LINES
    }
    return msgspec.structs.replace(expression, settings=kept)


def encoded(event: Event) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % msgspec.json.encode(event)
