"""The four streams over real sockets, and what bounds them."""

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from random import Random
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from tests.sdk.fleet import PATIENCE_S, Platform, serving

from breakwater.sdk import Command, CommandConfig, Guards, Service, request_scope
from breakwater.sdk.guard.config import CollapseConfig
from breakwater.sdk.streams import (
    StreamRefusedError,
    Streams,
    asgi_app,
    executed_calls,
    wsgi_app,
)
from breakwater.sdk.streams.streams import PATHS, PING
from breakwater.testing import FakeClock

EXPECTED_HEADERS = {
    "content-type": "text/event-stream;charset=UTF-8",
    "cache-control": "no-cache, no-store, max-age=0, must-revalidate",
    "pragma": "no-cache",
}


class QuietHandler(WSGIRequestHandler):
    """Tests need no access log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = True
    block_on_close = False


@contextmanager
def serving_wsgi(app: Any) -> Iterator[int]:
    """A WSGI server on a free port."""
    server = make_server("127.0.0.1", 0, app, ThreadingServer, QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving_asgi(app: Any) -> Iterator[int]:
    """An ASGI server on a free port."""
    with serving(app) as port:
        yield port


Serving = Callable[[Streams], Any]
KINDS: list[Any] = [
    pytest.param(lambda streams: serving_asgi(asgi_app(streams)), id="asgi"),
    pytest.param(lambda streams: serving_wsgi(wsgi_app(streams)), id="wsgi"),
]


@pytest.fixture
def guards() -> Guards:
    """A registry with one command."""
    made = Guards(random=Random(1))
    Command("Account", guards=made)
    return made


@pytest.fixture
def streams(guards: Guards) -> Iterator[Streams]:
    """Its streams, with short ticks."""
    made = Streams(guards, interval_s=0.02, config_interval_s=0.02)
    yield made
    made.close()


@contextmanager
def watching(port: int, path: str) -> Iterator[HTTPResponse]:
    """One reader of a stream, who leaves at the end."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
        answer.close()
        connection.close()


