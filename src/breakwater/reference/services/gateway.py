"""gateway: the edge. What players call, and where stream starts are counted.

`stream.starts` is the business indicator: success when a player reports its first segment, failure
when a start is refused or breaks, here or on the way to the appliance.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.model import BreakwaterError
from breakwater.reference.accounts import GUEST, Account
from breakwater.reference.answers import Json, body, record, together
from breakwater.reference.application import Background, World
from breakwater.reference.blending import HomeRows, blend
from breakwater.reference.edges import client_of
from breakwater.reference.errors import UnauthenticatedError
from breakwater.reference.features import PlayEvent
from breakwater.reference.lastgood import LastGood
from breakwater.reference.manifests import Format
from breakwater.reference.placement import owner
from breakwater.reference.services.account import Identity
from breakwater.reference.services.catalogue import TitleCard
from breakwater.reference.services.playback import PlayReport, PlayWish
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import CallError, Criticality, Service


class PlayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A player's wish to begin a title."""

    title: str
    zone: str = ""
    format: Format = "hls"


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a player tells of its stream; result is read only when the start is reported."""

    title: str
    position_s: float = 0.0
    zone: str = ""
    licence: str = ""
    failed: tuple[str, ...] = ()
    result: Literal["success", "failure"] = "success"


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """One shelf of a page, ready to show."""

    name: str
    titles: tuple[TitleCard, ...]


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer's page: what to go on with (seconds by title), and shelves."""

    account: str
    resume: dict[str, float]
    shelves: tuple[Shelf, ...]
    cell: str


class GatewayStats(msgspec.Struct, frozen=True, kw_only=True):
    """Stream starts and pages since the process began, and how many titles are known."""

    started: int
    failed: int
    pages: int
    cards: int


