"""The journal over HTTP.

POST  /api/v1/changes            write one down; 201 and the change with its number
GET   /api/v1/changes            ?start=&end=&kind=&target=&limit=, times in milliseconds
GET   /api/v1/changes/{id}       one change
PATCH /api/v1/changes/{id}       {"end_ms": N} gives it its end; without a body it ends now
POST  /api/v1/changes/{id}/end   the same
"""

import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.journal.errors import InvalidChangeError, UnknownChangeError
from breakwater.journal.exchange import ChangeEnd, ChangeList, NewChange
from breakwater.journal.journal import Journal
from breakwater.journal.validity import kind_of
from breakwater.model import BreakwaterError, Change, ChangeKind, InvalidInputError
from breakwater.web import (
    JSON,
    BodyTooLargeError,
    Operation,
    Parameter,
    answering_errors,
    bounded_body,
    json_answer,
    ok,
    path_parameter,
    whole_number,
)

MAX_BODY_BYTES: Final = 65_536
DEFAULT_LIMIT: Final = 1_000

_EARLIEST_MS: Final = 946_684_800_000  # the year 2000; anything before is most likely seconds
_MAX_ID: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}")

_T = TypeVar("_T")


def routes(journal: Journal) -> list[BaseRoute]:
    """Every route of the journal, to be mounted at the root."""
    endpoints = JournalEndpoints(journal)
    table = [
        ("POST", "/api/v1/changes", endpoints.record),
        ("GET", "/api/v1/changes", endpoints.changes),
        ("GET", "/api/v1/changes/{id}", endpoints.change),
        ("PATCH", "/api/v1/changes/{id}", endpoints.close),
        ("POST", "/api/v1/changes/{id}/end", endpoints.close),
    ]
    return [
        Route(path, answering_errors(act, _status_of), methods=[method])
        for method, path, act in table
    ]


def operations() -> list[Operation]:
    """The same routes in words."""
    one = path_parameter("id", "the number of the change")
    ends = [
        Operation(
            method="PATCH" if path.endswith("}") else "POST",
            path=path,
            summary="Give a change its end; now, without a body",
            tag="journal",
            parameters=(one,),
            body=ChangeEnd,
            body_media=(JSON,),
            is_body_required=False,
            replies=(ok(Change, "the change with its end"),),
            refusals=(400, 404, 413),
        )
        for path in ("/api/v1/changes/{id}", "/api/v1/changes/{id}/end")
    ]
    return [
        Operation(
            method="POST",
            path="/api/v1/changes",
            summary="Write a change down",
            tag="journal",
            body=NewChange,
            body_media=(JSON,),
            replies=(ok(Change, "the change with its number", status=201),),
            refusals=(400, 413),
        ),
        Operation(
            method="GET",
            path="/api/v1/changes",
            summary="List the changes of a window, newest first",
            tag="journal",
            parameters=(
                Parameter(name="start", summary="milliseconds since the epoch", type=int),
                Parameter(name="end", summary="milliseconds since the epoch", type=int),
                Parameter(
                    name="kind", summary="only such kinds", type=ChangeKind, is_repeated=True
                ),
                Parameter(name="target", summary="only changes of this target"),
                Parameter(name="limit", summary="how many at most", type=int),
            ),
            replies=(ok(ChangeList, "the changes"),),
        ),
        Operation(
            method="GET",
            path="/api/v1/changes/{id}",
            summary="Show one change",
            tag="journal",
            parameters=(one,),
            replies=(ok(Change, "the change"),),
            refusals=(400, 404),
        ),
        *ends,
    ]


class JournalEndpoints:
    """One method for each route."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def record(self, request: Request) -> Response:
        """Write one change down."""
        told = _decoded(await bounded_body(request, MAX_BODY_BYTES), NewChange)
        for name in ("start_ms", "end_ms"):
            _not_seconds(getattr(told, name), name)
        change = Change(
            kind=kind_of(told.kind),
            target=told.target,
            start_ms=self._journal.now_ms() if told.start_ms is None else told.start_ms,
            end_ms=told.end_ms,
            actor=told.actor,
            source=told.source,
            detail=told.detail,
        )
        return json_answer(await self._journal.record(change), 201)

    async def changes(self, request: Request) -> Response:
        """The changes of a window."""
        query = request.query_params
        limit = whole_number(request, "limit", DEFAULT_LIMIT)
        words = [word for text in query.getlist("kind") for word in text.split(",") if word]
        found = await self._journal.changes(
            whole_number(request, "start", None),
            whole_number(request, "end", None),
            kinds=[kind_of(word) for word in words],
            target=query.get("target") or None,
            limit=limit,
        )
        return json_answer(ChangeList(changes=found, limit_reached=len(found) == limit))

    async def change(self, request: Request) -> Response:
        """One change."""
        return json_answer(await self._journal.change(_number(request)))

    async def close(self, request: Request) -> Response:
        """Give a change its end."""
        body = await bounded_body(request, MAX_BODY_BYTES)
        told = _decoded(body, ChangeEnd) if body.strip() else ChangeEnd()
        _not_seconds(told.end_ms, "end_ms")
        return json_answer(await self._journal.close(_number(request), told.end_ms))


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidChangeError(f"the body is not a change: {error}") from None


def _not_seconds(time_ms: int | None, name: str) -> None:
    if time_ms is not None and 0 < time_ms < _EARLIEST_MS:
        raise InvalidChangeError(
            f"{name} must be milliseconds since 1970; {time_ms} lies before the year 2000 "
            f"(seconds, perhaps?)"
        )


def _number(request: Request) -> int:
    text = request.path_params["id"]
    if not _NUMBER.fullmatch(text):
        raise InvalidChangeError(f"the number of a change is a whole number, not {text[:40]!r}")
    number = int(text)
    if not 0 < number <= _MAX_ID:
        raise UnknownChangeError(f"there is no change {text[:40]}")
    return number


def _status_of(error: BreakwaterError) -> int:
    if isinstance(error, UnknownChangeError):
        return 404
    if isinstance(error, BodyTooLargeError):
        return 413
    return 400 if isinstance(error, InvalidInputError) else 503
