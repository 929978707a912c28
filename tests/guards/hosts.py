"""Instances that give streams, and a platform that reads them, on real sockets."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from tests.guards.recorded import stream_of
from tests.sdk.fleet import serving

from breakwater.guards import GuardSettings, GuardWatch, SettingBook
from breakwater.guards.http import routes
from breakwater.journal import Journal
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.http import routes as metrics_routes
from breakwater.model import Instance, InstanceView, SystemClock
from breakwater.storage import ControlDatabase

QUICK = GuardSettings(interval_s=0.05, first_s=10.0, linger_s=0.0, connect_s=5.0)


class Host:
    """One instance: answers `/hystrix.stream` with `stream`, then holds or ends."""

    def __init__(self, stream: bytes, *, status: int = 200, ends: bool = False) -> None:
        self.stream = stream
        self.status = status
        self.asked = threading.Condition()
        self.requests: list[str] = []
        self.readers = 0
        self._over = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Tests need no access log."""

            def do_GET(self) -> None:
                with host.asked:
                    host.requests.append(self.path)
                    host.readers += 1
                    host.asked.notify_all()
                with suppress(OSError):
                    self.send_response(host.status)
                    self.end_headers()
                    self.wfile.write(host.stream)
                    self.wfile.flush()
                    while not ends and not host._over.wait(0.02):
                        self.wfile.write(b"ping: \n\n")
                with host.asked:
                    host.readers -= 1
                    host.asked.notify_all()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A reader that hangs up is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def wait_for_readers(self, count: int) -> None:
        """Wait until so many read."""
        with self.asked:
            assert self.asked.wait_for(lambda: self.readers == count, 10.0)

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many have come."""
        with self.asked:
            assert self.asked.wait_for(lambda: len(self.requests) >= count, 10.0)

    def stop(self) -> None:
        """End every stream and the server."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def instance_of(host: Host | int, name: str, service: str = "catalogue") -> Instance:
    """What the registry says of a host."""
    port = host if isinstance(host, int) else host.port
    return Instance(service=service, instance_id=name, host="127.0.0.1", port=port)


@contextmanager
def recorded_hosts() -> Iterator[list[Instance]]:
    """The three recordings, each given by an instance of the service `catalogue`."""
    hosts = {name: Host(stream_of(name)) for name in ("host-a", "host-b", "host-c")}
    try:
        yield [instance_of(host, name) for name, host in hosts.items()]
    finally:
        for host in hosts.values():
            host.stop()


class Fleet:
    """What the registry says; may be changed."""

    def __init__(self, instances: list[Instance]) -> None:
        self.instances = instances

    def __call__(self) -> InstanceView:
        """The view."""
        return InstanceView(revision=1, instances=list(self.instances))


@asynccontextmanager
async def watching(
    instances: list[Instance], settings: GuardSettings = QUICK
) -> AsyncIterator[tuple[GuardWatch, Fleet]]:
    """A watch that runs."""
    fleet = Fleet(instances)
    watch = GuardWatch(fleet, settings, SystemClock())
    async with anyio.create_task_group() as group:
        group.start_soon(watch.run)
        yield watch, fleet
        group.cancel_scope.cancel()


@contextmanager
def platform(
    instances: list[Instance], folder: Path, settings: GuardSettings = QUICK
) -> Iterator[str]:
    """The room alone behind HTTP, on a free port; gives its address."""
    database = ControlDatabase(folder / "control.db")
    journal = Journal(database, SystemClock())
    watch = GuardWatch(Fleet(instances), settings, SystemClock())
    book = SettingBook(database, journal, SystemClock(), settings)
    with serving(Guarding(watch, book, database)) as port:
        yield f"http://127.0.0.1:{port}"


class Guarding:
    """The routes as an application whose lifespan runs the watch."""

    def __init__(self, watch: GuardWatch, book: SettingBook, database: ControlDatabase) -> None:
        self._watch, self._book, self._database = watch, book, database
        self.engine = MetricsEngine(MetricsSettings(), SystemClock())
        graphs = metrics_routes(self.engine)
        self._app: Any = Starlette(routes=routes(watch, book) + graphs, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch.run)
            group.start_soon(self._book.run)
            yield
            self._watch.close()
            self._book.close()
            group.cancel_scope.cancel()
        await self._database.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        await self._app(scope, receive, send)
