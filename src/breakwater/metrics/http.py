"""GET /api/v1/graph and /api/v1/tags: programs and tag listings over HTTP.

Queries run in worker threads, two at a time, with a deadline, so that neither a heavy query nor
many of them hold up the intake; when too many wait, the answer is 503. A query that asks for too
much, like any other bad input, is 400 with the limit and the count.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TypeVar

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.metrics import graph
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.durations import parse_duration
from breakwater.metrics.steps import step_for_width
from breakwater.metrics.times import parse_range, zone_named
from breakwater.model import (
    Clock,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)

_AT_ONCE = 2
_MOST_WAITING = 64
_MOST_TAGS = 1000
_NEXT = "x-nflx-atlas-next-offset"

_T = TypeVar("_T")

Endpoint = Callable[[Request], Awaitable[Response]]


class _Failure(msgspec.Struct):
    type: str
    message: str


class _TagCount(msgspec.Struct):
    key: str
    value: str
    count: int


class _BusyError(UnavailableError):
    """More queries are waiting than the endpoint lets wait."""


class _Page(msgspec.Struct, frozen=True):
    items: list[str]
    next_offset: str | None


def routes(engine: MetricsEngine) -> list[BaseRoute]:
    """The query endpoints of one engine; `now` in a time is read from the engine's clock."""
    queue = _Queue(engine.settings.query_timeout_s)

    async def graph_endpoint(request: Request) -> Response:
        asked = _GraphRequest.read(request, engine.step_ms, engine.clock)
        body = await queue.run(lambda: asked.answer(engine))
        return Response(body, media_type="application/json")

    async def tags_endpoint(request: Request) -> Response:
        key = request.path_params.get("key")
        query = request.query_params.get("q", "")
        limit = _limit(request)
        offset = request.query_params.get("offset", "")

        def listing() -> _Page:
            found = engine.tag_keys(query) if key is None else engine.tag_values(key, query)
            return _page(found, offset, limit)

        page = await queue.run(listing)
        return _listed(request, engine, key, page)

    return [
        Route("/api/v1/graph", _guarded(graph_endpoint), methods=["GET"]),
        Route("/api/v1/tags", _guarded(tags_endpoint), methods=["GET"]),
        Route("/api/v1/tags/{key}", _guarded(tags_endpoint), methods=["GET"]),
    ]


class _Queue:
    """Runs work in threads, a few at a time, and refuses when too much is waiting."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """The result of `work`, run in a thread; raises when the queue is full or does not move."""
        if self._waiting >= _MOST_WAITING:
            raise _BusyError(f"{self._waiting} queries are waiting; try again later")
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._waiting += 1
        try:
            with anyio.move_on_after(self._patience_s) as turn:
                await self._limiter.acquire()
            if turn.cancelled_caught:
                raise _BusyError(
                    f"other queries took all of {self._patience_s:g} s; try again later"
                )
            try:
                return await run_sync(work)
            finally:
                self._limiter.release()
        finally:
            self._waiting -= 1


class _GraphRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The checked parameters of one graph request."""

    program: str
    output: str
    start_ms: int
    end_ms: int
    step_ms: int

    @classmethod
    def read(cls, request: Request, primary_ms: int, clock: Clock) -> "_GraphRequest":
        """Check the parameters; raises InvalidInputError naming the first that is wrong."""
        parameters = request.query_params
        program = parameters.get("q", "").strip()
        if not program:
            raise QueryValueError(
                "parameter 'q' is missing; expected a program of the stack language"
            )
        output = parameters.get("format", "std.json")
        graph.check_format(output)
        start_ms, end_ms = parse_range(
            parameters.get("s", "e-3h"),
            parameters.get("e", "now"),
            clock.now_ms(),
            zone_named(parameters["tz"]) if "tz" in parameters else UTC,
        )
        step, width = parameters.get("step"), parameters.get("w", "700")
        step_ms = _width_step(width, end_ms - start_ms, primary_ms) if step is None else _step(step)
        return cls(
            program=program, output=output, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms
        )

    def answer(self, engine: MetricsEngine) -> bytes:
        """The encoded answer; runs in a worker thread."""
        result = engine.query(
            self.program,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            step_ms=self.step_ms,
            timeout_s=engine.settings.query_timeout_s,
        )
        return graph.encoded(result, self.output)


def _step(text: str) -> int:
    milliseconds = _whole(text)
    step_ms = parse_duration(text) if milliseconds is None else milliseconds
    if step_ms == 0:
        raise QueryValueError("invalid step '0'; expected a length of time like 5s, 1m or 1h")
    return step_ms


def _width_step(width: str, span_ms: int, primary_ms: int) -> int:
    pixels = _whole(width)
    if pixels is None or not 0 < pixels <= 10_000:
        raise QueryValueError(f"invalid width '{width[:40]}'; expected 1 to 10000 pixels")
    return step_for_width(primary_ms, pixels, span_ms)


def _whole(text: str) -> int | None:
    """The number written in `text`, or None when it is not one of at most 15 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (InvalidInputError, LimitExceededError) as error:
            return _failure(str(error), 400)
        except UnavailableError as error:
            return _failure(str(error), 503)

    return guarded


def _failure(message: str, status: int) -> Response:
    body = msgspec.json.encode(_Failure("error", message))
    return Response(body, status, media_type="application/json")


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_MOST_TAGS))
    limit = _whole(text)
    if limit is None or not 0 < limit <= _MOST_TAGS:
        raise QueryValueError(f"invalid limit '{text[:40]}'; expected 1 to {_MOST_TAGS}")
    return limit


def _page(found: list[str], offset: str, limit: int) -> _Page:
    rest = [item for item in found if item > offset]
    taken = rest[:limit]
    return _Page(taken, taken[-1] if len(rest) > limit else None)


def _listed(request: Request, engine: MetricsEngine, key: str | None, page: _Page) -> Response:
    headers = {} if page.next_offset is None else {_NEXT: page.next_offset}
    if request.query_params.get("format", "json") == "txt":
        return PlainTextResponse("\n".join(page.items), headers=headers)
    if request.query_params.get("verbose") == "1" and key is not None:
        counted = [_TagCount(key, value, engine.tag_count(key, value)) for value in page.items]
        body = msgspec.json.encode(counted)
    else:
        body = msgspec.json.encode(page.items)
    return Response(body, headers=headers, media_type="application/json")
