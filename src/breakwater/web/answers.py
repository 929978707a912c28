"""Answers in JSON, refusals among them."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from breakwater.model import BreakwaterError

_ENCODER: Final = msgspec.json.Encoder()

Endpoint = Callable[[Request], Awaitable[Response]]


def json_answer(value: object, status: int = 200) -> Response:
    """`value`, whatever msgspec can encode, as JSON."""
    return Response(_ENCODER.encode(value), status, media_type="application/json")


def error_answer(status: int, message: str, **more: object) -> Response:
    """The one shape of every error: type, message, and what else a caller may read."""
    return json_answer({"type": "error", "message": message, **more}, status)


def answering_errors(endpoint: Endpoint, status_of: Callable[[BreakwaterError], int]) -> Endpoint:
    """`endpoint` with every refusal of the room told as a status code and its message."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BreakwaterError as error:
            return error_answer(status_of(error), str(error))

    return answer
