"""Pages of other origins, as browsers ask for them."""

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from breakwater.server.auth import Doorkeeper, digest_of
from breakwater.server.limits import Edge
from breakwater.server.settings import ServerSettings, Token

pytestmark = pytest.mark.anyio

OPEN = Doorkeeper([])
GUARDED = Doorkeeper([Token(name="ann", role="viewer", sha256=digest_of("bw_secret"))])
PREFLIGHT = {"access-control-request-method": "GET"}


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An application with one answer."""
    await PlainTextResponse("hello", headers={"vary": "accept"})(scope, receive, send)


async def ask(
    doorkeeper: Doorkeeper, method: str, origin: str | None, **headers: str
) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers of the answer to a page."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"host": "localhost:7101", **headers, **({} if origin is None else {"origin": origin})}
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": "/api/v1/graph", "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode())
                    for name, value in given.items()],
    }  # fmt: skip
    await Edge(hello, ServerSettings(), doorkeeper)(scope, receive, send)
    answered = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], answered


async def test_pages_of_this_machine_may_read() -> None:
    """A page served from another port of this machine reads answers and the headers of ours."""
    status, headers = await ask(OPEN, "GET", "http://localhost:3000")
    told = dict(headers)
    assert status == 200
    assert told["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-breakwater-cost" in told["access-control-expose-headers"]
    assert ("vary", "accept") in headers
    assert ("vary", "origin") in headers
    assert "access-control-allow-credentials" not in told


@pytest.mark.parametrize("origin", ["http://grafana.example", "null", "http://localhost.evil.com"])
async def test_without_tokens_foreign_pages_may_not(origin: str) -> None:
    """A page from elsewhere is refused, and cannot even read the refusal."""
    for method, more in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        status, headers = await ask(OPEN, method, origin, **more)
        assert status == 403
        assert not [name for name, _ in headers if name.startswith("access-control")]


async def test_with_tokens_any_page_that_brings_one_may() -> None:
    """With tokens the token decides, wherever the page comes from; a refusal can be read."""
    origin = "https://grafana.example"
    for token, expected in (("Bearer bw_secret", 200), ("Bearer bw_guess", 401)):
        status, headers = await ask(GUARDED, "GET", origin, authorization=token)
        assert status == expected
        assert dict(headers)["access-control-allow-origin"] == origin


async def test_a_preflight_needs_no_token_and_offers_reading() -> None:
    """Browsers ask before they send a token; they hear that a page may read, no more."""
    status, headers = await ask(GUARDED, "OPTIONS", "https://grafana.example", **PREFLIGHT)
    told = dict(headers)
    assert status == 204
    assert told["access-control-allow-methods"] == "GET, HEAD"
    assert "authorization" in told["access-control-allow-headers"]


async def test_others_hear_nothing_of_it() -> None:
    """A request that no page makes is answered as ever."""
    status, headers = await ask(OPEN, "GET", None)
    assert status == 200
    assert headers == [
        ("vary", "accept"),
        ("content-length", "5"),
        ("content-type", "text/plain; charset=utf-8"),
    ]
    assert (await ask(GUARDED, "OPTIONS", None, **PREFLIGHT))[0] == 401
