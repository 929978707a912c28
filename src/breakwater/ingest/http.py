"""Datapoints over HTTP: our own publish, and Prometheus remote write.

`POST /api/v1/publish`: JSON or Smile, plain or gzip. 200 with nothing when all were stored, 202
with at most five reasons when some were, 400 when none was or the payload is not one.
`POST /api/v1/write`: remote write 1.0. 204 when all were stored, 400 with the reasons when any was
not: the others are stored, and a sender does not try again.
Both: 413 when it is too large, 415 for what is not taken at all. They answer after what was stored
is on disk, where there is one; 503 when that cannot be had now.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.ingest.errors import UnknownFormatError
from breakwater.ingest.intake import Taken
from breakwater.ingest.operations import operations
from breakwater.ingest.publish import Publisher
from breakwater.ingest.remote_write import RemoteWriter
from breakwater.ingest.sink import Durability
from breakwater.model import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)
from breakwater.web import bounded_body, error_answer, json_answer, unpacked_body

__all__ = ["operations", "routes"]

_SMILE: Final = "application/x-jackson-smile"
_PROTOBUF: Final = "application/x-protobuf"
_WRITE_REQUEST: Final = "prometheus.WriteRequest"


class _Refusal(msgspec.Struct, rename="camel"):
    type: str
    error_count: int
    message: list[str]


class _Endpoints:
    """What answers; without `durability` memory is what counts."""

    def __init__(
        self,
        publisher: Publisher,
        remote: RemoteWriter,
        limit_bytes: int,
        durability: Durability | None,
    ) -> None:
        self._publisher = publisher
        self._remote = remote
        self._limit_bytes = limit_bytes
        self._durability = durability

    async def publish(self, request: Request) -> Response:
        """Take datapoints of our own format."""
        is_smile = _media_type(request)[0] == _SMILE
        body = await unpacked_body(request, self._limit_bytes)
        taken = await self._kept(lambda: self._publisher.publish(body, is_smile=is_smile))
        if not taken.refused:
            return Response(status_code=200)
        kind, status = ("partial", 202) if taken.accepted else ("error", 400)
        return json_answer(_Refusal(kind, taken.refused, taken.messages), status)

    async def write(self, request: Request) -> Response:
        """Take samples of Prometheus."""
        _check_remote_write(request)
        body = await bounded_body(request, self._limit_bytes)
        taken = await self._kept(lambda: self._remote.write(body))
        if not taken.refused:
            return Response(status_code=204)
        count = taken.accepted + taken.refused
        reasons = "; ".join(taken.messages)
        message = f"{taken.refused} of {count} samples were refused, the others stored: {reasons}"
        return error_answer(400, message, errorCount=taken.refused)

    async def _kept(self, take: Callable[[], Awaitable[Taken]]) -> Taken:
        """What became of a payload, once what was stored of it would survive."""
        if self._durability is not None:
            self._durability.check_durable()
        taken = await take()
        if self._durability is not None and taken.accepted:
            await self._durability.wait_durable()
        return taken


def routes(
    publisher: Publisher,
    remote: RemoteWriter,
    *,
    max_payload_bytes: int = 8 << 20,
    durability: Durability | None = None,
) -> list[BaseRoute]:
    """Publish and remote write, each with its other name."""
    endpoints = _Endpoints(publisher, remote, max_payload_bytes, durability)
    answers = {
        "/api/v1/publish": endpoints.publish,
        "/api/v1/publish-fast": endpoints.publish,
        "/api/v1/write": endpoints.write,
        "/api/v1/push": endpoints.write,
    }
    return [
        Route(path, _answering(endpoint), methods=["POST"]) for path, endpoint in answers.items()
    ]


def _answering(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BreakwaterError as error:
            status = _status_of(error)
            told = error_answer(status, str(error))
            if status == 503:
                told.headers["retry-after"] = "1"
            return told

    return answer


def _status_of(error: BreakwaterError) -> int:
    if isinstance(error, UnknownFormatError):
        return 415
    if isinstance(error, LimitExceededError):
        return 413
    if isinstance(error, UnavailableError):
        return 503
    assert isinstance(error, InvalidInputError), "every error has one of the three roots"
    return 400


def _media_type(request: Request) -> tuple[str, dict[str, str]]:
    """The content type and its parameters, in lower case but for their values."""
    kind, *rest = request.headers.get("content-type", "").split(";")
    pairs = (part.partition("=") for part in rest)
    return kind.strip().lower(), {key.strip().lower(): value.strip() for key, _, value in pairs}


def _check_remote_write(request: Request) -> None:
    """Raise UnknownFormatError for anything but remote write 1.0."""
    kind, parameters = _media_type(request)
    message = parameters.get("proto", _WRITE_REQUEST).strip('"')
    if kind not in {"", _PROTOBUF} or message != _WRITE_REQUEST:
        raise UnknownFormatError(
            f"content-type '{request.headers['content-type'][:100]}' is not taken; "
            f"allowed: {_PROTOBUF} with {_WRITE_REQUEST}, which is remote write 1.0"
        )
    encoding = request.headers.get("content-encoding", "snappy").strip().lower()
    if encoding != "snappy":
        raise UnknownFormatError(
            f"content-encoding '{encoding[:40]}' is not taken; allowed: snappy"
        )
