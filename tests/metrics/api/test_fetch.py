"""A graph as a stream: the same numbers as at once, in order, and bounded."""

import json
import math
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.api import fetch
from breakwater.metrics.api.fetch import FetchEndpoint
from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.http import routes
from breakwater.testing import FakeClock
from breakwater.web import EventStream

T0 = 1_700_000_000_000 // 60_000 * 60_000
POINTS = 150
WINDOW = {"s": f"e-{POINTS}s", "e": "now", "step": "1s", "w": "1000"}


def filled(**settings: Any) -> MetricsEngine:
    """An engine with a line over the whole window, and one that ends after its first minute."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(**settings), clock)
    for second in range(1, POINTS + 1):
        clock.advance(1)
        for app in ("a", "b") if second <= 50 else ("a",):
            tags = {"name": "calls", "nf.app": app}
            engine.write_series(tags, T0 + second * 1000, float(second))
    return engine


@pytest.fixture(scope="module")
def client() -> TestClient:
    """A client of such an engine."""
    return TestClient(Starlette(routes=routes(filled())))


def events(client: TestClient, q: str, **more: str) -> list[dict[str, Any]]:
    """Every event of a stream."""
    answer = client.get("/api/v2/fetch", params={"q": q, **WINDOW, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return decoded(answer.content)


def decoded(body: bytes) -> list[dict[str, Any]]:
    """The objects in the data of events."""
    parts = body.split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") for part in parts)
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def test_a_stream_begins_with_what_holds_for_all_and_ends_with_close(client: TestClient) -> None:
    """Metadata first, then lines in order of time, then the end."""
    found = events(client, "name,calls,:eq,(,nf.app,),:by,$nf.app,:legend")
    kinds = [event["type"] for event in found]
    assert kinds == ["graph-metadata", "plot-metadata", *["timeseries"] * 4, "close"]
    assert (found[0]["startTime"], found[0]["endTime"]) == (T0 + 1000, T0 + (POINTS + 1) * 1000)
    lines = found[2:6]
    assert [(line["label"], line["start"] - T0) for line in lines] == [
        ("a", 1_000), ("b", 1_000), ("a", 61_000), ("a", 121_000),
    ]  # fmt: skip
    assert [len(line["data"]["values"]) for line in lines] == [60, 60, 60, 30]
    assert lines[1]["data"]["values"][49:51] == [50.0, "NaN"]
    assert lines[0]["id"] == lines[2]["id"] != lines[1]["id"]
    assert lines[0]["color"] == lines[2]["color"]
    assert lines[-1]["end"] == found[0]["endTime"]


@pytest.mark.parametrize(
    "q",
    [
        "name,calls,:eq,:sum,20,:rolling-max",
        "name,calls,:eq,(,nf.app,),:by,max,1,:topk",
        "name,calls,:eq,:sum,:dup,10,0.1,0.5,:des,:sub",
        "name,calls,:eq,:sum,avg,25s,:consolidate,:integral",
    ],
)
def test_a_stream_has_the_numbers_of_the_graph(client: TestClient, q: str) -> None:
    """State is carried from one stretch into the next."""
    streamed: list[float] = []
    for event in events(client, q):
        if event["type"] == "timeseries":
            streamed += map(float, event["data"]["values"])
    params = {"q": q, **WINDOW, "format": "std.json"}
    table = client.get("/api/v1/graph", params=params).json()["values"]
    at_once = [float(row[0]) for row in table]
    assert len(streamed) == POINTS
    assert all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(streamed, at_once, strict=True)
    )


def test_lines_are_not_left_out_by_what_a_stretch_shows(client: TestClient) -> None:
    """A limit by a statistic would choose other lines in every stretch."""
    found = events(client, "name,calls,:eq,(,nf.app,),:by,max,:sort,1,:limit")
    assert len([event for event in found if event["type"] == "timeseries"]) == 4


def test_an_error_on_the_way_is_the_last_but_one_event() -> None:
    """What goes wrong after the stream began is told in it."""
    client = TestClient(Starlette(routes=routes(filled(query_timeout_s=0.0))))
    answer = client.get("/api/v2/fetch", params={"q": "name,calls,:eq", **WINDOW})
    found = decoded(answer.content)
    assert [event["type"] for event in found] == ["error", "close"]
    assert "the query took longer than 0 s" in found[0]["message"]


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "'q' is missing"), ({"q": "name,:eq"}, "no matches for word ':eq'")],
)
def test_a_bad_request_is_refused_before_the_stream(
    client: TestClient, params: dict[str, str], message: str
) -> None:
    """What can be known before is a plain 400."""
    answer = client.get("/api/v2/fetch", params=params)
    assert (answer.status_code, message in answer.json()["message"]) == (400, True)


def test_what_a_stream_may_read_is_bounded() -> None:
    """A stream may read twenty times what a query may, and the refusal has the numbers."""
    client = TestClient(Starlette(routes=routes(filled(max_input_points=14))))
    answer = client.get("/api/v2/fetch", params={"q": "name,calls,:eq", **WINDOW})
    assert answer.status_code == 400
    assert "too many input datapoints: 300 > 280" in answer.json()["message"]


class Reader:
    """Somebody who reads a stream, as slowly as wanted, and may leave."""

    def __init__(self) -> None:
        self.has_left = anyio.Event()
        self.may_take = anyio.Semaphore(0)
        self.taken: list[bytes] = []
        self._news = anyio.Event()
        self.scope = {
            "type": "http", "method": "GET", "path": "/api/v2/fetch", "headers": [],
            "query_string": b"q=name,calls,:eq&s=e-150s&step=1s&w=1000", "client": ("r", 1),
        }  # fmt: skip

    async def receive(self) -> Message:
        """The request, which has no body, and then that the reader left."""
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the next part when it may be taken."""
        await self.may_take.acquire()
        self.taken.append(message.get("body", b""))
        self._news.set()
        self._news = anyio.Event()

    async def has_seen(self, text: bytes) -> None:
        """Return once a part with that text was taken."""
        while not any(text in part for part in self.taken):
            await self._news.wait()


