"""Looking at real addresses: who listens, who answers, who is frozen, who is gone."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import anyio
import pytest
from tests.registry.instances import instance

from breakwater.registry import Port
from breakwater.registry.judging.probing import Sight, SocketProbe, Target, target_of
from breakwater.registry.judging.verdicts import Finding

pytestmark = pytest.mark.anyio

SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/well?deep=1' else 503)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def web_server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that answers HTTP, and its port."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def look(target: Target, timeout_s: float = 5.0) -> Sight:
    """One probe."""
    with anyio.fail_after(20):
        return await SocketProbe(timeout_s)(target)


async def test_a_listener_without_a_health_check_accepts() -> None:
    """A connection is all that can be had, by number or by name."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            sight = await look(Target(host=host, port=port))
            assert (sight.finding, sight.said) == (Finding.ACCEPTS, "takes connections")


@pytest.mark.slow
async def test_nobody_listens() -> None:
    """A port without a listener refuses, and is looked at again before that counts."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert (await look(Target(host="127.0.0.1", port=port))).finding is Finding.REFUSED


@pytest.mark.slow
async def test_a_listener_that_comes_back_is_not_refused() -> None:
    """Who listens again half a second later was only being replaced."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    sights: list[Sight] = []

    async def probe() -> None:
        sights.append(await look(Target(host="127.0.0.1", port=port)))

    async with anyio.create_task_group() as group:
        group.start_soon(probe)
        await anyio.wait_all_tasks_blocked()
        with closing(socket.create_server(("127.0.0.1", port))):
            while not sights:
                await anyio.lowlevel.checkpoint()
    assert sights[0].finding is Finding.ACCEPTS


@pytest.mark.slow
async def test_a_frozen_process_takes_connections_but_does_not_answer() -> None:
    """SIGSTOP: the kernel still accepts; only the health check tells. It answers again later."""
    with web_server() as (process, port):
        well = Target(host="127.0.0.1", port=port, health_port=port, health_path="/well?deep=1")
        assert await look(well) == Sight(
            finding=Finding.ANSWERS, said="health check: HTTP/1.0 200 OK"
        )
        ill = Target(host="127.0.0.1", port=port, health_port=port, health_path="/ill")
        assert (await look(ill)).said == "health check: HTTP/1.0 503 Service Unavailable"
        os.kill(process.pid, signal.SIGSTOP)
        frozen = await look(well, 0.05)
        assert frozen.finding is Finding.SILENT
        os.kill(process.pid, signal.SIGCONT)
        assert (await look(well)).finding is Finding.ANSWERS


@pytest.mark.slow
async def test_a_health_check_elsewhere_is_asked_there() -> None:
    """The health check may have a port of its own; if nobody listens there it is silent."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
        web_server() as (process, health_port),
    ):
        target = Target(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            health_port=health_port,
            health_path="/well?deep=1",
        )
        assert (await look(target)).finding is Finding.ANSWERS
        process.kill()
        process.wait()
        silent = await look(target)
        assert silent.finding is Finding.SILENT
        assert "connection refused" in silent.said


@pytest.mark.parametrize("host", ["no such host", "a\x00b", "", "256.1.1.1", "x" * 300])
async def test_an_address_that_is_none_proves_nothing(host: str) -> None:
    """Whatever cannot be reached for another reason than a refusal is unreachable."""
    assert (await look(Target(host=host, port=9))).finding is Finding.UNREACHABLE


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::", "::ffff:169.254.169.254"]
)
async def test_addresses_of_no_machine_are_not_asked(host: str) -> None:
    """Link-local addresses, where clouds hand out secrets, and the like are left alone."""
    sight = await look(Target(host=host, port=80, health_port=80, health_path="/latest"))
    assert sight.finding is Finding.UNREACHABLE
    assert "no address that is asked" in sight.said


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may lead to an address where nobody listens, and to another where it does."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

        async def found(*_: object, **__: object) -> list[object]:
            return [(0, 0, 0, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        assert (await look(Target(host="ranker-1", port=port))).finding is Finding.ACCEPTS


@pytest.mark.parametrize(
    ("url", "port", "path"),
    [
        ("http://127.0.0.1:9101/health?full=1", 9101, "/health?full=1"),
        ("http://ranker-1:8080", 8080, "/"),
        ("http://RANKER-1/x", 80, "/x"),
        ("https://127.0.0.1:9101/health", 0, ""),
        ("http://169.254.169.254/latest/meta-data", 0, ""),
        ("http://127.0.0.1@evil/health", 0, ""),
        ("http://127.0.0.1:9101/a b", 0, ""),
        ("http://127.0.0.1:9101/a\r\nx: y", 0, ""),
        ("http://127.0.0.1:99999/", 0, ""),
        ("http://[::1/", 0, ""),
        ("", 0, ""),
    ],
)
def test_only_the_instance_itself_is_asked(url: str, port: int, path: str) -> None:
    """A health check elsewhere is not asked: else anybody could have us call any address."""
    info = instance(host_name="ranker-1", health_check_url=url)
    assert target_of(info) == Target(
        host="127.0.0.1", port=9101, health_port=port, health_path=path
    )


def test_who_listens_nowhere_cannot_be_looked_at() -> None:
    """No port, or one that cannot be, is no target; the secure port counts where it is the one."""
    assert target_of(instance(port=Port(number=0, is_enabled=True))) is None
    assert target_of(instance(port=Port(number=70_000, is_enabled=True))) is None
    secure = instance(port=Port(number=80), secure_port=Port(number=8443, is_enabled=True))
    assert target_of(secure) == Target(host="127.0.0.1", port=8443)
