"""Connections that take without giving: each ends with a reason, and the others do not notice."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from breakwater.server.connections import bounds_of
from breakwater.server.settings import ServerSettings

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

Start = Callable[..., AbstractContextManager["RunningServer"]]
GET = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = (
    b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture(scope="module")
def hurried(
    start_server: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["RunningServer"]:
    """A server that waits a moment only, for heads and for bodies."""
    flags = ("--set", "server.head_timeout_s=0.2", "--set", "server.body_timeout_s=0.2")
    with start_server(tmp_path_factory.mktemp("hurried"), *flags) as server:
        yield server


def answer_to(server: "RunningServer", *parts: bytes) -> bytes:
    """All that comes back for these bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as raw:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have refused already
            for part in parts:
                raw.sendall(part)
        received = b""
        with suppress(ConnectionResetError):
            while part := raw.recv(65_536):
                received += part
    return received


def is_served(raw: socket.socket) -> bool:
    """Whether a health check on an open connection is answered, with all of its answer."""
    raw.sendall(GET + b"\r\n")
    received = raw.recv(4096)
    while not received.endswith(b"}"):
        part = raw.recv(4096)
        if not part:
            return False
        received += part
    return received.startswith(b"HTTP/1.1 200 ")


def ended(server: "RunningServer", reason: str) -> int:
    """How many connections were ended for this reason."""
    counts: dict[str, int] = server.call("GET", "/api/v1/stats").json["http"]["connections_ended"]
    return counts.get(reason, 0)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET, b"\r\n", GET + b"X-Slow: 1\r\n"])
def test_a_head_that_does_not_come_is_given_up(hurried: "RunningServer", sent: bytes) -> None:
    """Whoever connects has to ask; one who does not makes room for others."""
    answer = answer_to(hurried, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"no complete request came in 0.2 s" in answer
    assert ended(hurried, "slow_head") > 0


def test_the_next_head_has_its_time_too(hurried: "RunningServer") -> None:
    """A connection that was served once may not stall in its next request."""
    with socket.create_connection(("127.0.0.1", hurried.http_port), timeout=30) as raw:
        assert is_served(raw)
        raw.sendall(b"GET /next")
        assert b"408" in raw.recv(4096)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (GET + b"X-Long: ", b"a" * 65_536),
        (GET, b"X-Many: yes\r\n" * 5_000),
        (CHUNKED + b"1\r\nx\r\n0\r\nX-Trailer: ", b"a" * 65_536),
    ],
    ids=["one header", "many headers", "trailer"],
)
def test_heads_are_bounded(server: "RunningServer", start: bytes, more: bytes) -> None:
    """What comes beside the body cannot fill the memory."""
    before = ended(server, "large_head")
    answer_to(server, start, *[more] * 64)
    assert ended(server, "large_head") == before + 1


def test_small_chunks_of_a_large_body_are_no_overhead(server: "RunningServer") -> None:
    """A body may come in chunks of one byte, each with more around it than in it."""
    answer = answer_to(server, CHUNKED, b"1\r\n \r\n" * 50_000, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"empty payload" in answer


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/7\r\n"]
)
def test_what_is_no_http_is_told_so(server: "RunningServer", sent: bytes) -> None:
    """Another protocol gets the one shape of all errors."""
    answer = answer_to(server, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    body = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=dict[str, str])
    assert body["type"] == "error"
    assert "expected HTTP/1.1" in body["message"]


@pytest.mark.parametrize("name", [b"Host: [", b"Host: localhost\r\nOrigin: http://["])
def test_names_that_cannot_be_read_are_foreign(server: "RunningServer", name: bytes) -> None:
    """A host or an origin that is no address is refused like one that is another's."""
    sent = b"GET /healthcheck HTTP/1.1\r\n" + name + b"\r\nConnection: close\r\n\r\n"
    assert answer_to(server, sent).startswith(b"HTTP/1.1 403 ")


def test_a_body_that_drips_is_given_up(hurried: "RunningServer") -> None:
    """Sending a byte now and then does not hold a place for ever."""
    with socket.create_connection(("127.0.0.1", hurried.http_port), timeout=0.05) as raw:
        raw.sendall(
            b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
        )
        answer = b""
        for _ in range(600):
            raw.sendall(b" ")
            try:
                answer = raw.recv(4096)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_bodies_are_bounded_together(start_server: Start, tmp_path: Path) -> None:
    """Many requests cannot hold more than `max_bodies_bytes` among them."""
    bound = "server.max_bodies_bytes=100000"
    head = b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n"
    with start_server(tmp_path, "--set", bound) as server:
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as first:
            first.sendall(head + b" " * 60_000)
            while server.call("GET", "/api/v1/stats").json["http"]["body_bytes"] < 60_000:
                pass
            crowded = server.call("POST", "/api/v1/publish", b" " * 50_000)
            assert crowded.status == 503
            assert "server.max_bodies_bytes" in crowded.json["message"]
            first.sendall(b" " * 10_000)
            assert first.recv(64).startswith(b"HTTP/1.1 400")
        assert server.call("GET", "/api/v1/stats").json["http"]["body_bytes"] == 0


def test_connections_are_bounded(start_server: Start, tmp_path: Path) -> None:
    """One connection too many is told so, and the others go on."""
    with start_server(tmp_path, "--set", "server.max_connections=2") as server:
        address = ("127.0.0.1", server.http_port)
        with socket.create_connection(address, timeout=30) as first:
            assert is_served(first)
            with socket.create_connection(address, timeout=30) as second:
                assert is_served(second)
                assert b"too many connections" in answer_to(server)
                assert is_served(first)


def test_connections_leave_files_for_others() -> None:
    """The bound is lower where the process may not open so many files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = msgspec.structs.replace(ServerSettings(), max_connections=files)
    assert 1 <= bounds_of(settings).max_connections < files
    assert bounds_of(msgspec.structs.replace(settings, max_connections=7)).max_connections == 7
