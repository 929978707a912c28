"""A registry served by a real uvicorn on a free port, for clients that know only HTTP."""

import queue
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breakwater.model import SystemClock
from breakwater.registry import Directory, RegistrySettings
from breakwater.registry.http import routes

DEADLINE_S = 20.0


class Served:
    """One running server: its address, and every answered request in the order of the answers."""

    def __init__(self, url: str, directory: Directory) -> None:
        self.url = url
        self.directory = directory
        self.registry = directory.registry
        self.answered: queue.Queue[tuple[str, str, int]] = queue.Queue()

    def next_answer(self, method: str, path: str) -> int:
        """The status of the next answered request of that kind; others are passed over."""
        latest_s = time.monotonic() + DEADLINE_S
        while (left_s := latest_s - time.monotonic()) > 0:
            seen_method, seen_path, status = self.answered.get(timeout=left_s)
            if (seen_method, seen_path) == (method, path):
                return status
        raise AssertionError(f"no {method} {path} was answered within {DEADLINE_S} s")


@contextmanager
def served(settings: RegistrySettings | None = None) -> Iterator[Served]:
    """Serve a new registry, with its evictor, until the block ends."""
    directory = Directory(settings or RegistrySettings(), SystemClock())
    listener = socket.create_server(("127.0.0.1", 0))
    place = Served(f"http://127.0.0.1:{listener.getsockname()[1]}", directory)

    @asynccontextmanager
    async def evicting(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(directory.run)
            yield
            group.cancel_scope.cancel()

    app = _Recording(Starlette(routes=routes(directory), lifespan=evicting), place.answered)
    config = uvicorn.Config(app, log_level="error", ws="none", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield place
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
        assert not thread.is_alive()


class _Recording:
    """Puts every answered request into a queue, with its path as the client encoded it."""

    def __init__(self, app: ASGIApp, answered: "queue.Queue[tuple[str, str, int]]") -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                path = scope["raw_path"].decode()
                self._answered.put((scope["method"], path, message["status"]))

        await self._app(scope, receive, note)
