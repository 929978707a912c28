"""How services of the fleet speak JSON to each other, and how errors become HTTP answers.

A failing dependency keeps its class on the way up (a timeout stays 504, a refusal stays 503, an
error stays 500), so that every hop tells the same story and none adds its own.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar, overload

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from breakwater.model import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    Status,
    UnavailableError,
)
from breakwater.model.calls import CALLERS_FAULT
from breakwater.reference.errors import (
    LicenceRefusedError,
    MalformedRequestError,
    UnauthenticatedError,
    UnknownItemError,
)
from breakwater.sdk import CallError, CallFailedError, Reply

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
_ENCODER: Final = msgspec.json.Encoder()
_CODES: Final = (
    (UnauthenticatedError, 401),
    (LicenceRefusedError, 403),
    (UnknownItemError, 404),
    (InvalidInputError, 400),
    (LimitExceededError, 503),
    (UnavailableError, 503),
)
_CODE_OF_STATUS: Final = {
    Status.UNEXPECTED_ERROR: 500,
    Status.CONNECTION_ERROR: 502,
    Status.TIMEOUT: 504,
}


class Json(Response):
    """An answer in JSON; takes whatever msgspec can write."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The body's bytes."""
        return _ENCODER.encode(content)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a service answers it; `reason` is a stable word where there is one."""

    message: str
    reason: str = ""
    type: str = "error"


async def body(request: Request, kind: type[T]) -> T:
    """The request's JSON body as a record; raises MalformedRequestError."""
    raw = await request.body()
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise MalformedRequestError(
            f"the body is no {getattr(kind, '__name__', kind)}: {error}"
        ) from error


def record(reply: Reply, kind: type[T]) -> T:
    """An answer of another service as a record, a fallback's as it is; raises UnavailableError."""
    try:
        return reply.json(kind)
    except msgspec.MsgspecError as error:
        name = getattr(kind, "__name__", str(kind))
        raise UnavailableError(f"{reply.instance} answered with no {name}: {error}") from error


def number(request: Request, name: str, default: int, *, highest: int) -> int:
    """A whole number from 1 to `highest` out of the query; raises MalformedRequestError."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text[:9]) <= highest:
        raise MalformedRequestError(f"'{name}' must be a number from 1 to {highest}")
    return int(text)


def is_refusal(error: Exception) -> bool:
    """Whether the callee said no to this request, which no fallback may turn into a yes."""
    return isinstance(error, CallFailedError) and error.status in CALLERS_FAULT


def code_of(error: BreakwaterError) -> int:
    """The HTTP status a raised error is answered with."""
    if isinstance(error, CallError):
        if isinstance(error, CallFailedError) and is_refusal(error) and error.code:
            return error.code
        return _CODE_OF_STATUS.get(error.status, 503)
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


async def answer_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - ASGI shape
    """The HTTP answer for an error raised on purpose; a callee's refusal is passed on as it was."""
    assert isinstance(error, BreakwaterError)
    code = code_of(error)
    if isinstance(error, CallFailedError) and is_refusal(error) and error.body:
        return Response(error.body, status_code=code, media_type="application/json")
    reason = error.reason if isinstance(error, LicenceRefusedError) else ""
    return Json(Problem(message=str(error), reason=reason), status_code=code)


EXCEPTION_HANDLERS: Final[Mapping[Any, ExceptionHandler]] = {BreakwaterError: answer_error}


@overload
async def together(first: Awaitable[A], second: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def together(
    first: Awaitable[A], second: Awaitable[B], third: Awaitable[C], /
) -> tuple[A, B, C]: ...
@overload
async def together(
    first: Awaitable[A], second: Awaitable[B], third: Awaitable[C], fourth: Awaitable[D], /
) -> tuple[A, B, C, D]: ...
async def together(*parts: Awaitable[Any]) -> tuple[Any, ...]:
    """Run calls side by side and wait for all; then raise the first error, if any, in their order.

    The others are not cancelled when one fails: they are bounded by their own time limits, and
    cancelling them would record failures of services that did nothing wrong.
    """
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(results)
