"""GET /api/v1/graph: a program as a picture, as numbers, or as both.

Everything that takes time, the query, the numbers as text and the drawing, is one piece of work in
the queue. What is wrong with a request is 400 with the reason; a browser that asked for a picture
gets the reason as a picture, because it would not show it otherwise.
"""

from collections.abc import Callable
from typing import Final

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.metrics.api.fitting import fitted
from breakwater.metrics.api.formats import CONTENT_TYPES, separated, statistics_json, table_json
from breakwater.metrics.api.graph import Explanation, Graph, arranged
from breakwater.metrics.api.parameters import (
    PICTURES,
    FormatName,
    GraphParameters,
    format_of,
    is_browser,
    read_parameters,
)
from breakwater.metrics.api.pictures import (
    MOST_CHANGES,
    ChangeSource,
    error_picture,
    png_of,
    spans_of,
    svg_of,
)
from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.api.v2 import v2_json
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.engine import MetricsEngine
from breakwater.model import (
    BreakwaterError,
    Change,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)
from breakwater.render import PlotSpan
from breakwater.web import answering_errors

_DRAWN: Final = frozenset(("png", "svg", "v2.json"))
_SETTLED_S: Final = 300


def graph_routes(
    engine: MetricsEngine, queue: QueryQueue, changes: ChangeSource | None = None
) -> list[BaseRoute]:
    """The graph endpoint; `changes` is where changes drawn on pictures come from."""
    endpoint = GraphEndpoint(engine, queue, changes)
    return [
        Route("/api/v1/graph", answering_errors(endpoint.graph, status_of), methods=["GET"]),
    ]


def status_of(error: BreakwaterError) -> int:
    """400 for what the caller can mend, 503 for what may work later."""
    return 503 if isinstance(error, UnavailableError) else 400


class GraphEndpoint:
    """Answers requests for graphs."""

    def __init__(
        self, engine: MetricsEngine, queue: QueryQueue, changes: ChangeSource | None
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._changes = changes

    async def graph(self, request: Request) -> Response:
        """One graph; raises what is wrong with it unless that is drawn."""
        form = format_of(request)
        try:
            asked = read_parameters(
                request, primary_ms=self._engine.step_ms, clock=self._engine.clock
            )
            return await self._answer(request, asked)
        except (InvalidInputError, LimitExceededError, UnavailableError) as error:
            if form not in PICTURES or not is_browser(request):
                raise
            body = await run_sync(error_picture, str(error), form, request.query_params)
            headers = {"cache-control": "no-store", "x-breakwater-status": str(status_of(error))}
            return Response(body, headers=headers, media_type=CONTENT_TYPES[form])

    async def _answer(self, request: Request, asked: GraphParameters) -> Response:
        asked = await fitted(self._engine, self._queue, request, asked)
        changes, remark = await self._changes_of(asked)
        answered = await self._queue.ask(
            request,
            asked.question,
            start_ms=asked.start_ms,
            end_ms=asked.end_ms,
            step_ms=asked.step_ms,
            work=lambda deadline: self._body(asked, changes, remark, deadline),
            is_long=asked.has_picture,
        )
        # Without an etag a browser asks again unless it is told that nothing will change.
        age = "no-cache" if asked.is_recent else f"private, max-age={_SETTLED_S}"
        headers = {**answered.headers, "cache-control": age, "vary": "user-agent, accept"}
        return Response(answered.value, headers=headers, media_type=CONTENT_TYPES[asked.format])

    async def _changes_of(self, asked: GraphParameters) -> tuple[list[Change], list[str]]:
        """The changes to draw, and a remark where they are not all."""
        if self._changes is None or not asked.changes or asked.format not in _DRAWN:
            return [], []
        try:
            found = await self._changes.changes(
                asked.start_ms, asked.end_ms, kinds=sorted(asked.changes), limit=MOST_CHANGES
            )
        except UnavailableError as error:
            return [], [f"changes are not drawn: {error}"]
        if len(found) < MOST_CHANGES:
            return found, []
        return found, [f"the {MOST_CHANGES} newest changes are drawn, there are more"]

    def _body(
        self,
        asked: GraphParameters,
        changes: list[Change],
        remarks: list[str],
        deadline: Deadline,
    ) -> bytes:
        began_s = self._engine.clock.monotonic_s()
        result = self._engine.query(
            asked.question,
            start_ms=asked.start_ms,
            end_ms=asked.end_ms,
            step_ms=asked.step_ms,
            deadline=deadline,
        )
        took_ms = 1000 * (self._engine.clock.monotonic_s() - began_s)
        graph = arranged(result, asked)
        graph.notices += remarks
        graph.explanation = _explained(graph, deadline, took_ms)
        return encoded(graph, spans_of(changes, asked.end_ms, asked.theme))


def _explained(graph: Graph, deadline: Deadline, took_ms: float) -> Explanation:
    lines = graph.lines
    return Explanation(
        data_fetch_time=round(took_ms, 3),
        input_lines=deadline.read_series,
        intermediate_lines=deadline.fetched_lines,
        graph_lines=len(lines),
        input_datapoints=deadline.read_datapoints,
        intermediate_datapoints=deadline.fetched_points,
        graph_datapoints=len(lines) * graph.points,
    )


def encoded(graph: Graph, spans: list[PlotSpan]) -> bytes:
    """The graph in the format it was asked for."""
    if graph.asked.format in _DRAWN:
        graph.paint()
    return _ENCODERS[graph.asked.format](graph, spans)


def _v2(graph: Graph, spans: list[PlotSpan]) -> bytes:
    image = png_of(graph, spans) if graph.asked.has_picture else None
    return v2_json(graph, image=image, spans=spans)


_ENCODERS: Final[dict[FormatName, Callable[[Graph, list[PlotSpan]], bytes]]] = {
    "png": png_of,
    "svg": lambda graph, spans: svg_of(graph, spans).encode(),
    "v2.json": _v2,
    "csv": lambda graph, _: separated(graph, ","),
    "txt": lambda graph, _: separated(graph, "\t"),
    "json": lambda graph, _: table_json(graph, "bare"),
    "std.json": lambda graph, _: table_json(graph),
    "stats.json": lambda graph, _: statistics_json(graph),
}
