"""`/api/v1/triage` and `/api/v1/incidents`: judgements as JSON, HTML and PNG."""

import re
from functools import partial
from typing import Annotated, Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.incidents.pager import Incident
from breakwater.incidents.report import TimelineEntry, html_report, png_report
from breakwater.incidents.triage import Triage, TriageResult
from breakwater.incidents.watcher import Watcher
from breakwater.model import InvalidInputError
from breakwater.topology import CallWindow
from breakwater.web import (
    JSON,
    Operation,
    Parameter,
    json_answer,
    ok,
    path_parameter,
    whole_number,
)

Shape = Literal["json", "html", "png"]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=10**14)]

_FORMATS = ("json", "html", "png")
_LATEST_MS = 10**14 - 1
_NUMBER = re.compile(r"[0-9]{1,9}")


def routes(triage: Triage, watcher: Watcher) -> list[BaseRoute]:
    """The routes of this room; a report of an incident is drawn up to `until`, or up to now."""

    async def triage_now(request: Request) -> Response:
        start_ms = _time(request, "start")
        end_ms = _time(request, "end")
        shape = _format(request)
        judge = partial(triage.judge_now, start_ms=start_ms, end_ms=end_ms)
        result, window = await run_in_threadpool(judge)
        result = await triage.with_changes(result)
        return await run_in_threadpool(_answer, result, window, shape, [])

    async def incident_list(_: Request) -> Response:
        return json_answer(watcher.incidents())

    async def incident_one(request: Request) -> Response:
        found = watcher.incident(_number(request))
        shape = _format(request)
        if shape == "json":
            return json_answer(found)
        judged = found.diagnosis
        observe = partial(
            triage.window,
            start_ms=judged.start_ms,
            end_ms=_time(request, "until"),
        )
        window = await run_in_threadpool(observe)
        result = await triage.with_changes(TriageResult(diagnosis=judged))
        return await run_in_threadpool(_answer, result, window, shape, timeline_of(found))

    return [
        Route("/api/v1/triage", triage_now, methods=["GET"]),
        Route("/api/v1/incidents", incident_list, methods=["GET"]),
        Route("/api/v1/incidents/{id}", incident_one, methods=["GET"]),
    ]


def operations() -> list[Operation]:
    """The same routes in words."""
    shape = Parameter(name="format", summary="of the answer; json by default", type=Shape)
    forms = (JSON, "text/html", "image/png")
    times = [
        Parameter(name=name, summary="milliseconds since the epoch", type=Milliseconds)
        for name in ("start", "end", "until")
    ]
    return [
        Operation(
            method="GET",
            path="/api/v1/triage",
            summary="Judge a window, the last minutes by default: whose fault is it",
            tag="incidents",
            parameters=(*times[:2], shape),
            replies=(ok(TriageResult, "the judgement and its evidence", *forms),),
            refusals=(400, 413),
        ),
        Operation(
            method="GET",
            path="/api/v1/incidents",
            summary="List incidents, open and closed",
            tag="incidents",
            replies=(ok(list[Incident], "the incidents"),),
            refusals=(),
        ),
        Operation(
            method="GET",
            path="/api/v1/incidents/{id}",
            summary="Show one incident, as a report drawn up to `until` or up to now",
            tag="incidents",
            parameters=(
                path_parameter("id", "the number of the incident", int),
                times[2],
                shape,
            ),
            replies=(ok(Incident, "the incident", *forms),),
            refusals=(400, 404, 413),
        ),
    ]


def timeline_of(incident: Incident) -> list[TimelineEntry]:
    """What happened to an incident, in order."""
    judged = incident.diagnosis
    entries = [
        (judged.onset_ms, f"onset of the change in {incident.signal}"),
        (incident.paged_ms, "paged"),
        (incident.named_ms, f"{incident.named} named"),
        (incident.healthy_since_ms, "as good as before the onset again"),
        (incident.closed_ms, "closed"),
    ]
    return [TimelineEntry(at_ms=at, text=text) for at, text in entries if at is not None]


def _answer(
    result: TriageResult, window: CallWindow, shape: str, timeline: list[TimelineEntry]
) -> Response:
    if shape == "html":
        return HTMLResponse(html_report(result, window, timeline=timeline))
    if shape == "png":
        return Response(png_report(result, window), media_type="image/png")
    return json_answer(result)


def _format(request: Request) -> str:
    shape = request.query_params.get("format", "json")
    if shape not in _FORMATS:
        raise InvalidInputError(f"format '{shape}' is unknown; known: {', '.join(_FORMATS)}")
    return shape


def _time(request: Request, name: str) -> int | None:
    return whole_number(request, name, None, lowest=0, highest=_LATEST_MS)


def _number(request: Request) -> int:
    text = str(request.path_params["id"])
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError(f"incident id '{text[:40]}' is not a whole number")
    return int(text)
