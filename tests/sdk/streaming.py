"""A server on a real socket whose answers come in pieces, as a test lets them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from tests.sdk.fleet import PATIENCE_S

from breakwater.model import FaultKind, FaultRule, FaultRules, SystemClock
from breakwater.sdk import RetryConfig, Service

QUICK = RetryConfig(max_attempts=2, initial_s=0.0)


class Streamer:
    """Answers by path, HTTP/1.1, one thread a connection.

    /ok: 200 at once. /fail: 503 with Retry-After 0. /flaky: 503 once, then 200. /drip: a head and
    one piece, then the rest when `go_on` is set. /break: a head and one piece, then hangs up.
    /slow: answers when `go_on` is set. /trickle, /trickle-head: a byte of the body or the head
    now and then until `go_on` is set. /hangup, /hangup-once: no answer, the connection is closed,
    always or the first time. `seen` are the requests, headers in lower case.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        self.flaky_left = 1
        streamer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Tests need no access log."""

            def do_GET(self) -> None:
                streamer.serve(self)

            do_POST = do_GET  # noqa: N815 - its name

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up in the middle is part of the tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        length = int(request.headers.get("content-length", "0"))
        request.rfile.read(length)
        self.seen.append((request.path, {k.lower(): v for k, v in request.headers.items()}))
        self.arrived.set()
        answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
            "/drip": self._drip, "/break": self._break, "/slow": self._slow, "/flaky": self._flaky,
            "/trickle": self._trickle, "/trickle-head": self._trickle_head,
            "/hangup": self._hang_up, "/hangup-once": self._hang_up_once,
        }  # fmt: skip
        path = request.path.partition("?")[0]
        if path in answers:
            answers[path](request)
        elif path == "/fail":
            _answer(request, 503, b"no", ("retry-after", "0"))
        else:
            _answer(request, 200, b"yes")

    def _flaky(self, request: BaseHTTPRequestHandler) -> None:
        self.flaky_left -= 1
        _answer(request, 503 if self.flaky_left >= 0 else 200, b"yes")

    def _slow(self, request: BaseHTTPRequestHandler) -> None:
        self.go_on.wait(PATIENCE_S)
        _answer(request, 200, b"late")

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, 6)
        request.wfile.write(b"one")
        request.wfile.flush()
        self.go_on.wait(PATIENCE_S)
        request.wfile.write(b"two")

    def _hang_up(self, request: BaseHTTPRequestHandler) -> None:
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def _hang_up_once(self, request: BaseHTTPRequestHandler) -> None:
        if self.paths().count("/hangup-once") == 1:
            self._hang_up(request)
        else:
            _answer(request, 200, b"yes")

    def _trickle(self, request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, 1_000_000)
        self._send_slowly(request)

    def _trickle_head(self, request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nx-long: ")
        self._send_slowly(request)

    def _send_slowly(self, request: BaseHTTPRequestHandler) -> None:
        """Fast enough for whoever limits single reads, and without end."""
        while not self.go_on.wait(0.005):
            request.wfile.write(b"x")
            request.wfile.flush()
        request.close_connection = True

    def _break(self, request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, 6)
        request.wfile.write(b"one")
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _ in self.seen]


def _head(request: BaseHTTPRequestHandler, code: int, length: int, *more: tuple[str, str]) -> None:
    request.send_response(code)
    request.send_header("content-length", str(length))
    for name, value in more:
        request.send_header(name, value)
    request.end_headers()


def _answer(
    request: BaseHTTPRequestHandler, code: int, body: bytes, *more: tuple[str, str]
) -> None:
    _head(request, code, len(body), *more)
    request.wfile.write(body)


@contextmanager
def streaming() -> Iterator[Streamer]:
    """Run one in a thread."""
    made = Streamer()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.go_on.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def in_flight(service: Service, command: str = "account") -> int:
    """Calls of a command that hold a permit now."""
    found = service.guards.get(command)
    assert found is not None
    return found.bulkhead.in_flight()


def rule(kind: FaultKind, **fields: Any) -> bytes:
    """A fault of the gateway in force for an hour, as the platform hands it out."""
    given = {"point": "outbound", "service": "gateway", **fields}
    expires_ms = SystemClock().now_ms() + 3_600_000
    one = FaultRule(id="f-1", kind=kind, expires_ms=expires_ms, **given)
    return msgspec.json.encode(FaultRules(revision=1, rules=[one]))
