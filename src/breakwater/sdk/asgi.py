"""ASGI middleware: one `ipc.server.call` for every request, however it ends.

Around the application it reads the caller's context from the headers, refuses work whose deadline
has passed (504), injects inbound faults, and notices a client that went away: the handler is then
cancelled and the request recorded as cancelled with the time it took, because a request nobody
waits for is exactly what an incident is made of.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from breakwater.model import Status, status_of_http
from breakwater.sdk import context
from breakwater.sdk.calls import UNKNOWN, Outcome, ServerStats
from breakwater.sdk.departure import Departure, Receive
from breakwater.sdk.endpoints import OTHER, RequestNames
from breakwater.sdk.faults import CallScope, InjectedFaultError, inject
from breakwater.sdk.guard import Bulkhead, attempt_timeout
from breakwater.sdk.propagation import Inbound, read_headers
from breakwater.sdk.runtime import Runtime

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
EndpointOf = Callable[[Scope], str]

MAX_CALLERS: Final = 200
"""Distinct names of callers that get series of their own; later ones share `other`."""


class _Request:
    """The state of one request between its start and its record."""

    __slots__ = (
        "caller",
        "code",
        "inbound",
        "injected",
        "is_complete",
        "start_s",
        "stop_s",
    )

    def __init__(self, inbound: Inbound, caller: str, start_s: float) -> None:
        self.inbound = inbound
        self.caller = caller
        self.start_s = start_s
        self.stop_s: float | None = None
        self.code: int | None = None
        self.is_complete = False
        self.injected = False


class Middleware:
    """An ASGI application around `app`.

    endpoint: names the endpoint of a request; by default the framework's route template, else the
    shape of the path. max_concurrent: requests under way beyond which new ones get 503 at once.
    started, stopping: awaited at lifespan start-up (after the application's own) and shut-down
    (before it), so that the lease begins when the application is ready and ends while it still is.
    """

    def __init__(
        self,
        app: App,
        runtime: Runtime,
        *,
        endpoint: EndpointOf | None,
        max_concurrent: int | None,
        started: Callable[[], Awaitable[None]],
        stopping: Callable[[], Awaitable[None]],
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._names = RequestNames(runtime.endpoints, endpoint)
        self._bulkhead = None if max_concurrent is None else Bulkhead(max_concurrent)
        self._started = started
        self._stopping = stopping
        self._callers: set[str] = set()
        self._requests = self._in_flight = self._past_deadline = self._departed = 0
        self._malformed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        now_s = self._runtime.clock.monotonic_s()
        inbound = read_headers(scope["headers"], now_s)
        caller = self._caller(inbound.caller)
        request = _Request(inbound, caller, now_s)
        self._requests += 1
        self._in_flight += 1
        self._malformed += inbound.malformed
        inflight = self._runtime.served.inflight(caller)
        inflight.enter()
        token = context.bind(inbound.context)
        try:
            await self._guarded(request, scope, receive, send)
        finally:
            context.unbind(token)
            inflight.leave()
            self._in_flight -= 1

    async def _guarded(self, request: _Request, scope: Scope, receive: Receive, send: Send) -> None:
        deadline_s = request.inbound.context.deadline_s
        if deadline_s is not None and deadline_s <= request.start_s:
            self._past_deadline += 1
            await self._refuse(request, scope, send, 504, "past_deadline")
        elif self._bulkhead is None:
            await self._watched(request, scope, receive, send)
        elif not self._bulkhead.try_enter():
            await self._refuse(request, scope, send, 503, "bulkhead_full")
        else:
            try:
                await self._watched(request, scope, receive, send)
            finally:
                self._bulkhead.leave()

    async def _refuse(
        self, request: _Request, scope: Scope, send: Send, code: int, detail: str
    ) -> None:
        self._record(request, self._names.before(scope), status_of_http(code), detail)
        await _answer(send, code, detail)

    async def _watched(self, request: _Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, watching for the client's departure, and record the end."""
        send_through = self._noting(request, send)
        departure = Departure(receive, lambda: request.is_complete)
        try:
            with departure:
                if self._runtime.faults.inbound:
                    await self._inject(request, scope, send_through)
                if request.code is None:
                    await self._app(scope, departure.receive, send_through)
        except asyncio.CancelledError:
            self._settle(request, scope, Status.CANCELLED, "")
            if not departure.was_ours():
                raise
            self._departed += 1
        except BaseException as error:
            status = Status.CANCELLED if departure.has_left else Status.UNEXPECTED_ERROR
            self._settle(request, scope, status, type(error).__name__)
            raise
        else:
            is_gone = departure.has_left and not request.is_complete
            self._settle(request, scope, Status.CANCELLED if is_gone else None, "")

    def _noting(self, request: _Request, send: Send) -> Send:
        """`send`, noting the status, and when the response was given in full."""

        async def send_through(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.code = message["status"]
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last:  # set before: a server tells of the end of the exchange as a disconnect
                request.is_complete = True
            await send(message)
            if is_last:
                request.stop_s = self._runtime.clock.monotonic_s()

        return send_through

    async def _inject(self, request: _Request, scope: Scope, send: Send) -> None:
        """Do what fault rules say; answer here if a rule or the deadline ends the call."""
        book = self._runtime.faults
        header = _header_of(scope)
        hits = book.hits(
            CallScope(
                point="inbound",
                peer=request.caller,
                endpoint=self._names.before(scope),
                header=header,
            )
        )
        if not hits:
            return
        request.injected = True
        task = asyncio.current_task()
        left_s = context.remaining_s(self._runtime.clock)
        assert task is not None, "ASGI applications run in a task"
        try:
            if left_s is None:
                await inject(book, hits)
            else:
                with attempt_timeout(task, task.get_loop(), left_s):
                    await inject(book, hits)
        except InjectedFaultError as fault:
            await _answer(send, fault.status, "injected fault")
        except TimeoutError:
            await _answer(send, 504, "deadline passed")

    def _settle(self, request: _Request, scope: Scope, status: Status | None, detail: str) -> None:
        """Record the request: by its response if it was given in full, else by how it ended."""
        if request.is_complete or status is None:
            code = request.code if request.code is not None else 500
            status = status_of_http(code)
            detail = f"http_{code}" if status is not Status.SUCCESS else ""
        self._record(request, self._names.after(scope, request.code), status, detail)

    def _record(self, request: _Request, endpoint: str, status: Status, detail: str) -> None:
        stop_s = request.stop_s
        if stop_s is None:
            stop_s = self._runtime.clock.monotonic_s()
        outcome = Outcome(
            status=status,
            seconds=stop_s - request.start_s,
            detail=detail,
            attempt=request.inbound.attempt,
            is_final=request.inbound.is_final,
            injected=request.injected,
        )
        self._runtime.served.record(request.caller, endpoint, outcome)

    def _caller(self, name: str) -> str:
        """The caller's name, as far as there is room for one more."""
        if not name:
            return UNKNOWN
        if name not in self._callers:
            if len(self._callers) >= MAX_CALLERS:
                return OTHER
            self._callers.add(name)
        return name

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the service once the application has started; stop it before the application."""
        is_started = has_failed = False

        async def receive_through() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and is_started:
                await self._stopping()
            return message

        async def send_through(message: Message) -> None:
            nonlocal is_started, has_failed
            if message["type"] == "lifespan.startup.complete":
                await self._started()
                is_started = True
            has_failed = has_failed or message["type"] == "lifespan.startup.failed"
            await send(message)

        try:
            await self._app(scope, receive_through, send_through)
        except Exception:
            if is_started or has_failed:
                raise
            # An application without lifespan support says so by raising; the service has one.
            await send_through({"type": "lifespan.startup.complete"})
            while (await receive_through())["type"] != "lifespan.shutdown":
                continue
            await send({"type": "lifespan.shutdown.complete"})

    def stats(self) -> ServerStats:
        """Counts since start."""
        return ServerStats(
            requests=self._requests,
            in_flight=self._in_flight,
            past_deadline=self._past_deadline,
            rejected=0 if self._bulkhead is None else self._bulkhead.rejected,
            departed=self._departed,
            malformed_headers=self._malformed,
            naming_failures=self._names.failures,
        )


async def _answer(send: Send, code: int, text: str) -> None:
    body = msgspec.json.encode({"type": "error", "message": text})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header_of(scope: Scope) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        wanted = name.lower().encode("latin-1", "replace")
        for key, value in scope["headers"]:
            if key == wanted:
                return str(value.decode("latin-1"))
        return None

    return header
