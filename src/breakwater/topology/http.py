"""`GET /api/v1/topology`: the dependency graph of the last minutes, with rates and latencies."""

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.model import Clock, InvalidInputError
from breakwater.topology.observation import QueryEngine, observe
from breakwater.topology.summary import summarise
from breakwater.web import json_answer

_MAX_WINDOW_S = 3600
_SECONDS = re.compile(r"[0-9]{1,5}")


def routes(engine: QueryEngine, clock: Clock, *, step_ms: int) -> list[BaseRoute]:
    """The routes of this room; `step_ms` is the step of the metrics engine."""

    async def topology(request: Request) -> Response:
        text = request.query_params.get("window_s", "60")
        if not _SECONDS.fullmatch(text) or not 1 <= int(text) <= _MAX_WINDOW_S:
            raise InvalidInputError(
                f"window_s is '{text[:40]}'; allowed: whole seconds from 1 to {_MAX_WINDOW_S}"
            )
        end_ms = clock.now_ms() // step_ms * step_ms - step_ms
        window = await run_in_threadpool(
            observe, engine, start_ms=end_ms - int(text) * 1000, end_ms=end_ms, step_ms=step_ms
        )
        return json_answer(summarise(window))

    return [Route("/api/v1/topology", topology, methods=["GET"])]
