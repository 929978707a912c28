"""session: running streams, resume points and play events.

Each instance keeps the accounts that rendezvous hashing gives it; callers choose it by account.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, body
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.features import PlayEvent
from breakwater.reference.placement import owner
from breakwater.reference.sessions import SessionBook, SessionStats
from breakwater.sdk import CallError, Service


class SessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a player tells of its stream; enough to recreate the session elsewhere."""

    account: str
    title: str
    device: str
    position_s: float = 0.0
    kind: Literal["start", "progress", "stop"] = "progress"


class SessionOpening(msgspec.Struct, frozen=True, kw_only=True):
    """A stream about to begin."""

    session: str
    account: str
    title: str
    device: str


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The stream was noted; where its viewer left off last time."""

    session: str
    resume_s: float


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Live streams of an account that began before the session asked about."""

    earlier: int


class SessionService:
    """A book of streams that forgets those nobody reports on."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._features = client_of(service, "features")
        self._book = SessionBook(world.clock)

    def routes(self) -> Sequence[Route]:
        """open, report and stop a stream; streams and resume points of an account."""
        return (
            Route("/v1/sessions", self._open, name="open", methods=["POST"]),
            Route("/v1/sessions/{session}/report", self._report, name="report", methods=["POST"]),
            Route("/v1/accounts/{account}/streams", self._streams, name="streams"),
            Route("/v1/accounts/{account}/resume", self._resume, name="resume"),
        )

    def background(self) -> Sequence[Background]:
        """Forgets stale sessions each second."""
        return (Background(action=self._expire, interval_s=1.0),)

    def stats(self) -> SessionStats:
        """Sizes and counts of the book."""
        return self._book.stats()

    async def _open(self, request: Request) -> Response:
        asked = await body(request, SessionOpening)
        session = self._book.open(
            asked.session, account=asked.account, title=asked.title, device=asked.device
        )
        return Json(Opened(session=session.id, resume_s=session.position_s))

    async def _report(self, request: Request) -> Response:
        session_id = request.path_params["session"]
        report = await body(request, SessionReport)
        if report.kind == "stop":
            self._book.stop(session_id, position_s=report.position_s)
        else:
            self._book.report(
                session_id,
                account=report.account,
                title=report.title,
                device=report.device,
                position_s=report.position_s,
            )
        await self._tell_features(report)
        return Json({"session": session_id})

    async def _streams(self, request: Request) -> Response:
        session_id = request.query_params.get("session", "")
        earlier = self._book.earlier_streams(request.path_params["account"], session_id)
        return Json(Streams(earlier=earlier))

    async def _resume(self, request: Request) -> Response:
        return Json(self._book.resume_points(request.path_params["account"]))

    async def _tell_features(self, report: SessionReport) -> None:
        event = PlayEvent(account=report.account, title=report.title, kind=report.kind)
        instances = (instance.instance_id for instance in self._service.instances("features"))
        await self._features.post(
            "/v1/events",
            json=[event],
            endpoint="events",
            instance=owner(report.account, instances),
            fallback=_unrecorded,
        )

    async def _expire(self) -> None:
        self._book.expire()


def _unrecorded(error: CallError) -> object:  # noqa: ARG001 - the reason does not matter
    """An event that features could not take is lost: a viewer's taste survives that."""
    return {"events": 0}
