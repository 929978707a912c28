"""The routes of chaos: start, list and undo faults, and the rules that services poll."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.chaos.errors import (
    BlastRadiusError,
    InvalidFaultError,
    LeashedError,
    TooManyWaitersError,
    UnknownFaultError,
    UnknownTargetError,
    VictimError,
)
from breakwater.chaos.fault import ChaosKind, FaultRequest
from breakwater.chaos.injector import Chaos
from breakwater.model import BreakwaterError, InvalidInputError

_MAX_BODY_BYTES: Final = 64 << 10
_DEFAULT_WAIT_S: Final = 0.0
_STATUS: Final[tuple[tuple[type[BreakwaterError], int], ...]] = (
    (UnknownTargetError, 404),
    (UnknownFaultError, 404),
    (InvalidInputError, 400),
    (LeashedError, 403),
    (BlastRadiusError, 403),
    (VictimError, 409),
    (TooManyWaitersError, 503),
    (BreakwaterError, 503),
)
_decode = msgspec.json.Decoder(FaultRequest).decode

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(chaos: Chaos) -> list[BaseRoute]:
    """The routes under /api/v1/chaos (for the role `chaos`) and /api/v1/faults (for services).

    POST /api/v1/chaos/faults[?dry_run=true] · GET /api/v1/chaos/faults[?active=true] ·
    GET, DELETE /api/v1/chaos/faults/{id} · DELETE /api/v1/chaos/faults ·
    GET /api/v1/faults/rules?service=&instance=&revision=&wait_s=
    """
    faults = _FaultEndpoints(chaos)
    return [
        Route("/api/v1/chaos/faults", _guarded(faults.start), methods=["POST"]),
        Route("/api/v1/chaos/faults", _guarded(faults.show_all), methods=["GET"]),
        Route("/api/v1/chaos/faults", _guarded(faults.undo_all), methods=["DELETE"]),
        Route("/api/v1/chaos/faults/{id}", _guarded(faults.show), methods=["GET"]),
        Route("/api/v1/chaos/faults/{id}", _guarded(faults.undo), methods=["DELETE"]),
        Route("/api/v1/faults/rules", _guarded(faults.rules), methods=["GET"]),
    ]


class _FaultEndpoints:
    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos

    async def start(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY_BYTES:
                return _error(413, f"a fault request may have {_MAX_BODY_BYTES} bytes")
        wanted = _parse(body)
        if _flag(request, "dry_run"):
            return _json(self._chaos.preview(wanted))
        return _json(await self._chaos.inject(wanted), status=201)

    async def show_all(self, request: Request) -> Response:
        faults = self._chaos.faults(active_only=_flag(request, "active"))
        return _json({"leashed": self._chaos.stats().leashed, "faults": faults})

    async def show(self, request: Request) -> Response:
        return _json(self._chaos.find(request.path_params["id"]))

    async def undo(self, request: Request) -> Response:
        return _json(await self._chaos.undo(request.path_params["id"]))

    async def undo_all(self, _request: Request) -> Response:
        return _json({"undone": await self._chaos.undo_all()})

    async def rules(self, request: Request) -> Response:
        query = request.query_params
        service = query.get("service", "")
        if not service:
            raise InvalidFaultError("the query parameter 'service' is missing")
        revision = int(_number(request, "revision", -1))
        wait_s = _number(request, "wait_s", _DEFAULT_WAIT_S)
        instance = query.get("instance") or None
        return _json(await self._chaos.wait_rules(service, instance, revision, wait_s))


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except LeashedError as error:
            return _error(403, str(error), plan=error.plan)
        except BreakwaterError as error:
            return _error(
                next(code for kind, code in _STATUS if isinstance(error, kind)), str(error)
            )

    return answer


def _parse(body: bytes) -> FaultRequest:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidFaultError(f"{error}; {_allowed(str(error))}") from error
    except msgspec.DecodeError as error:
        raise InvalidFaultError(f"the body is not JSON: {error}") from error


def _allowed(reason: str) -> str:
    if "$.kind" in reason or "`kind`" in reason:
        return f"kinds: {', '.join(kind.value for kind in ChaosKind)}"
    return f"fields: {', '.join(FaultRequest.__struct_fields__)}"


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "false", "1", "0", ""}:
        raise InvalidFaultError(f"the query parameter '{name}' is '{text}', must be true or false")
    return text in {"true", "1"}


def _number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        number = float(text)
        if abs(number) < 1e15:
            return number
    except ValueError:
        pass
    raise InvalidFaultError(f"the query parameter '{name}' is '{text[:40]}', must be a number")


def _json(value: Any, status: int = 200) -> Response:  # Any: whatever msgspec encodes
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _error(status: int, message: str, **more: Any) -> Response:  # Any: as for _json
    return _json({"type": "error", "message": message, **more}, status)
