"""The edge of the HTTP application: bounds, the doorkeeper, and errors as JSON.

One layer of plain ASGI around everything else. Requests beyond the bound are answered 503 at
once and counted; long polls and streams hold no place, their rooms bound them. Whatever fails
inside is answered in one shape: {"type": "error", "message": ...}.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import anyio
import anyio.lowlevel
import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breakwater.incidents import UnknownIncidentError
from breakwater.model import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)
from breakwater.server.auth import Doorkeeper
from breakwater.server.cross_origin import origin_of, preflight, readable_by
from breakwater.server.settings import ServerSettings
from breakwater.web import CALLER, error_answer

log = structlog.get_logger("breakwater.server")

_STATUS_OF: Final[tuple[tuple[type[BreakwaterError], int], ...]] = (
    (UnknownIncidentError, 404),
    (InvalidInputError, 400),
    (LimitExceededError, 413),
    (UnavailableError, 503),
)
"""The answer to an error that a room let through; the first that fits counts."""

LONG_POLLS: Final = frozenset(
    (
        "/api/v1/registry/instances",
        "/api/v1/registry/changes",
        "/api/v1/faults/rules",
        "/api/v1/guards/config",
    )
)
"""Where callers wait for news; how many may is bounded by `max_waiters` of those rooms."""

STREAMS: Final = frozenset(
    (
        "/api/v2/fetch",
        "/api/v1/registry/events",
        "/turbine.stream",
        "/turbine/turbine.stream",
    )
)
"""Where an answer goes on for long; how many may be open is bounded by the room."""


class EdgeStats(msgspec.Struct, frozen=True, kw_only=True):
    """What passed the edge and what did not, counted since the start.

    body_bytes: of all requests under way now. connections_ended: by reason, before a request had
    come in or after its answer had gone out.
    """

    requests: int
    under_way: int
    overloaded: int
    refused: int
    too_large: int
    failed: int
    body_bytes: int
    connections_ended: dict[str, int]


_SLOWEST_BYTES_PER_S: Final = 1_024
"""A body that keeps coming may take `body_timeout_s` and a second for every so many bytes."""


_SENT_AT_ONCE: Final = 256 << 10
"""Bytes of an answer handed to the socket before others have their turn: about 0.3 ms."""


class _CrowdedError(UnavailableError):
    """The bodies of all requests together are larger than they may be."""


class _TooLargeError(LimitExceededError):
    """The body of a request went beyond the bound while it was read."""


class Edge:
    """Bounds, authentication and errors around an ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        doorkeeper: Doorkeeper,
        connections_ended: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._connections_ended = {} if connections_ended is None else connections_ended
        self._body_bytes = 0
        self._settings = settings
        self._doorkeeper = doorkeeper
        self._requests = self._under_way = self._overloaded = self._too_large = self._failed = 0

    def stats(self) -> EdgeStats:
        """Counts since the start."""
        return EdgeStats(
            requests=self._requests,
            under_way=self._under_way,
            overloaded=self._overloaded,
            refused=self._doorkeeper.refused,
            too_large=self._too_large,
            failed=self._failed,
            body_bytes=self._body_bytes,
            connections_ended=dict(self._connections_ended),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP goes straight through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._requests += 1
        origin = origin_of(scope)
        if origin is not None and self._doorkeeper.lets_read(Headers(scope=scope)):
            send = readable_by(origin, send)
            asked_first = preflight(scope)
            if asked_first is not None:
                await asked_first(scope, receive, send)
                return
        early = self._refusal(scope)
        if early is not None:
            await early(scope, receive, send)
            return
        path = scope["path"]
        waits = path in STREAMS or (path in LONG_POLLS and b"wait_s=" in scope["query_string"])
        self._under_way += not waits
        try:
            await self._serve(scope, receive, send)
        finally:
            self._under_way -= not waits

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        verdict = self._doorkeeper.judge(scope["method"], scope["path"], headers)
        if verdict.status != HTTPStatus.OK:
            answer = error_answer(verdict.status, verdict.message)
            if verdict.status == HTTPStatus.UNAUTHORIZED:
                answer.headers["www-authenticate"] = 'Bearer realm="breakwater", Basic'
            return answer
        scope[CALLER] = verdict.holder
        if self._under_way >= self._settings.max_requests and scope["path"] != "/healthcheck":
            self._overloaded += 1
            busy = error_answer(503, f"{self._under_way} requests are under way; try again later")
            busy.headers["retry-after"] = "1"
            return busy
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return error_answer(400, f"content-length is '{length[:40]}', expected a number")
        if int(length[:20]) > self._settings.max_body_bytes:
            return self._over_size()
        return None

    def _over_size(self) -> Response:
        self._too_large += 1
        limit = self._settings.max_body_bytes
        return error_answer(413, f"the body is larger than {limit} bytes (server.max_body_bytes)")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            if len(message.get("body", b"")) > _SENT_AT_ONCE:
                await _send_in_parts(message, send)
            else:
                await send(message)

        scope["app"] = self  # makes the router raise its 404 and 405 instead of answering them
        body = _Body(receive, self._settings)
        try:
            await self._app(scope, self._counted(body), watched_send)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the supervision edge of all requests
            answer = self._answer_to(error, scope)
            if not has_started:
                await answer(scope, receive, send)
        finally:
            self._body_bytes -= body.size

    def _counted(self, body: "_Body") -> Receive:
        """Count the bytes of all bodies under way, and refuse what is too much together."""
        most = self._settings.max_bodies_bytes

        async def counted() -> Message:
            before = body.size
            try:
                message = await body.receive()
            finally:
                self._body_bytes += body.size - before
            if self._body_bytes > most and body.size > before:
                self._overloaded += 1
                raise _CrowdedError(
                    f"the bodies of all requests under way are larger than {most} bytes "
                    "(server.max_bodies_bytes); try again later"
                )
            return message

        return counted

    def _answer_to(self, error: Exception, scope: Scope) -> Response:
        if isinstance(error, _TooLargeError):
            return self._over_size()
        if isinstance(error, HTTPException):
            return _http_answer(error, scope)
        for kind, status in _STATUS_OF:
            if isinstance(error, kind):
                return error_answer(status, str(error))
        self._failed += 1
        log.error("request.failed", method=scope["method"], path=scope["path"], exc_info=error)
        return error_answer(500, "the request failed inside the server; its log says more")


async def _send_in_parts(message: Message, send: Send) -> None:
    """Send a large part of an answer so that nobody waits for all of it to be copied."""
    body = message["body"]
    for start in range(0, len(body), _SENT_AT_ONCE):
        end = start + _SENT_AT_ONCE
        more = message.get("more_body", False) or end < len(body)
        await send({**message, "body": body[start:end], "more_body": more})
        await anyio.lowlevel.checkpoint()


class _Body:
    """The body of one request, bounded in size, in silence, and in how slowly it comes."""

    def __init__(self, receive: Receive, settings: ServerSettings) -> None:
        self.size = 0
        self._receive = receive
        self._limit = settings.max_body_bytes
        self._patience_s = settings.body_timeout_s
        self._begun_s = anyio.current_time()
        self._is_complete = False

    async def receive(self) -> Message:
        """The next part; raises HTTPException when it does not come, _TooLargeError."""
        if self._is_complete:  # whoever listens now waits for the caller to leave, rightly for long
            return await self._receive()
        patience_s = self._patience_s
        due_s = self._begun_s + patience_s + self.size / _SLOWEST_BYTES_PER_S
        with anyio.move_on_at(min(due_s, anyio.current_time() + patience_s)) as waiting:
            message = await self._receive()
        if waiting.cancelled_caught:
            raise HTTPException(408, f"no part of the body came for {patience_s:g} s")
        self._is_complete = not message.get("more_body", False)
        self.size += len(message.get("body", b""))
        if self.size > self._limit:
            raise _TooLargeError(f"the body is larger than {self._limit} bytes")
        if not self._is_complete and anyio.current_time() > due_s:
            raise HTTPException(
                408, f"the body came at less than {_SLOWEST_BYTES_PER_S} bytes a second"
            )
        return message


def _http_answer(error: HTTPException, scope: Scope) -> Response:
    message = error.detail
    if message == HTTPStatus(error.status_code).phrase:
        message = f"{message}: {scope['method']} {scope['path']}"
    answer = error_answer(error.status_code, message)
    answer.headers.update(error.headers or {})
    return answer