async def streaming(endpoint: FetchEndpoint, reader: Reader) -> None:
    """Serve one stream to a reader."""
    request = Request(reader.scope, reader.receive)
    answer = await endpoint.fetch(request)
    await answer(reader.scope, reader.receive, reader.send)


@pytest.mark.anyio
async def test_the_next_stretch_waits_until_the_last_was_taken() -> None:
    """However slow a reader is, no more than one stretch is worked out ahead."""
    engine = filled()
    queue = QueryQueue(engine)
    reader = Reader()
    async with anyio.create_task_group() as group:
        group.start_soon(streaming, FetchEndpoint(engine, queue), reader)
        for taken in range(1, 5):
            reader.may_take.release()
            while len(reader.taken) < taken:
                await anyio.lowlevel.checkpoint()
            assert queue.stats().light <= taken
        for _ in range(10):
            reader.may_take.release()
    assert decoded(b"".join(reader.taken))[-1] == {"type": "close"}


@pytest.mark.anyio
async def test_a_reader_who_leaves_ends_the_stream() -> None:
    """Nothing is worked out for nobody, and the place is free again."""
    engine = filled()
    endpoint = FetchEndpoint(engine, QueryQueue(engine))
    reader = Reader()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(streaming, endpoint, reader)
            reader.may_take.release()
            while not reader.taken:
                await anyio.lowlevel.checkpoint()
            reader.has_left.set()
            reader.may_take.release()
    assert endpoint._open == {}


@pytest.mark.anyio
async def test_streams_are_bounded_for_each_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than allowed is told to come back later."""
    monkeypatch.setattr(fetch, "MOST_STREAMS_EACH", 1)
    engine = filled()
    endpoint = FetchEndpoint(engine, QueryQueue(engine))
    first, second = Reader(), Reader()
    async with anyio.create_task_group() as group:
        group.start_soon(streaming, endpoint, first)
        first.may_take.release()
        while not endpoint._open:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(Exception, match="1 streams are open, 1 of them yours"):
            await endpoint.fetch(Request(second.scope, second.receive))
        first.has_left.set()
        first.may_take.release()


@pytest.mark.anyio
async def test_a_silent_stream_has_a_heartbeat() -> None:
    """While a stretch takes its time the reader is told that somebody is there."""
    engine = filled()
    queue = QueryQueue(engine)
    endpoint = FetchEndpoint(engine, queue, heartbeat_s=0.01)
    release = anyio.Event()
    reader = Reader()

    async def slow(*given: Any, **named: Any) -> bytes:
        await release.wait()
        return await QueryQueue.run(queue, *given, **named)

    queue.run = slow  # type: ignore[assignment,method-assign]  # the same, held back a moment
    async with anyio.create_task_group() as group:
        group.start_soon(streaming, endpoint, reader)
        for _ in range(20):
            reader.may_take.release()
        with anyio.fail_after(30):
            await reader.has_seen(b"heartbeat")
        release.set()
        for _ in range(2000):
            reader.may_take.release()
    assert decoded(b"".join(reader.taken))[-1] == {"type": "close"}


@pytest.mark.anyio
async def test_a_stream_of_events_is_closed_wherever_it_is() -> None:
    """A generator of events that waits is told when the reader leaves."""
    reader = Reader()
    closed = anyio.Event()

    async def forever() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            await anyio.sleep_forever()
        finally:
            closed.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            stream = EventStream(forever())
            group.start_soon(stream, reader.scope, reader.receive, reader.send)
            for _ in range(3):
                reader.may_take.release()
            while len(reader.taken) < 2:
                await anyio.lowlevel.checkpoint()
            reader.has_left.set()
    assert closed.is_set()
