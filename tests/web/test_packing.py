"""Bodies packed as gzip: unpacked whole, within the bound, or refused with what is wrong."""

import gzip
import os

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from breakwater.web import BodyTooLargeError, UnreadableBodyError, gunzipped, unpacked_body

LIMIT = 1_000_000
PACKED = gzip.compress(b"x" * 100)


def test_one_member_is_unpacked() -> None:
    """What was packed comes back."""
    plain = os.urandom(1000)
    assert gunzipped(gzip.compress(plain), 1000) == plain


def test_a_bomb_is_bounded_after_unpacking() -> None:
    """A small body that would become larger than allowed is too large."""
    bomb = gzip.compress(bytes(1_000_001))
    assert len(bomb) < 2_000
    with pytest.raises(BodyTooLargeError, match="larger than 1000000 bytes once unpacked"):
        gunzipped(bomb, LIMIT)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"not gzip at all", PACKED[:-1]],
    ids=["nothing", "a letter", "another", "cut short"],
)
def test_what_is_not_whole_gzip_is_refused(body: bytes) -> None:
    """Half of it is not used."""
    with pytest.raises(UnreadableBodyError, match=r"not gzip|ends too early"):
        gunzipped(body, LIMIT)


@pytest.mark.parametrize("rest", [b"x", PACKED], ids=["a letter", "a second member"])
def test_what_follows_is_not_lost_in_silence(rest: bytes) -> None:
    """A second member, or anything else behind the first one, is refused."""
    with pytest.raises(UnreadableBodyError, match=f"{len(rest)} bytes follow the gzip data"):
        gunzipped(gzip.compress(b"plain") + rest, LIMIT)


@pytest.mark.parametrize(
    ("encoding", "size"), [("gzip", 10), ("X-GZIP", 10), ("gzip", 200_000), ("identity", 10)]
)
def test_a_request_says_how_its_body_is_packed(encoding: str, size: int) -> None:
    """Small ones are unpacked at once, large ones in a thread; no difference is seen."""
    plain = os.urandom(size)

    async def echo(request: Request) -> Response:
        return Response(await unpacked_body(request, LIMIT))

    client = TestClient(Starlette(routes=[Route("/", echo, methods=["POST"])]))
    body = plain if encoding == "identity" else gzip.compress(plain)
    answer = client.post("/", content=body, headers={"content-encoding": encoding})
    assert answer.content == plain


@pytest.mark.anyio
async def test_another_encoding_is_named() -> None:
    """With what is allowed."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"x"}

    scope = {"type": "http", "headers": [(b"content-encoding", b"br")]}
    with pytest.raises(UnreadableBodyError, match="'br' is not supported; allowed: identity, gzip"):
        await unpacked_body(Request(scope, receive), LIMIT)
