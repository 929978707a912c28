"""The edge of the HTTP application, with tiny applications behind it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from breakwater.incidents import UnknownIncidentError
from breakwater.model import InvalidInputError, LimitExceededError, UnavailableError
from breakwater.server.auth import Doorkeeper
from breakwater.server.limits import Edge
from breakwater.server.settings import ServerSettings

pytestmark = pytest.mark.anyio


def edge_over(app: Callable[..., Any], **settings: Any) -> Edge:
    """An edge without tokens around `app`."""
    return Edge(app, msgspec.structs.replace(ServerSettings(), **settings), Doorkeeper([]))


async def ask(
    edge: Edge,
    *,
    path: str = "/x",
    query: bytes = b"",
    body: tuple[bytes, ...] = (b"",),
    headers: Any = (),
) -> tuple[int, bytes]:
    """One request straight through ASGI; the status and body of the answer."""
    parts = [
        {"type": "http.request", "body": part, "more_body": index + 1 < len(body)}
        for index, part in enumerate(body)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": query,
        "headers": list(headers), "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    await edge(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def raising(error: Exception) -> Callable[..., Any]:
    """An application that fails."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InvalidInputError("step is 7"), 400, "step is 7"),
        (UnknownIncidentError("no incident 9"), 404, "no incident 9"),
        (LimitExceededError("9 lines"), 413, "9 lines"),
        (UnavailableError("disk is full"), 503, "disk is full"),
        (HTTPException(404), 404, "Not Found: POST /x"),
        (HTTPException(418, "short and stout"), 418, "short and stout"),
        (ZeroDivisionError("secret"), 500, "its log says more"),
    ],
)
async def test_every_failure_is_answered(error: Exception, status: int, words: str) -> None:
    """Whatever a room lets through becomes one shape; the inside of a bug is not shown."""
    edge = edge_over(raising(error))
    answered, body = await ask(edge)
    told = json.loads(body)
    assert answered == status
    assert told["type"] == "error"
    assert words in told["message"]
    assert "secret" not in told["message"]
    assert edge.stats().failed == (status == 500)
    assert edge.stats().under_way == 0


async def test_a_failure_after_the_start_sends_no_second_head() -> None:
    """An answer that has begun is not begun again."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("half")(scope, receive, send)
        raise ZeroDivisionError

    assert await ask(edge_over(app)) == (200, b"half")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.mark.parametrize(
    ("body", "status"), [((b"x" * 2000,), 200), ((b"x" * 1001, b"x" * 1000), 413)]
)
async def test_bodies_are_bounded_as_they_come(body: tuple[bytes, ...], status: int) -> None:
    """A body without a length is counted while it is read."""
    edge = edge_over(echo, max_body_bytes=2000)
    assert (await ask(edge, body=body))[0] == status
    assert edge.stats().too_large == (status == 413)


@pytest.mark.parametrize(
    ("length", "status"), [(b"2000", 200), (b"2001", 413), (b"-1", 400), (b"x", 400)]
)
async def test_announced_lengths_are_judged_before_the_body(length: bytes, status: int) -> None:
    """A length beyond the bound, or none at all, is refused unread."""
    edge = edge_over(echo, max_body_bytes=2000)
    assert (await ask(edge, headers=[(b"content-length", length)]))[0] == status


async def test_long_polls_hold_no_place() -> None:
    """A waiting caller does not keep others out, a working one does."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await PlainTextResponse("done")(scope, receive, send)

    edge = edge_over(app, max_requests=1)
    path = "/api/v1/registry/instances"
    poll = asyncio.ensure_future(ask(edge, path=path, query=b"revision=1&wait_s=20"))
    await entered.wait()
    entered.clear()
    work = asyncio.ensure_future(ask(edge))
    await entered.wait()
    assert (await ask(edge))[0] == 503
    leave.set()
    assert (await poll, await work) == ((200, b"done"), (200, b"done"))
    assert edge.stats().overloaded == 1


async def test_a_body_that_stalls_is_given_up() -> None:
    """A caller that stops sending in the middle of a body frees its place."""
    edge = edge_over(echo, body_timeout_s=0.01)
    sent: list[Message] = []
    parts = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": [],
    }  # fmt: skip
    await edge(scope, receive, send)
    assert sent[0]["status"] == 408
    assert edge.stats().under_way == 0


async def test_a_large_answer_is_sent_in_parts() -> None:
    """Between the parts of an answer others have their turn; together they are the answer."""
    body = bytes(range(256)) * 4_000
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await edge_over(large)(scope, receive, send)
    parts = sent[1:]
    assert b"".join(part["body"] for part in parts) == body
    assert [part["more_body"] for part in parts] == [True, True, True, False]


async def test_a_stream_holds_no_place() -> None:
    """However few requests may be under way, streams do not count; their room bounds them."""
    is_open, end = asyncio.Event(), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/api/v2/fetch":
            is_open.set()
            await end.wait()
        await PlainTextResponse("done")(scope, receive, send)

    edge = edge_over(stream, max_requests=1)
    streaming = asyncio.ensure_future(ask(edge, path="/api/v2/fetch"))
    await is_open.wait()
    assert await ask(edge) == (200, b"done")
    end.set()
    assert (await streaming)[0] == 200
