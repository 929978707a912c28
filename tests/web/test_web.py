"""Bodies and answers over ASGI, without a server."""

import json
from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from breakwater.model import BreakwaterError, InvalidInputError
from breakwater.web import (
    BodyTooLargeError,
    answering_errors,
    bounded_body,
    error_answer,
    json_answer,
)


@pytest.fixture
def anyio_backend() -> str:
    """What the platform runs on."""
    return "asyncio"


async def echo(request: Request) -> Response:
    """The length of a body of at most ten bytes."""
    return json_answer({"bytes": len(await bounded_body(request, 10))}, 201)


async def refuse(_request: Request) -> Response:
    """Nothing but a refusal."""
    raise InvalidInputError("mend it")


def status_of(error: BreakwaterError) -> int:
    """As a room would map its errors."""
    return 413 if isinstance(error, BodyTooLargeError) else 400


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the two endpoints."""
    routes = [
        Route("/echo", answering_errors(echo, status_of), methods=["POST"]),
        Route("/refuse", answering_errors(refuse, status_of)),
    ]
    transport = httpx.ASGITransport(app=Router(routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


@pytest.mark.anyio
async def test_a_body_within_the_bound_is_read_whole(client: httpx.AsyncClient) -> None:
    """Up to the last byte allowed."""
    answer = await client.post("/echo", content=b"x" * 10)
    assert (answer.status_code, answer.json()) == (201, {"bytes": 10})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.anyio
async def test_a_body_beyond_the_bound_is_not_read_on() -> None:
    """The reading ends with the part that goes beyond, whatever was announced."""
    parts = iter([b"x" * 6, b"x" * 6, b"never asked for"])

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": next(parts), "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(BodyTooLargeError, match="larger than 10 bytes"):
        await bounded_body(Request(scope, receive), 10)
    assert next(parts) == b"never asked for"


@pytest.mark.anyio
async def test_refusals_have_one_shape(client: httpx.AsyncClient) -> None:
    """The room says which code, the shape is the same everywhere."""
    answer = await client.get("/refuse")
    assert (answer.status_code, answer.json()) == (400, {"type": "error", "message": "mend it"})
    assert (await client.post("/echo", content=b"x" * 11)).status_code == 413


def test_an_error_may_say_more() -> None:
    """Beside type and message, what a program wants to read."""
    told = json.loads(bytes(error_answer(403, "leashed", plan=[1]).body))
    assert told == {"type": "error", "message": "leashed", "plan": [1]}
