"""The routes of chaos: start, list and undo faults, and the rules that services poll."""

from typing import Final

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
from breakwater.chaos.fault import ChaosKind, Fault, FaultRequest, Plan
from breakwater.chaos.injector import Chaos
from breakwater.model import CALL_POINTS, BreakwaterError, FaultRules, InvalidInputError
from breakwater.web import (
    JSON,
    BodyTooLargeError,
    Operation,
    Parameter,
    answering_errors,
    bounded_body,
    error_answer,
    flag,
    json_answer,
    number,
    ok,
    path_parameter,
    poll_parameters,
    whole_number,
)

_MAX_BODY_BYTES: Final = 64 << 10
_DEFAULT_WAIT_S: Final = 0.0
_STATUS: Final[tuple[tuple[type[BreakwaterError], int], ...]] = (
    (UnknownTargetError, 404),
    (UnknownFaultError, 404),
    (BodyTooLargeError, 413),
    (InvalidInputError, 400),
    (LeashedError, 403),
    (BlastRadiusError, 403),
    (VictimError, 409),
    (TooManyWaitersError, 503),
    (BreakwaterError, 503),
)
_decode = msgspec.json.Decoder(FaultRequest).decode


def routes(chaos: Chaos) -> list[BaseRoute]:
    """The routes under /api/v1/chaos (for the role `chaos`) and /api/v1/faults (for services).

    POST /api/v1/chaos/faults[?dry_run=true] · GET /api/v1/chaos/faults[?active=true] ·
    GET, DELETE /api/v1/chaos/faults/{id} · DELETE /api/v1/chaos/faults ·
    GET /api/v1/faults/rules?service=&instance=&revision=&wait_s=
    """
    faults = _FaultEndpoints(chaos)
    table = [
        ("POST", "/api/v1/chaos/faults", faults.start),
        ("GET", "/api/v1/chaos/faults", faults.show_all),
        ("DELETE", "/api/v1/chaos/faults", faults.undo_all),
        ("GET", "/api/v1/chaos/faults/{id}", faults.show),
        ("DELETE", "/api/v1/chaos/faults/{id}", faults.undo),
        ("GET", "/api/v1/faults/rules", faults.rules),
    ]
    return [
        Route(path, answering_errors(act, _status_of), methods=[method])
        for method, path, act in table
    ]


def operations() -> list[Operation]:
    """The same routes in words."""
    return [*_fault_operations(), *_rule_operations()]


def _fault_operations() -> list[Operation]:
    one = path_parameter("id", "the id of the fault")
    faults, fault = "/api/v1/chaos/faults", "/api/v1/chaos/faults/{id}"
    return [
        Operation(
            method="POST",
            path=faults,
            summary="Start a fault, or show what it would touch",
            tag="chaos",
            parameters=(
                Parameter(name="dry_run", summary="only show what it would touch", type=bool),
            ),
            body=FaultRequest,
            body_media=(JSON,),
            replies=(ok(Fault, "in force", status=201), ok(Plan, "what a dry run would touch")),
            refusals=(400, 403, 404, 409, 413),
        ),
        Operation(
            method="GET",
            path=faults,
            summary="List running faults and those that ended lately",
            tag="chaos",
            parameters=(Parameter(name="active", summary="only running ones", type=bool),),
            replies=(ok(FaultList, "the faults"),),
        ),
        Operation(
            method="DELETE",
            path=faults,
            summary="Undo every fault now",
            tag="chaos",
            replies=(ok(UndoneList, "those that ended"),),
            refusals=(),
        ),
        Operation(
            method="GET",
            path=fault,
            summary="Show one fault",
            tag="chaos",
            parameters=(one,),
            replies=(ok(Fault, "the fault"),),
            refusals=(404,),
        ),
        Operation(
            method="DELETE",
            path=fault,
            summary="Undo one fault now",
            tag="chaos",
            parameters=(one,),
            replies=(ok(Fault, "the fault that ended"),),
            refusals=(404,),
        ),
    ]


def _rule_operations() -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/api/v1/faults/rules",
            summary="The fault rules of a service, at once or when they change",
            tag="chaos",
            parameters=poll_parameters(),
            replies=(ok(FaultRules, "the rules and their revision"),),
        )
    ]


class FaultList(msgspec.Struct, frozen=True):
    """Running faults and the last that ended; `leashed` says that none may be started."""

    leashed: bool
    faults: list[Fault]


class UndoneList(msgspec.Struct, frozen=True):
    """The faults that were undone together."""

    undone: list[Fault]


class _FaultEndpoints:
    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos

    async def start(self, request: Request) -> Response:
        wanted = _parse(await bounded_body(request, _MAX_BODY_BYTES))
        if flag(request, "dry_run"):
            return json_answer(self._chaos.preview(wanted))
        try:
            return json_answer(await self._chaos.inject(wanted), 201)
        except LeashedError as error:
            return error_answer(_status_of(error), str(error), plan=error.plan)

    async def show_all(self, request: Request) -> Response:
        faults = self._chaos.faults(active_only=flag(request, "active"))
        return json_answer(FaultList(self._chaos.stats().leashed, faults))

    async def show(self, request: Request) -> Response:
        return json_answer(self._chaos.find(request.path_params["id"]))

    async def undo(self, request: Request) -> Response:
        return json_answer(await self._chaos.undo(request.path_params["id"]))

    async def undo_all(self, _request: Request) -> Response:
        return json_answer(UndoneList(await self._chaos.undo_all()))

    async def rules(self, request: Request) -> Response:
        query = request.query_params
        service = query.get("service", "")
        if not service:
            raise InvalidFaultError("the query parameter 'service' is missing")
        revision = whole_number(request, "revision", -1)
        wait_s = number(request, "wait_s", _DEFAULT_WAIT_S, lowest=0)
        instance = query.get("instance") or None
        return json_answer(await self._chaos.wait_rules(service, instance, revision, wait_s))


def _status_of(error: BreakwaterError) -> int:
    return next(code for kind, code in _STATUS if isinstance(error, kind))


def _parse(body: bytes) -> FaultRequest:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidFaultError(f"{error}; {_allowed(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidFaultError(f"the body is not JSON: {error}") from error


def _allowed(reason: str) -> str:
    if "$.kind" in reason or "`kind`" in reason:
        return f"kinds: {', '.join(kind.value for kind in ChaosKind)}"
    if "$.point" in reason:
        return f"points: {', '.join(CALL_POINTS)}"
    return f"fields: {', '.join(FaultRequest.__struct_fields__)}"