def next_data(answer: HTTPResponse) -> Any:
    """The next message; each line is one of the three there are."""
    while line := answer.readline():
        assert line in (b"\n", b"ping: \n") or line.startswith(b"data: ")
        if line.startswith(b"data: "):
            assert answer.readline() == b"\n"
            return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("serve", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_headers_and_pings(serve: Serving, path: str, streams: Streams) -> None:
    """Every stream has Hystrix's headers and its ping, byte for byte."""
    with serve(streams) as port, watching(port, path) as answer:
        assert answer.status == 200
        assert {name: answer.headers[name] for name in EXPECTED_HEADERS} == EXPECTED_HEADERS
        while answer.readline() != b"ping: \n":
            continue
        assert answer.readline() == b"\n"


@pytest.mark.parametrize("serve", KINDS)
def test_each_stream_says_its_own(serve: Serving, streams: Streams) -> None:
    """Each path gives messages of its type."""
    with serve(streams) as port:
        for path, kind in zip(PATHS, ("Command", "Config", "Utilization"), strict=False):
            with watching(port, path) as answer:
                assert next_data(answer)["type"] == f"Hystrix{kind}"


@pytest.mark.parametrize("serve", KINDS)
def test_sixth_watcher_is_refused(serve: Serving, streams: Streams) -> None:
    """Five watch one stream, the sixth is told 503; a place given back is free again."""
    with serve(streams) as port:
        kept = [watching(port, PATHS[0]) for _ in range(5)]
        answers = [each.__enter__() for each in kept]
        assert all(next_data(answer)["name"] == "Account" for answer in answers)
        with watching(port, PATHS[0]) as refused:
            assert refused.status == 503
            assert b"MaxConcurrentConnections reached: 5" in refused.read()
        with watching(port, PATHS[1]) as other:
            assert other.status == 200
        kept[0].__exit__(None, None, None)
        attempts = 0
        while (status := status_of(port, PATHS[0])) != 200:
            attempts += 1
            assert status == 503
            assert attempts < 2_000
        for each in kept[1:]:
            each.__exit__(None, None, None)


def status_of(port: int, path: str) -> int:
    """What a GET is answered with."""
    with watching(port, path) as answer:
        return answer.status


@pytest.mark.parametrize("serve", KINDS)
def test_closed_streams_end_and_refuse(serve: Serving, streams: Streams) -> None:
    """When the process ends, streams end at once and further ones get 503."""
    with serve(streams) as port:
        with watching(port, PATHS[0]) as answer:
            next_data(answer)
            streams.close()
            while answer.readline():
                continue
        assert status_of(port, PATHS[0]) == 503
        assert streams.stats().watching == dict.fromkeys(PATHS, 0)


@pytest.mark.parametrize("serve", KINDS)
def test_other_paths_and_methods(serve: Serving, streams: Streams) -> None:
    """What is no stream is 404, and streams are for GET only."""
    with serve(streams) as port:
        assert status_of(port, "/hystrix") == 404
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        with closing(connection):
            connection.request("POST", PATHS[0])
            assert connection.getresponse().status == 405


class EndedServer:
    """A server that was told to stop long ago and still handles the signals of the process."""

    should_exit = True

    def handle_exit(self, number: int, frame: object) -> None:
        """As uvicorn's."""


def test_a_server_that_ended_before_ends_no_stream(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream ends with the server that took it, not with one that had ended before."""
    monkeypatch.setattr(signal, "getsignal", lambda _: EndedServer().handle_exit)
    with serving_asgi(asgi_app(streams)) as port, watching(port, "/hystrix.stream") as answer:
        assert next_data(answer)["name"] == "Account"


def test_mounted_below_a_prefix(streams: Streams) -> None:
    """The application may be mounted anywhere, as Spring's `/actuator/hystrix.stream`."""
    app = Starlette(routes=[Mount("/actuator", app=asgi_app(streams))])
    with serving_asgi(app) as port, watching(port, "/actuator/hystrix.stream") as answer:
        assert next_data(answer)["name"] == "Account"


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application of somebody's."""
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_beside_an_application(streams: Streams, kind: str) -> None:
    """Given an application, all that is no stream is for it."""

    async def home(request: Request) -> Response:
        return Response(b"hello")

    starlette = Starlette(routes=[Route("/home", home)])
    server = (
        serving_asgi(asgi_app(streams, starlette))
        if kind == "asgi"
        else serving_wsgi(wsgi_app(streams, hello))
    )
    with server as port:
        with watching(port, "/home") as answer:
            assert answer.read() == b"hello"
        with watching(port, "/hystrix.stream") as answer:
            assert next_data(answer)["name"] == "Account"


def test_one_encoding_for_all_of_a_tick() -> None:
    """However many watch, the messages of a tick are put together once."""
    clock = FakeClock()
    guards = Guards(clock=clock)
    Command("Account", guards=guards)
    streams = Streams(guards)
    watchers = [streams.open(PATHS[0]) for _ in range(5)]
    first = [watcher.read() for watcher in watchers]
    assert len(set(first)) == 1
    assert streams.stats().encoded == 1
    assert watchers[0].read() == PING
    clock.advance(watchers[0].wait_s())
    assert all(watcher.read().startswith(b"data: {") for watcher in watchers)
    assert streams.stats().encoded == 2
    streams.close()


def test_nothing_is_computed_while_nobody_watches(streams: Streams, guards: Guards) -> None:
    """Streams that nobody watches cost nothing, and add no hook to the commands."""
    with request_scope():
        guards.get("Account").call_sync(lambda: 1)  # type: ignore[union-attr] # made by the fixture
    assert streams.stats().encoded == 0
    assert guards.hooks.stats().hooks == 0
    assert not streams.stats().request_log.is_on


def test_ticks_lie_on_the_clock() -> None:
    """Configuration comes every five seconds, commands and pings each half second."""
    clock = FakeClock()
    guards = Guards(clock=clock)
    streams = Streams(guards)
    watcher = streams.open("/hystrix/config.stream")
    sent = []
    for _ in range(20):
        sent.append(watcher.read().count(b"data:"))
        assert watcher.wait_s() == pytest.approx(0.5)
        clock.advance(watcher.wait_s())
    assert sent == [1, *[0] * 9] * 2
    streams.close()


def request_of(streams: Streams, calls: Callable[[], object]) -> Any:
    """What the request stream says of one request that makes these calls."""
    watcher = streams.open("/hystrix/request.stream")
    try:
        with request_scope():
            calls()
        data, ping, rest = watcher.read().split(b"\n\n")
        assert (ping, rest) == (b"ping: ", b"")
        return json.loads(data.removeprefix(b"data: "))
    finally:
        watcher.close()


def test_request_log_folds_equal_executions() -> None:
    """Executions with the same events are one entry with several latencies, in ordinal order."""
    clock = FakeClock()
    guards = Guards(clock=clock)
    streams = Streams(guards)
    account = Command("Account", guards=guards, fallback=lambda error: "guest")

    def work(seconds: float, error: Exception | None = None) -> str:
        clock.advance(seconds)
        if error is not None:
            raise error
        return "answer"

    def calls() -> None:
        account.call_sync(work, 0.01)
        account.call_sync(work, 0.02)
        account.call_sync(work, 0.03, OSError("down"))

    assert request_of(streams, calls) == [
        {"name": "Account", "events": ["SUCCESS"], "latencies": [10, 20]},
        {"name": "Account", "events": ["FAILURE", "FALLBACK_SUCCESS"], "latencies": [30]},
    ]


def test_request_log_counts_cached_answers() -> None:
    """Answers from the request cache are counted at the execution they came from."""
    guards = Guards(clock=FakeClock())
    streams = Streams(guards)
    account = Command("Account", CommandConfig(request_cache=True), guards=guards)

    def calls() -> None:
        for profile in (7, 7, 7, 8):
            account.call_sync(str, profile)

    assert request_of(streams, calls) == [
        {"name": "Account", "events": ["SUCCESS"], "latencies": [0], "cached": 2},
        {"name": "Account", "events": ["SUCCESS"], "latencies": [0]},
    ]


def test_request_log_names_batches() -> None:
    """A batch says for how many calls it was made, and inner calls do not."""
    guards = Guards(clock=FakeClock())
    streams = Streams(guards)
    config = CommandConfig(collapse=CollapseConfig(wait_s=0.0, scope="request"))
    inner = Command("Inner", guards=guards)

    def batch(ids: list[int]) -> list[str]:
        return [inner.call_sync(str, each) for each in ids]

    titles = Command("Titles", config, guards=guards).collapse(batch)
    found = request_of(streams, lambda: titles(4))
    assert found == [
        {"name": "Inner", "events": ["SUCCESS"], "latencies": [0]},
        {
            "name": "Titles",
            "events": ["SUCCESS"],
            "latencies": [0],
            "collapsed": {"name": "Titles", "count": 1},
        },
    ]


def test_request_log_tells_how_often(guards: Guards) -> None:
    """An event that came several times in one call is given with its number."""
    from breakwater.sdk.guard.events import EventType  # noqa: PLC0415 - this test alone
    from breakwater.sdk.streams.requestlog import Execution, folded  # noqa: PLC0415 - as above

    events = (EventType.EMIT,) * 3 + (EventType.SUCCESS,)
    assert folded([Execution("Feed", events, 12, 0, None)]) == [
        {"name": "Feed", "events": [{"name": "EMIT", "count": 3}, "SUCCESS"], "latencies": [12]}
    ]


def test_refused_calls_have_no_latency(guards: Guards) -> None:
    """A call that never began has the latency -1."""
    streams = Streams(guards)
    from breakwater.sdk import BreakerConfig  # noqa: PLC0415 - this test alone

    config = CommandConfig(breaker=BreakerConfig(mode="forced_open"))
    shut = Command("Shut", config, guards=guards, fallback=lambda error: "guest")
    (entry,) = request_of(streams, lambda: shut.call_sync(str))
    assert entry["events"] == ["SHORT_CIRCUITED", "FALLBACK_SUCCESS"]
    assert entry["latencies"] == [-1]


def test_log_ends_with_its_last_watcher(guards: Guards) -> None:
    """The hook that keeps the log is there only while somebody watches."""
    streams = Streams(guards)
    first, second = streams.open(PATHS[3]), streams.open(PATHS[3])
    assert guards.hooks.stats().hooks == 1
    first.close()
    first.close()
    assert guards.hooks.stats().hooks == 1
    second.close()
    assert guards.hooks.stats().hooks == 0


def test_a_kept_log_is_for_log_lines_too() -> None:
    """With `keeps_request_log` a request can say what it called, watched or not."""
    guards = Guards(clock=FakeClock())
    streams = Streams(guards, keeps_request_log=True)
    account = Command("Account", guards=guards)
    assert executed_calls() == ""
    with request_scope():
        account.call_sync(str)
        account.call_sync(str)
        assert executed_calls() == "Account[SUCCESS][0ms]x2"
    assert streams.stats().request_log.requests == 1


def test_slow_watchers_lose_the_oldest_requests(guards: Guards) -> None:
    """A watcher that does not read keeps a bounded number of requests, and it is counted."""
    streams = Streams(guards, max_connections=1)
    watcher = streams.open(PATHS[3])
    for number in range(1_003):
        watcher.offer(b"%d" % number)
    assert len(watcher.requests) == 1_000
    assert watcher.requests[0] == b"3"
    assert streams.stats().lost_requests == 3
    with pytest.raises(StreamRefusedError, match="reached: 1"):
        streams.open(PATHS[3])


def test_a_request_keeps_a_bounded_log(guards: Guards) -> None:
    """Of one request at most a thousand executions are kept, the first ones."""
    streams = Streams(guards)
    account = guards.get("Account")
    assert account is not None
    guarded = account(lambda: None)

    def calls() -> None:
        for _ in range(1_005):
            guarded()

    (entry,) = request_of(streams, calls)
    assert len(entry["latencies"]) == 1_000
    assert streams.stats().request_log.left_out == 5


@pytest.mark.slow
def test_service_serves_its_streams(service_of: Callable[..., Service], platform: Platform) -> None:
    """`asgi(..., streams=True)` answers them beside the application, and tells the registry."""
    service = service_of("gateway", port=9)
    service.command("Account")

    async def home(request: Request) -> Response:
        return JSONResponse({"calls": service.guards.get("Account") is not None})

    app = service.asgi(Starlette(routes=[Route("/hystrix/home", home)]), streams=True)
    with serving(app) as port:
        with watching(port, "/hystrix.stream") as answer:
            assert next_data(answer)["name"] == "Account"
        assert status_of(port, "/hystrix/home") == 200
        platform.wait_for(lambda: "gateway-1" in platform.leases)
        metadata = platform.leases["gateway-1"]["metadata"]
        assert metadata["hystrix.stream"] == "/hystrix.stream"
        assert app.stats().requests == 1  # streams are no requests


@pytest.mark.slow
def test_served_requests_are_logged(service_of: Callable[..., Service]) -> None:
    """What a request of a served application calls is one entry of the request stream."""
    service = service_of("gateway")
    account = service.command("Account")

    async def home(request: Request) -> Response:
        return JSONResponse(account.call_sync(str, 7))

    app = service.asgi(Starlette(routes=[Route("/home", home)]), streams=True)
    with serving(app) as port, watching(port, "/hystrix/request.stream") as answer:
        assert answer.readline() == b"ping: \n"
        assert status_of(port, "/home") == 200
        (entry,) = next_data(answer)
        assert (entry["name"], entry["events"]) == ("Account", ["SUCCESS"])
