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


async def test_a_stream_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a little now and then keeps a stream alive; reading nothing ends it, counted."""
    monkeypatch.setattr(connections, "_READ_PATIENCE_S", 1.0)
    bounds = bounds_of(ServerSettings())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    config = uvicorn.Config(
        endless, http=bounded_protocol(bounds), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    with anyio.fail_after(60):
        reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=65_536)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for _ in range(200):
            await reader.readexactly(65_536)
            await asyncio.sleep(0.005)
        assert bounds.counts["slow_reader"] == 0
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        while not bounds.counts["slow_reader"]:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)
        writer.transport.abort()
        server.should_exit = True
        await serving
    listener.close()
