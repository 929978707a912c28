"""A stream nobody reads is given up; one that is read slowly goes on."""

import asyncio
import socket

import anyio
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from breakwater.server import connections
from breakwater.server.connections import bounded_protocol, bounds_of
from breakwater.server.settings import ServerSettings

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

PART = b"x" * 65_536
PATIENCE_S = 0.5


async def endless(_: Scope, receive: Receive, send: Send) -> None:
    """Send until the reader has left."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with anyio.create_task_group() as group:

        async def leave() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(leave)
        while True:
            await send({"type": "http.response.body", "body": PART, "more_body": True})
            await anyio.lowlevel.checkpoint()


async def read_behind(reader: asyncio.StreamReader, is_full: asyncio.Event) -> None:
    """Read for twice the patience, and only ever when the server can keep no more."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 2 * PATIENCE_S
    while loop.time() < until_s:
        await is_full.wait()
        is_full.clear()
        while not is_full.is_set():
            await reader.readexactly(len(PART))


async def test_a_stream_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a little now and then keeps a stream alive; reading nothing ends it, counted."""
    monkeypatch.setattr(connections, "_READ_PATIENCE_S", PATIENCE_S)
    bounds = bounds_of(ServerSettings())
    is_full, is_over = asyncio.Event(), asyncio.Event()

    class Telling(bounded_protocol(bounds)):  # type: ignore[misc]  # a class made at run time
        """Says when more waits for the reader than is kept, and when the connection is gone."""

        def pause_writing(self) -> None:
            super().pause_writing()
            is_full.set()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            is_over.set()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    config = uvicorn.Config(endless, http=Telling, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    with anyio.fail_after(60):
        reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=65_536)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await read_behind(reader, is_full)
        assert (bounds.counts["slow_reader"], is_over.is_set()) == (0, False)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        await is_over.wait()
        assert bounds.counts["slow_reader"] == 1
        writer.transport.abort()
        server.should_exit = True
        await serving
    listener.close()
