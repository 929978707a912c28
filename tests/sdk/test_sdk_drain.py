"""Leaving in peace: the phases, and SIGTERM of a real server under load."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvloop
from tests.sdk.fleet import Platform

from breakwater.sdk import Service
from breakwater.sdk.asgi import TRY_AGAIN_LATER
from breakwater.sdk.drain import QUIET_S, Drain, Phase, TermCatcher
from breakwater.sdk.errors import CallRefusedError
from breakwater.testing import FakeClock

DEADLINE_S = 20.0


class Leaving:
    """A drain in a thread of its own, on a clock moved by hand."""

    def __init__(self, drain: Drain, limit_s: float) -> None:
        self.left = threading.Event()
        self.thread = threading.Thread(target=drain.run, args=(self.left.set, limit_s))
        self.thread.start()
        assert self.left.wait(DEADLINE_S)

    def join(self) -> None:
        """Wait for its end."""
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


def until(drain: Drain, phase: Phase) -> None:
    """Wait for a phase."""
    due = threading.Event()
    for _ in range(2_000):
        if drain.stats().phase is phase:
            return
        due.wait(0.005)
    raise AssertionError(drain.stats())


def test_whoever_comes_while_leaving_is_served(clock: FakeClock) -> None:
    """Out of the registry first; then everybody is let in until nobody has come for a while."""
    drain = Drain(clock)
    leaving = Leaving(drain, 5.0)
    clock.advance(QUIET_S - 0.1)
    drain.enter()
    drain.let_in("ranker")
    clock.advance(QUIET_S - 0.1)
    assert drain.stats().phase is Phase.LEAVING
    clock.advance(0.2)
    until(drain, Phase.REFUSING)
    with pytest.raises(CallRefusedError, match="about to end") as caught:
        drain.let_in("ranker")
    assert caught.value.retry_after_s == 1.0
    drain.leave()
    leaving.join()
    found = drain.stats()
    assert (found.phase, found.late, found.refused, found.abandoned) == (Phase.DRAINED, 1, 1, 0)


def test_what_is_under_way_is_finished(clock: FakeClock) -> None:
    """The process waits for the last answer, but not beyond its limit."""
    for finishes in (True, False):
        drain = Drain(clock)
        drain.enter()
        leaving = Leaving(drain, 5.0)
        clock.advance(QUIET_S)
        until(drain, Phase.REFUSING)
        if finishes:
            drain.leave()
        else:
            clock.advance(5.0)
        leaving.join()
        assert drain.stats().abandoned == (not finishes)


def test_the_wait_for_quiet_takes_half_of_the_time_at_most(clock: FakeClock) -> None:
    """A caller that never hears of it cannot hold a process."""
    drain = Drain(clock)
    drain.enter()
    leaving = Leaving(drain, 4.0)
    for _ in range(20):
        clock.advance(0.1)
        drain.enter()
        drain.leave()
    until(drain, Phase.REFUSING)
    drain.leave()
    leaving.join()


def test_who_hurries_waits_for_nobody(clock: FakeClock) -> None:
    """A second order to end is obeyed at once; after that the process can serve again."""
    drain = Drain(clock)
    drain.enter()
    leaving = Leaving(drain, 5.0)
    drain.hurry()
    leaving.join()
    assert drain.stats().abandoned == 1
    drain.reopen()
    drain.let_in("ranker")
    assert drain.stats().phase is Phase.SERVING


def test_who_serves_again_is_not_overtaken_by_a_leaving_before(clock: FakeClock) -> None:
    """A drain that was still under way at a restart within the process changes nothing any more."""
    drain = Drain(clock)
    drain.enter()
    leaving = Leaving(drain, 5.0)
    drain.reopen()
    leaving.join()
    assert drain.stats().phase is Phase.SERVING
    drain.let_in("ranker")
    second = Leaving(drain, 5.0)
    drain.leave()
    clock.advance(QUIET_S)
    second.join()
    assert drain.stats().phase is Phase.DRAINED


@pytest.fixture
def terminations() -> Iterator[list[int]]:
    """What a handler of SIGTERM was given."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, before)


def test_sigterm_drains_first(terminations: list[int]) -> None:
    """The handler that was there is called when the drain is over, by whom it is handed to."""
    handed = threading.Event()
    called: list[Callable[[], None]] = []

    def then(call: Callable[[], None]) -> None:
        called.append(call)
        handed.set()

    catcher = TermCatcher(lambda: None, then)
    assert catcher.set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert handed.wait(DEADLINE_S)
    assert terminations == []
    called[0]()
    assert terminations == [signal.SIGTERM]
    catcher.unset()


