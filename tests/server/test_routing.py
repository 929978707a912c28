"""Exact paths are found in a table; everything else is as Starlette's router has it."""

from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Scope

from breakwater.server.routing import PathTable

pytestmark = pytest.mark.anyio


def named(name: str) -> Any:
    """An endpoint that answers its name and the parts of the path."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(f"{name} {request.path_params}")

    return endpoint


TABLE = PathTable(
    [
        Route("/a/{key}", named("pattern"), methods=["GET"]),
        Route("/a/b", named("exact"), methods=["GET"]),
        Route("/a/b", named("posted"), methods=["POST"]),
        Route("/deep/{kind}/{key:path}/end", named("ended"), methods=["PUT"]),
        Route("/deep/{kind}/{key:path}", named("whole"), methods=["PUT", "DELETE"]),
        Route("/deep/er/{number:int}", named("deeper"), methods=["PUT"]),
        Route("/deep/er/{word}", named("word"), methods=["GET"]),
    ]
)


async def answered(method: str, path: str) -> list[Message]:
    """The messages of an answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": method, "path": path, "headers": [], "app": None}
    await TABLE(scope, receive, send)
    return sent


async def asked(method: str, path: str) -> str:
    """The text of an answer."""
    sent = await answered(method, path)
    return b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/a/b", "exact {}"),
        ("POST", "/a/b", "posted {}"),
        ("HEAD", "/a/b", "exact {}"),
        ("GET", "/a/c", "pattern {'key': 'c'}"),
        ("PUT", "/deep/x/y/z/end", "ended {'kind': 'x', 'key': 'y/z'}"),
        ("PUT", "/deep/x/y/z", "whole {'kind': 'x', 'key': 'y/z'}"),
        ("PUT", "/deep/er/7", "whole {'kind': 'er', 'key': '7'}"),
        ("DELETE", "/deep/er/7", "whole {'kind': 'er', 'key': '7'}"),
        ("GET", "/deep/er/7", "word {'word': '7'}"),
    ],
)
async def test_exact_paths_come_before_patterns(method: str, path: str, answer: str) -> None:
    """The order of the routes matters among patterns only."""
    assert await asked(method, path) == answer


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/a/b", "GET, HEAD, POST"),
        ("/a/c", "GET, HEAD"),
        ("/deep/er/7", "DELETE, GET, HEAD, PUT"),
    ],
)
async def test_options_tells_the_methods_of_a_path(path: str, allowed: str) -> None:
    """Whoever asks what may be done is told, whether the path is exact or a pattern's."""
    assert (await answered("OPTIONS", path))[0]["headers"] == [(b"allow", allowed.encode())]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/a/b", 405),
        ("GET", "/x", 404),
        ("GET", "/deep/x/y", 405),
        ("OPTIONS", "/x", 404),
        ("GET", "/" * 5_000, 404),
    ],
)
async def test_what_nobody_answers_is_raised(method: str, path: str, status: int) -> None:
    """The edge turns it into an answer."""
    with pytest.raises(HTTPException) as caught:
        await asked(method, path)
    assert caught.value.status_code == status
