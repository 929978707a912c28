"""playback: everything between pressing play and stopping, put together from four services."""

import random
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, body, record, together
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.entitlements import Licence, LicenceRequest, Presented
from breakwater.reference.manifests import Format, Manifest, write_manifest
from breakwater.reference.placement import owner
from breakwater.reference.services.session import Opened, SessionOpening, SessionReport
from breakwater.reference.steering import SteeringAnswer, static_order
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import CallError, Service

REPORT_TIMEOUT_S: Final = 0.5
"""Longer than opening a session takes, because session in turn waits for features."""


class PlayWish(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to watch what, on what, from which zone, in which format of manifest."""

    account: str
    title: str
    device: str
    title_regions: tuple[str, ...]
    zone: str = ""
    format: Format = "hls"


class PlayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All a player needs to begin."""

    session: str
    resume_s: float
    licence: Licence
    manifest: Manifest
    steering: SteeringAnswer


class PlayReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream is doing. licence is shown with the first report; failed names appliances."""

    account: str
    title: str
    device: str
    position_s: float = 0.0
    zone: str = ""
    licence: str = ""
    failed: tuple[str, ...] = ()


class PlaybackStats(msgspec.Struct, frozen=True, kw_only=True):
    """Since the process began: plays prepared, those that failed, and reports passed on."""

    prepared: int
    failed: int
    reports: int


class PlaybackService:
    """Opens a session, then asks manifest, licence and steering side by side."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._session = client_of(service, "session")
        self._manifest = client_of(service, "manifest")
        self._licence = client_of(service, "licence")
        self._steering = client_of(service, "steering")
        self._shipped = Library(generate_titles(world.seed))
        self._clock = world.clock
        seed = f"{world.seed}:{world.instance}:{world.clock.now_ms()}"
        self._random = random.Random(seed)  # noqa: S311 - a session id is a name, not a secret
        self._prepared = self._failed = self._reports = 0

    def routes(self) -> Sequence[Route]:
        """play: prepare a stream. started, heartbeat, stop: how it goes on."""
        return (
            Route("/v1/plays", self._play, name="play", methods=["POST"]),
            Route("/v1/plays/{session}/started", self._started, name="started", methods=["POST"]),
            Route(
                "/v1/plays/{session}/heartbeat",
                self._heartbeat,
                name="heartbeat",
                methods=["POST"],
            ),
            Route("/v1/plays/{session}/stop", self._stop, name="stop", methods=["POST"]),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> PlaybackStats:
        """Plays and reports since the process began."""
        return PlaybackStats(prepared=self._prepared, failed=self._failed, reports=self._reports)

    async def _play(self, request: Request) -> Response:
        wish = await body(request, PlayWish)
        session = f"s{self._clock.now_ms():x}-{self._random.getrandbits(48):012x}"
        opened = await self._open(session, wish)
        try:
            licence, manifest, steering = await together(
                self._grant(session, wish),
                self._describe(wish),
                self._steer(wish.zone, session, ()),
            )
        except CallError:
            self._failed += 1
            await self._abandon(session, wish)
            raise
        self._prepared += 1
        return Json(
            PlayAnswer(
                session=session,
                resume_s=opened.resume_s,
                licence=licence,
                manifest=manifest,
                steering=steering,
            )
        )

    async def _started(self, request: Request) -> Response:
        session, report = request.path_params["session"], await body(request, PlayReport)
        shown = Presented(token=report.licence, session=session)
        await self._licence.post("/v1/licences/verify", json=shown, endpoint="verify")
        await self._report(session, report, "start")
        return Json({"session": session})

    async def _heartbeat(self, request: Request) -> Response:
        session, report = request.path_params["session"], await body(request, PlayReport)
        _, steering = await together(
            self._report(session, report, "progress"),
            self._steer(report.zone, session, report.failed),
        )
        return Json(steering)

    async def _stop(self, request: Request) -> Response:
        session, report = request.path_params["session"], await body(request, PlayReport)
        await self._report(session, report, "stop")
        return Json({"session": session})

    async def _open(self, session: str, wish: PlayWish) -> Opened:
        opening = SessionOpening(
            session=session, account=wish.account, title=wish.title, device=wish.device
        )
        # No fallback: a stream that is not in the book cannot be counted against the plan.
        reply = await self._session.post(
            "/v1/sessions",
            json=opening,
            endpoint="open",
            instance=self._owner(wish.account),
        )
        return record(reply, Opened)

    async def _grant(self, session: str, wish: PlayWish) -> Licence:
        asked = LicenceRequest(
            account=wish.account,
            session=session,
            title=wish.title,
            device=wish.device,
            title_regions=wish.title_regions,
        )
        reply = await self._licence.post("/v1/licences", json=asked, endpoint="licence")
        return record(reply, Licence)

    async def _describe(self, wish: PlayWish) -> Manifest:

        def shipped(error: CallError) -> object:
            title = self._shipped.shipped(wish.title, error)
            appliances = self._service.instances("cdn")
            return write_manifest(title, wish.format, wish.device, appliances)

        reply = await self._manifest.get(
            f"/v1/titles/{wish.title}/manifest?format={wish.format}&device={wish.device}",
            endpoint="manifest",
            fallback=shipped,
        )
        return record(reply, Manifest)

    async def _steer(self, zone: str, viewer: str, failed: tuple[str, ...]) -> SteeringAnswer:
        def static(error: CallError) -> object:  # noqa: ARG001 - any failure means nearness alone
            return static_order(self._service.instances("cdn"), zone=zone, viewer=viewer)

        reply = await self._steering.get(
            f"/v1/steering?zone={zone}&viewer={viewer}&failed={','.join(failed)}",
            endpoint="steering",
            fallback=static,
        )
        return record(reply, SteeringAnswer)

    async def _report(
        self, session: str, report: PlayReport, kind: Literal["start", "progress", "stop"]
    ) -> None:
        told = SessionReport(
            account=report.account,
            title=report.title,
            device=report.device,
            position_s=report.position_s,
            kind=kind,
        )
        await self._session.post(
            f"/v1/sessions/{session}/report",
            json=told,
            endpoint="report",
            instance=self._owner(report.account),
            timeout_s=REPORT_TIMEOUT_S,
            fallback=_unreported,
        )
        self._reports += 1

    async def _abandon(self, session: str, wish: PlayWish) -> None:
        """Take a session that will not play out of the book at once, if that can be done."""
        report = PlayReport(account=wish.account, title=wish.title, device=wish.device)
        await self._report(session, report, "stop")

    def _owner(self, account: str) -> str | None:
        return owner(account, (one.instance_id for one in self._service.instances("session")))


def _unreported(error: CallError) -> object:  # noqa: ARG001 - the reason does not matter
    """The next report says it all again, and a stream nobody stops expires by itself."""
    return {}
