"""A Eureka server as far as its peers see it: it notes batches and answers what it is told to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answering = Callable[[dict[str, Any]], dict[str, Any]]


class Stub:
    """What it holds, what it was told, and how it answers; 503 as often as `is_busy_for` says."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.switched: list[str] = []
        self.holds: list[dict[str, Any]] = []
        self.is_busy_for = 0
        self.answer: Answering = lambda _: {"statusCode": 200}

    def actions(self, instance_id: str) -> list[str]:
        """What it was told of one instance, in order."""
        return [entry["action"] for entry in list(self.told) if entry["id"] == instance_id]


@contextmanager
def eureka_stub() -> Iterator[Stub]:
    """One stub on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/eureka/v2/apps"):
                apps = [{"name": "HELD", "instance": stub.holds}]
                self._reply(200, {"applications": {"application": apps if stub.holds else []}})
            else:
                self._reply(404, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != "/eureka/v2/peerreplication/batch/":
                self._reply(404, {})
            elif stub.is_busy_for > 0:
                stub.is_busy_for -= 1
                self._reply(503, {})
            else:
                stub.bodies.append(body)
                stub.headers.append({key.lower(): value for key, value in self.headers.items()})
                entries = body["replicationList"]
                answers = [stub.answer(entry) for entry in entries]
                stub.told.extend(entries)
                self._reply(200, {"responseList": answers})

        def do_PUT(self) -> None:
            said = self.headers["x-netflix-discovery-replication"]
            stub.switched.append(f"{self.path} {said}")
            self._reply(400, {})

        def _reply(self, status: int, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}/eureka/v2")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
