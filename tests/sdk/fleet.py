"""Real sockets for the SDK's tests: a small platform, a meter listener, and a uvicorn server."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn
from tests.announcing import AnnouncingServer

PATIENCE_S = 10.0


class Platform:
    """The five endpoints of the platform that the SDK uses, over HTTP on a free port.

    `view` and `rules` are answered to long polls at once when the revision differs, else after
    `hold_s`, or when they change. `garbage` replaces every body, `silent` never answers.
    """

    def __init__(self, port: int = 0) -> None:
        self.changed = threading.Condition()
        self.requests: list[tuple[str, str, bytes]] = []
        self.leases: dict[str, dict[str, Any]] = {}
        self.view_revision = 0
        self.view: list[dict[str, Any]] = []
        self.rules_revision = 0
        self.rules: list[dict[str, Any]] = []
        self.guards_revision = 0
        self.guards: dict[str, Any] = {}
        self.garbage: bytes | None = None
        self.error: int | None = None
        self.token = ""
        self.is_silent = False
        self.is_stopping = False
        self.connections: list[socket.socket] = []
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                platform.connections.append(self.connection)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Tests need no access log."""

            def handle_any(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                told = self.rfile.read(length)
                if platform.token not in self.headers.get("authorization", ""):
                    status, body = 401, b""
                else:
                    status, body = platform.answer(self.command, self.path, told)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - its names

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up in the middle is part of the tests."""

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        with self.changed:
            self.requests.append((method, path, body))
            self.changed.notify_all()
            if self.is_silent:
                self.changed.wait_for(lambda: self.is_stopping, PATIENCE_S)
            if self.error is not None:
                return self.error, b""
            if self.garbage is not None:
                return 200, self.garbage
            if path.startswith("/eureka/apps/"):
                return self._lease(method, path, body)
            return 200, self._poll(path)

    def _lease(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "POST":
            instance = json.loads(body)["instance"]
            self.leases[instance["instanceId"]] = instance
            self.changed.notify_all()
            return 204, b""
        name = unquote(path.partition("?")[0].rpartition("/")[2])
        if name not in self.leases:
            return 404, b""
        if method == "DELETE":
            del self.leases[name]
        self.changed.notify_all()
        return 200, b""

    def _poll(self, path: str) -> bytes:
        text = path.partition("revision=")[2].partition("&")[0]
        asked = int(text) if text else None
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "registry": lambda: {"revision": self.view_revision, "instances": self.view},
            "guards": lambda: {"revision": self.guards_revision, **self.guards},
            "faults": lambda: {"revision": self.rules_revision, "rules": self.rules},
        }
        answer = next(answers[word] for word in answers if f"/{word}/" in path)
        self.changed.wait_for(lambda: self.is_stopping or answer()["revision"] != asked, PATIENCE_S)
        return json.dumps(answer()).encode()

    def set_view(self, *instances: dict[str, Any], revision: int | None = None) -> None:
        with self.changed:
            self.view = list(instances)
            self.view_revision = self.view_revision + 1 if revision is None else revision
            self.changed.notify_all()

    def set_rules(self, *rules: dict[str, Any]) -> None:
        with self.changed:
            self.rules = list(rules)
            self.rules_revision += 1
            self.changed.notify_all()

    def set_guards(self, **scopes: dict[str, Any]) -> None:
        with self.changed:
            self.guards = scopes
            self.guards_revision += 1
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S), "the platform was not asked for it"

    def count(self, method: str, part: str) -> int:
        return sum(m == method and part in path for m, path, _ in self.requests)

    def stop(self) -> None:
        with self.changed:
            self.is_stopping = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:  # a dead platform keeps no connection open
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()


class MeterListener:
    """A UDP socket that gathers meter lines."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.changed = threading.Condition()
        self.lines: list[str] = []
        self.datagrams: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while datagram := self.socket.recv(65536):
            with self.changed:
                self.datagrams.append(datagram)
                self.lines += datagram.decode().splitlines()
                self.changed.notify_all()

    def wait_for(self, *parts: str) -> str:
        """The first line that contains all `parts`, as soon as it has come."""

        def found() -> str:
            for line in self.lines:
                if all(part in line for part in parts):
                    return line
            return ""

        with self.changed:
            assert self.changed.wait_for(found, PATIENCE_S), f"no line with {parts}: {self.lines}"
            return found()

    def having(self, *parts: str) -> list[str]:
        with self.changed:
            return [line for line in self.lines if all(part in line for part in parts)]

    def stop(self) -> None:
        self.socket.sendto(b"", self.socket.getsockname())
        self._thread.join()
        self.socket.close()


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Run `app` by uvicorn on a free port in a thread of its own; gives the port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    is_up = threading.Event()
    server = AnnouncingServer(config, is_up.set)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        assert is_up.wait(PATIENCE_S), "the server did not start"
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()


class _Quiet(WSGIRequestHandler):
    """Tests need no access log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


class _Threads(ThreadingMixIn, WSGIServer):
    """One thread a request."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is part of the tests."""


@contextmanager
def wsgi_serving(app: Any) -> Iterator[str]:
    """Run `app` by wsgiref; gives its URL."""
    server = make_server("127.0.0.1", 0, app, server_class=_Threads, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def instance(service: str, port: int, name: str = "", zone: str = "") -> dict[str, Any]:
    """One instance as the registry view gives it."""
    return {
        "service": service,
        "instance_id": name or f"{service}-{port}",
        "host": "127.0.0.1",
        "port": port,
        "zone": zone,
        "status": "UP",
        "metadata": {},
    }