def test_a_second_sigterm_is_obeyed_at_once(terminations: list[int]) -> None:
    """Who insists is not made to wait; afterwards SIGTERM is what it was."""
    holding = threading.Event()
    catcher = TermCatcher(lambda: holding.wait(DEADLINE_S), lambda _: None)
    catcher.set()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert terminations == [signal.SIGTERM]
    holding.set()
    catcher.unset()
    os.kill(os.getpid(), signal.SIGTERM)
    assert len(terminations) == 2


def test_who_took_sigterm_over_later_hands_it_through(terminations: list[int]) -> None:
    """A handler that kept ours as the one before still ends the process after `unset`."""
    catcher = TermCatcher(lambda: None, lambda _: None)
    catcher.set()
    ours = signal.getsignal(signal.SIGTERM)
    assert callable(ours)
    before = ours

    def later(number: int, frame: FrameType | None) -> None:
        before(number, frame)

    signal.signal(signal.SIGTERM, later)
    catcher.unset()
    os.kill(os.getpid(), signal.SIGTERM)
    assert terminations == [signal.SIGTERM]


def test_a_loop_that_has_ended_is_not_told(terminations: list[int]) -> None:
    """A drain that outlives its event loop ends without a word, as the process does."""
    done = threading.Event()

    def closed(_: Callable[[], None]) -> None:
        done.set()
        raise RuntimeError("Event loop is closed")

    catcher = TermCatcher(lambda: None, closed)
    catcher.set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert done.wait(DEADLINE_S)
    catcher.unset()
    assert terminations == []


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_handler_of_an_event_loop_is_left_alone(runner: Callable[..., object]) -> None:
    """A loop is told of signals by other means than the handler that is seen."""
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        try:
            return TermCatcher(lambda: None, lambda _: None).set()
        finally:
            loop.remove_signal_handler(signal.SIGTERM)

    try:
        assert runner(main()) is False
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SERVER = """
import asyncio, sys, uvicorn
from breakwater.sdk import Service

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})

service = Service("ranker", instance="r-1", port=int(sys.argv[1]), url=sys.argv[2], metrics="none")
uvicorn.run(service.asgi(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


def get(port: int, path: str) -> tuple[int, str]:
    """Status of one request, and what it says of the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("connection", "")
    finally:
        connection.close()


@pytest.mark.slow
def test_a_server_that_is_told_to_end_serves_until_callers_know(
    platform: Platform, tmp_path: Path, free_port: int
) -> None:
    """Registered once it listens; on SIGTERM out of the registry, serving on, then ended by 0."""
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    process = subprocess.Popen([sys.executable, str(program), str(free_port), platform.url])
    try:
        platform.wait_for(lambda: "r-1" in platform.leases)
        assert get(free_port, "/") == (200, "")
        slow: list[tuple[int, str]] = []
        caller = threading.Thread(target=lambda: slow.append(get(free_port, "/slow")))
        caller.start()
        process.send_signal(signal.SIGTERM)
        platform.wait_for(lambda: "r-1" not in platform.leases)
        assert get(free_port, "/") == (200, "close")
        caller.join(DEADLINE_S)
        assert slow[0][0] == 200
        assert process.wait(DEADLINE_S) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
    assert platform.count("DELETE", "/eureka/apps/RANKER/r-1") == 1


@pytest.mark.slow
def test_a_server_told_to_end_while_it_starts_takes_no_lease(
    platform: Platform, tmp_path: Path, free_port: int
) -> None:
    """SIGTERM before the start is over is the server's alone; nobody has to be waited for."""
    platform.is_silent = True
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    process = subprocess.Popen([sys.executable, str(program), str(free_port), platform.url])
    try:
        platform.wait_for(lambda: platform.count("GET", "/registry/changes") > 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
    assert platform.count("POST", "/eureka/apps/RANKER") == 0


@pytest.fixture
def anyio_backend() -> str:
    """The event loop."""
    return "asyncio"


@pytest.mark.anyio
async def test_a_drained_process_refuses_and_closes(service_of: Callable[..., Service]) -> None:
    """A request gets 503 and the end of its connection, a websocket no handshake."""
    service = service_of("ranker")
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody is let in")

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    wrapped = service.asgi(app)
    service.drain(limit_s=0.0)
    base = {"path": "/", "headers": [], "method": "GET", "http_version": "1.1"}
    await wrapped({"type": "http", **base}, receive, send)
    await wrapped({"type": "websocket", **base}, receive, send)
    assert sent[0]["status"] == 503
    headers = dict(sent[0]["headers"])
    assert (headers[b"connection"], headers[b"retry-after"]) == (b"close", b"1")
    assert sent[-1] == {"type": "websocket.close", "code": TRY_AGAIN_LATER}