class GatewayService:
    """Authenticates, asks the services behind it, and degrades the page rather than refuse it."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._account = client_of(service, "account")
        self._session = client_of(service, "session")
        self._rows = client_of(service, "personalization")
        self._catalogue = client_of(service, "catalogue")
        self._features = client_of(service, "features")
        self._playback = client_of(service, "playback")
        self._manifest = client_of(service, "manifest")
        self._cards: LastGood[TitleCard] = LastGood(2000)
        self._shipped = Library(generate_titles(world.seed))
        self._started = self._failed = self._pages = 0

    def routes(self) -> Sequence[Route]:
        """The edge API."""
        reports = "/v1/sessions/{session}"
        return (
            Route("/v1/home", self._home, name="home"),
            Route("/v1/play", self._play, name="play", methods=["POST"]),
            Route(f"{reports}/started", self._start, name="started", methods=["POST"]),
            Route(f"{reports}/heartbeat", self._heartbeat, name="heartbeat", methods=["POST"]),
            Route(f"{reports}/stop", self._stop, name="stop", methods=["POST"]),
            Route("/v1/titles/{path:path}", self._document, name="document"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> GatewayStats:
        """Stream starts and pages since the process began."""
        return GatewayStats(
            started=self._started,
            failed=self._failed,
            pages=self._pages,
            cards=len(self._cards),
        )

    async def _home(self, request: Request) -> Response:
        account = (await self._identity(request, guest=True)).account
        resume, page, _ = await together(
            self._resume(account), self._page(account), self._impression(account)
        )
        wanted = dict.fromkeys([*resume, *(t for row in page.rows for t in row.titles)])
        cards = await self._describe(tuple(wanted))
        shelves = tuple(
            Shelf(name=row.name, titles=tuple(cards[t] for t in row.titles)) for row in page.rows
        )
        self._pages += 1
        return Json(Home(account=account.id, resume=resume, shelves=shelves, cell=page.cell))

    async def _play(self, request: Request) -> Response:
        order = await body(request, PlayOrder)
        try:
            identity, card = await together(self._identity(request), self._card(order.title))
            wish = PlayWish(
                account=identity.account.id,
                title=order.title,
                device=identity.device,
                title_regions=card.regions,
                zone=order.zone,
                format=order.format,
            )
            reply = await self._playback.post("/v1/plays", json=wish, endpoint="play")
        except (BreakwaterError, asyncio.CancelledError):
            # Cancelled: the player gave up waiting, which is a start that failed too.
            self._count_start("failure")
            raise
        return Response(reply.body, media_type="application/json")

    async def _start(self, request: Request) -> Response:
        report = await body(request, StreamReport)
        if report.result == "failure":
            self._count_start("failure")
            await self._report(request, report, "stop")
            return Json({"counted": "failure"})
        try:
            await self._report(request, report, "started")
        except (BreakwaterError, asyncio.CancelledError):
            self._count_start("failure")
            raise
        self._count_start("success")
        return Json({"counted": "success"})

    async def _heartbeat(self, request: Request) -> Response:
        report = await body(request, StreamReport)
        return Json(await self._report(request, report, "heartbeat"))

    async def _stop(self, request: Request) -> Response:
        report = await body(request, StreamReport)
        return Json(await self._report(request, report, "stop"))

    async def _document(self, request: Request) -> Response:
        """Playlists that a player fetches by the links inside a manifest."""
        query = f"?{request.url.query}" if request.url.query else ""
        path = f"/v1/titles/{request.path_params['path']}{query}"
        reply = await self._manifest.get(path, endpoint="document")
        media_type = "application/dash+xml" if reply.body[:5] == b"<?xml" else None
        return Response(reply.body, media_type=media_type or "application/vnd.apple.mpegurl")

    async def _identity(self, request: Request, *, guest: bool = False) -> Identity:
        """Who is asking; while account is away, who this token was when it last answered."""
        token = request.headers.get("authorization", "")
        if not token:
            raise UnauthenticatedError("send the device's token: authorization: Bearer TOKEN")

        def unknown(error: CallError) -> object:
            if not guest:
                raise error
            return Identity(account=GUEST, device="tv")

        reply = await self._account.get(
            "/v1/identity",
            endpoint="identity",
            headers={"authorization": token},
            fallback=unknown,
        )
        return record(reply, Identity)

    async def _resume(self, account: Account) -> dict[str, float]:
        def nothing(error: CallError) -> object:  # noqa: ARG001 - any failure means none
            return {}

        reply = await self._session.get(
            f"/v1/accounts/{account.id}/resume",
            endpoint="resume",
            instance=self._owner("session", account.id),
            fallback=nothing,
        )
        return record(reply, dict[str, float])

    async def _page(self, account: Account) -> HomeRows:
        def popular(error: CallError) -> object:  # noqa: ARG001 - any failure means popular titles
            found = self._shipped.candidates(region=account.region, rating=account.rating, limit=20)
            return HomeRows(rows=blend([title.id for title in found], {}, {}, {}))

        reply = await self._rows.get(
            f"/v1/rows/{account.id}?region={account.region}&rating={account.rating}",
            endpoint="rows",
            fallback=popular,
        )
        return record(reply, HomeRows)

    async def _impression(self, account: Account) -> None:
        event = PlayEvent(account=account.id, title="home", kind="impression")
        await self._features.post(
            "/v1/events",
            json=[event],
            endpoint="events",
            instance=self._owner("features", account.id),
            fallback=_unrecorded,
            criticality=Criticality.SHEDDABLE,
        )

    async def _describe(self, title_ids: tuple[str, ...]) -> dict[str, TitleCard]:
        """Cards for the ids asked for; a title nobody can describe now shows its bare id."""

        def last_good(error: CallError) -> object:  # noqa: ARG001 - any failure reads the copies
            copies = (self._cards.get(title_id) for title_id in title_ids)
            return [card for card in copies if card is not None]

        reply = await self._catalogue.get(
            f"/v1/titles?ids={','.join(title_ids)}", endpoint="titles", fallback=last_good
        )
        found = {card.id: card for card in record(reply, list[TitleCard])}
        if not reply.from_fallback:
            for card in found.values():
                self._cards.keep(card.id, card)
        return {t: found.get(t) or TitleCard(id=t, name=t) for t in title_ids}

    async def _card(self, title_id: str) -> TitleCard:
        """One title, as it was last described if need be; a start needs to know its regions."""

        def last_good(error: CallError) -> object:
            return self._cards.copy(title_id, error)

        reply = await self._catalogue.get(
            f"/v1/titles/{title_id}", endpoint="title", fallback=last_good
        )
        return self._cards.keep(title_id, record(reply, TitleCard))

    async def _report(
        self, request: Request, report: StreamReport, kind: Literal["started", "heartbeat", "stop"]
    ) -> object:
        """Pass a player's report on; a lost start is an error, later reports are said again."""
        identity = await self._identity(request)
        told = PlayReport(
            account=identity.account.id,
            title=report.title,
            device=identity.device,
            position_s=report.position_s,
            zone=report.zone,
            licence=report.licence,
            failed=report.failed,
        )
        reply = await self._playback.post(
            f"/v1/plays/{request.path_params['session']}/{kind}",
            json=told,
            endpoint=kind,
            fallback=None if kind == "started" else _unreported,
        )
        return reply.json()

    def _owner(self, service: str, account: str) -> str | None:
        return owner(account, (one.instance_id for one in self._service.instances(service)))

    def _count_start(self, result: Literal["success", "failure"]) -> None:
        if result == "success":
            self._started += 1
        else:
            self._failed += 1
        self._service.counter("stream.starts", result=result).increment()


def _unrecorded(error: CallError) -> object:  # noqa: ARG001 - the reason does not matter
    return {"events": 0}


def _unreported(error: CallError) -> object:  # noqa: ARG001 - the next report says it again
    """An empty steering answer: the player keeps the order it has."""
    return {}
