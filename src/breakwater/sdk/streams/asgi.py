"""The streams as an ASGI application.

What is sent is put together in a thread, so that the event loop of the service is not held up by
whoever watches it. One chunk is in memory for each watcher, however slowly it reads.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

from breakwater.sdk.streams.errors import StreamRefusedError
from breakwater.sdk.streams.streams import HEADERS, Connection, Streams, path_in

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS]


def asgi_app(streams: Streams, app: App | None = None) -> App:
    """An application that answers the four paths, under whatever it is mounted.

    app: answers all else; None: that is 404. `Service.asgi(app, streams=True)` does it for you.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = path_in(scope["path"]) if scope["type"] == "http" else None
        if path is not None:
            await serve(streams, path, scope, receive, send)
        elif app is not None:
            await app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(streams, receive, send)
        elif scope["type"] == "http":
            await _refuse(send, 404, "no such stream")

    return answer


async def serve(streams: Streams, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send one stream until the watcher leaves or the streams are closed."""
    if scope["method"] != "GET":
        await _refuse(send, 405, "streams are for GET")
        return
    try:
        connection = streams.open(path)
    except StreamRefusedError as refusal:
        await _refuse(send, 503, str(refusal))
        return
    try:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _send_all(connection, receive, send)
    finally:
        connection.close()


async def _send_all(connection: Connection, receive: Receive, send: Send) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake() -> None:
        loop.call_soon_threadsafe(over.set)

    connection.wake = wake
    another_ended = _server_is_ending()  # who is ending already does not take new streams
    watcher = loop.create_task(_departed(receive, over))
    try:
        while not (over.is_set() or connection.streams.closed.is_set()):
            if _server_is_ending() and not another_ended:
                break
            body = await asyncio.to_thread(connection.read)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), connection.wait_s())
        if not watcher.done():  # it ends here, not there
            await send({"type": "http.response.body", "body": b""})
    finally:
        watcher.cancel()


def _server_is_ending() -> bool:
    """Whether the server was told to stop, and waits for streams like this one to end.

    uvicorn tells applications only when all requests have ended, which a stream never does; but
    who handles its signals knows. Other servers end streams after a time of their own.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        server = getattr(signal.getsignal(number), "__self__", None)
        if getattr(server, "should_exit", False) is True:
            return True
    return False


async def _departed(receive: Receive, over: asyncio.Event) -> None:
    """Wait for the watcher to leave."""
    with suppress(OSError):  # a server may say so in this way
        while (await receive())["type"] != "http.disconnect":
            continue
    over.set()


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(streams: Streams, receive: Receive, send: Send) -> None:
    """Serve the server's lifespan, as an application of its own."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            streams.reopen()
        else:
            streams.close()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
