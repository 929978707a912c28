"""POST /api/v1/publish: datapoints as JSON, plain or gzip.

Answers 200 with nothing when all were stored, 202 with at most five reasons when some were,
400 when none was or the payload is not one, 413 when it is too large. An answer of 200 or 202 is
given after what was stored is on disk, where there is one; 503 when that cannot be had now.
"""

import anyio.lowlevel
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.ingest.errors import InputError, PayloadTooLargeError
from breakwater.ingest.publish import Publisher, PublishResult
from breakwater.ingest.sink import Durability
from breakwater.model import UnavailableError


class _Failure(msgspec.Struct):
    type: str
    message: str


class _Refusal(msgspec.Struct, rename="camel"):
    type: str
    error_count: int
    message: list[str]


def routes(
    publisher: Publisher,
    *,
    max_payload_bytes: int = 8 << 20,
    durability: Durability | None = None,
) -> list[BaseRoute]:
    """The publish endpoint and its older alias; without `durability` memory is what counts."""

    async def publish(request: Request) -> Response:
        try:
            body = await _read(request, max_payload_bytes)
            if durability is not None:
                durability.check_durable()
            result = await _published(publisher, body, is_gzip=_is_gzip(request))
            if durability is not None and result.accepted:
                await durability.wait_durable()
        except PayloadTooLargeError as error:
            return _json(_Failure("error", str(error)), 413)
        except InputError as error:
            return _json(_Failure("error", str(error)), 400)
        except UnavailableError as error:
            busy = _json(_Failure("error", str(error)), 503)
            busy.headers["retry-after"] = "1"
            return busy
        if not result.refused:
            return Response(status_code=200)
        kind, status = ("partial", 202) if result.accepted else ("error", 400)
        return _json(_Refusal(kind, result.refused, result.messages), status)

    return [
        Route("/api/v1/publish", publish, methods=["POST"]),
        Route("/api/v1/publish-fast", publish, methods=["POST"]),
    ]


async def _published(publisher: Publisher, body: bytes, *, is_gzip: bool) -> PublishResult:
    """What became of the payload; between its turns everybody else has theirs."""
    turns = publisher.turns(body, is_gzip=is_gzip)
    while True:
        try:
            next(turns)
        except StopIteration as done:
            result: PublishResult = done.value
            return result
        await anyio.lowlevel.checkpoint()


def _is_gzip(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return False
    if encoding in ("gzip", "x-gzip"):
        return True
    raise InputError(f"content-encoding '{encoding}' is not supported; allowed: identity, gzip")


async def _read(request: Request, limit: int) -> bytes:
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind == "application/x-jackson-smile":
        raise InputError("Smile payloads are not read yet; send application/json")
    chunks = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise PayloadTooLargeError("the payload", limit)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise InputError("the client went away before the payload was complete") from error
    return b"".join(chunks)


def _json(answer: msgspec.Struct, status: int) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")
