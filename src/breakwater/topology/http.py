"""`GET /api/v1/topology`: the dependency graph of the last minutes, with rates and latencies."""

from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.model import Clock
from breakwater.topology.observation import QueryEngine, observe
from breakwater.topology.summary import Topology, summarise
from breakwater.web import Operation, Parameter, json_answer, ok, whole_number

_MAX_WINDOW_S = 3600


def routes(engine: QueryEngine, clock: Clock, *, step_ms: int) -> list[BaseRoute]:
    """The routes of this room; `step_ms` is the step of the metrics engine."""

    async def topology(request: Request) -> Response:
        window_s = whole_number(request, "window_s", 60, lowest=1, highest=_MAX_WINDOW_S)
        end_ms = clock.now_ms() // step_ms * step_ms - step_ms
        window = await run_in_threadpool(
            observe, engine, start_ms=end_ms - window_s * 1000, end_ms=end_ms, step_ms=step_ms
        )
        return json_answer(summarise(window))

    return [Route("/api/v1/topology", topology, methods=["GET"])]


def operations() -> list[Operation]:
    """The same routes in words."""
    window = Annotated[int, msgspec.Meta(ge=1, le=_MAX_WINDOW_S)]
    return [
        Operation(
            method="GET",
            path="/api/v1/topology",
            summary="Show the dependency graph of the last minutes",
            tag="topology",
            parameters=(Parameter(name="window_s", summary="seconds; 60 by default", type=window),),
            replies=(ok(Topology, "services, and who calls whom how often and how fast"),),
        )
    ]
