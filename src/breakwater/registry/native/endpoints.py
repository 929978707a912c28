"""Our own view over HTTP.

GET  /api/v1/registry/instances    ?revision=&wait_s=&service=, an InstanceView
GET  /api/v1/registry/changes      ?revision=&wait_s=&service=, a ViewChange
GET  /api/v1/registry/events       ?service=, the same as server-sent events
POST /api/v1/registry/evidence     a CallerReport; 202
GET  /api/v1/registry/prometheus   ?service=&status=all, targets as Prometheus reads them
GET  /api/v1/registry/instances/{service}/{instance_id}   all that is known of one instance

A revision belongs to the server that gave it; another answers it with everything.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.model import CallerReport
from breakwater.registry.errors import InvalidEvidenceError
from breakwater.registry.judging.judge import Judge
from breakwater.registry.native.prometheus import targets
from breakwater.registry.native.record import Recorder
from breakwater.registry.native.view import NativeView
from breakwater.registry.refusals import status_of
from breakwater.registry.settings import RegistrySettings
from breakwater.web import (
    EventStream,
    UnusableParameterError,
    answering_errors,
    bounded_body,
    json_answer,
    number,
    whole_number,
)

BASE: Final = "/api/v1/registry"
MAX_REPORT_BYTES: Final = 1 << 20
MAX_CALLER_CHARS: Final = 512
"""Of the names of a caller: many reports are kept, each under them."""

_HEADERS: Final = {"cache-control": "no-store"}
_decode_report: Final = msgspec.json.Decoder(CallerReport).decode


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """How many instances of a report are registered here, and how many are not."""

    taken: int
    unknown: int


class NativeEndpoints:
    """What our own SDK and command line read."""

    def __init__(
        self, view: NativeView, judge: Judge, recorder: Recorder, settings: RegistrySettings
    ) -> None:
        self._view = view
        self._judge = judge
        self._recorder = recorder
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """Every route of our own."""
        table = [
            ("GET", f"{BASE}/instances", self.instances),
            ("GET", f"{BASE}/changes", self.changes),
            ("GET", f"{BASE}/events", self.events),
            ("POST", f"{BASE}/evidence", self.evidence),
            ("GET", f"{BASE}/prometheus", self.prometheus),
            ("GET", f"{BASE}/instances/{{service}}/{{instance_id:path}}", self.record),
        ]
        return [
            Route(path, answering_errors(act, status_of), methods=[method])
            for method, path, act in table
        ]

    async def instances(self, request: Request) -> Response:
        """The instances, at once or when they have changed."""
        _, service = await self._waited(request)
        return _json(self._view.encoded_view(service))

    async def changes(self, request: Request) -> Response:
        """What changed since a revision, at once or when something does."""
        revision, service = await self._waited(request)
        return _json(self._view.encoded_change(revision, service))

    async def events(self, request: Request) -> Response:
        """The whole, or what was missed since the last event, and then every change."""
        revision = _last_event(request)
        self._view.check_place()
        return EventStream(self._view.follow(revision, _service(request)))

    async def evidence(self, request: Request) -> Response:
        """Take in what a caller saw."""
        body = await bounded_body(request, MAX_REPORT_BYTES)
        try:
            report = _decode_report(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidEvidenceError(f"the body is not a CallerReport: {error}") from None
        most = self._settings.max_callees
        if len(report.callees) > most:
            raise InvalidEvidenceError(
                f"the report tells of {len(report.callees)} instances; at most {most} are taken"
            )
        if max(len(report.caller.service), len(report.caller.instance_id)) > MAX_CALLER_CHARS:
            raise InvalidEvidenceError(
                f"service and id of the caller may have {MAX_CALLER_CHARS} characters at most"
            )
        known = self._judge.take(report)
        return json_answer(Taken(taken=known, unknown=len(report.callees) - known), 202)

    async def prometheus(self, request: Request) -> Response:
        """The instances as targets."""
        status = request.query_params.get("status", "up").lower()
        if status not in {"up", "all"}:
            raise UnusableParameterError(
                f"the parameter 'status' is '{status[:40]}', must be up or all"
            )
        view = self._view.view(_service(request))
        return json_answer(targets(view.instances, is_every_status=status == "all"))

    async def record(self, request: Request) -> Response:
        """All that is known of one instance."""
        params = request.path_params
        return json_answer(self._recorder.record(params["service"], params["instance_id"]))

    async def _waited(self, request: Request) -> tuple[int | None, str | None]:
        """The revision and the service asked for, once it is time to answer."""
        revision, service = whole_number(request, "revision", None), _service(request)
        await self._view.wait_news(revision, number(request, "wait_s", 0.0, lowest=0), service)
        return revision, service


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers=_HEADERS)


def _service(request: Request) -> str | None:
    return request.query_params.get("service") or None


def _last_event(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
