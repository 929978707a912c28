"""ASGI middleware: one `ipc.server.call` for every request, however it ends.

Around the application it reads the caller's context from the headers, refuses work whose deadline
has passed (504), injects inbound faults, and notices a client that went away: the handler is then
cancelled and the request recorded as cancelled with the time it took, because a request nobody
waits for is exactly what an incident is made of.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from breakwater.model import Status
from breakwater.sdk import context
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.departure import Departure, Receive
from breakwater.sdk.door import Answer, Door, EndpointOf, Request, Scope
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import request_scope
from breakwater.sdk.runtime import Runtime

if TYPE_CHECKING:
    from breakwater.sdk.streams import Streams

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TRY_AGAIN_LATER: Final = 1013
"""The code of a websocket's end that asks to come again, elsewhere at best (RFC 6455, IANA)."""


class Middleware:
    """An ASGI application around `app`.

    endpoint: names the endpoint of a request; by default the framework's route template, else the
    shape of the path. shedding: how much work is taken on, and whose first; what is refused gets
    503 with Retry-After and the reason. None: everything is taken on.
    started, stopping: awaited at lifespan start-up (after the application's own) and shut-down
    (before it), so that the lease begins when the application is ready and ends while it still is.
    streams: answered before all else, under their own paths, and not recorded as requests.
    """

    def __init__(
        self,
        app: App,
        runtime: Runtime,
        *,
        endpoint: EndpointOf | None,
        shedding: SheddingConfig | None,
        started: Callable[[], Awaitable[None]],
        stopping: Callable[[], Awaitable[None]],
        streams: "Streams | None" = None,
    ) -> None:
        self._app = app
        self._door = Door(runtime, endpoint=endpoint, shedding=shedding)
        self._started = started
        self._stopping = stopping
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] == "http":
            if self._streams is not None and scope["path"].startswith("/hystrix"):
                await self._stream(self._streams, scope, receive, send)
            else:
                await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "websocket" and self._door.runtime.drain.is_closed:
            await receive()  # the wish to connect; closing then is a refusal of the handshake
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        else:
            await self._app(scope, receive, send)

    async def _stream(self, streams: "Streams", scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream of the guarded commands, if it is one."""
        from breakwater.sdk.streams.asgi import serve  # noqa: PLC0415 - only where asked for
        from breakwater.sdk.streams.streams import PATHS  # noqa: PLC0415 - as above

        if scope["path"] in PATHS:
            await serve(streams, scope["path"], scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._door.open(scope["headers"], scope, _header_of(scope))
        token = context.bind(request.context)
        try:
            with request_scope():
                await self._guarded(request, scope, receive, send)
        finally:
            context.unbind(token)

    async def _guarded(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await request.admit()
        if refusal is not None:
            await _answer(_noting(request, send, self._closes(scope)), refusal)
        else:
            await self._watched(request, scope, receive, send)

    def _closes(self, scope: Scope) -> Callable[[], bool]:
        """Whether a connection is to end with its answer, to be asked when that is given."""
        drain, is_classic = self._door.runtime.drain, scope.get("http_version") == "1.1"
        return lambda: is_classic and drain.is_leaving

    async def _watched(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, watching for the client's departure, and record the end."""
        send_through = _noting(request, send, self._closes(scope))
        departure = Departure(receive, lambda: request.is_complete)
        try:
            with departure:
                instead = await request.suffer()
                if instead is not None:
                    await _answer(send_through, instead)
                else:
                    await self._app(scope, departure.receive, send_through)
        except asyncio.CancelledError:
            request.end(Status.CANCELLED)
            if not departure.was_ours():
                raise
        except BaseException as error:
            status = Status.CANCELLED if departure.has_left else Status.UNEXPECTED_ERROR
            request.end(status, type(error).__name__)
            raise
        else:
            is_gone = departure.has_left and not request.is_complete
            request.end(Status.CANCELLED if is_gone else None)

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
        return self._door.stats()


def _noting(request: Request, send: Send, closes: Callable[[], bool]) -> Send:
    """`send`, noting the status, and when the response was given in full.

    closes: whether the connection is to end with this answer.
    """

    async def send_through(message: Message) -> None:
        if message["type"] == "http.response.start":
            request.code = message["status"]
            if closes():  # so that a kept connection is not used for what would be refused
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        if is_last:  # set before: a server tells of the end of the exchange as a disconnect
            request.is_complete = True
        await send(message)
        if is_last:
            request.completed()

    return send_through


async def _answer(send: Send, answer: Answer) -> None:
    body = answer.body()
    headers = [(name.encode(), value.encode()) for name, value in answer.headers().items()]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header_of(scope: Scope) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        wanted = name.lower().encode("latin-1", "replace")
        for key, value in scope["headers"]:
            if key == wanted:
                return str(value.decode("latin-1"))
        return None

    return header
