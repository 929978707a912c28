"""player: the audience. Draws people, lets them live against the fleet, counts what they got.

Its port is a control: `GET /load` tells what is achieved, `POST /load {"rps": 90}` changes the
target within the time one person stays (some ten seconds), without a restart.
"""

import random
from collections.abc import Sequence
from typing import Final, Literal

import anyio
import msgspec
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.model import UnavailableError
from breakwater.reference.accounts import Accounts
from breakwater.reference.answers import Json, body, record
from breakwater.reference.application import Background, World
from breakwater.reference.arrivals import Arrivals, check_rps
from breakwater.reference.edges import MAX_PEOPLE, client_of
from breakwater.reference.people import EDGE_REQUESTS_PER_PERSON, Script, Stream, draw_script, live
from breakwater.reference.segments import SegmentName
from breakwater.reference.services.gateway import Home, PlayOrder, StreamReport
from breakwater.reference.services.playback import PlayAnswer
from breakwater.reference.steering import Ranked, SteeringAnswer
from breakwater.reference.throughput import Rate
from breakwater.sdk import CallError, Criticality, Reply, Service

ZONES: Final = ("a", "b")
CRITICALITY: Final = {
    "home": Criticality.SHEDDABLE_PLUS,
    "play": Criticality.CRITICAL,
    "started": Criticality.CRITICAL_PLUS,
    "heartbeat": Criticality.SHEDDABLE,
    "stop": Criticality.SHEDDABLE,
}
"""What is lost when the edge refuses it: a start under way most of all; a heartbeat is said again,
and a stream that nobody stops expires."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the player."""

    rps: float


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the player achieves; rates are means over the last ten seconds.

    edge_rps: edge requests that ended, well or badly; errors: those that ended badly, ever.
    sps: stream starts. people: how many are here now; turned_away: arrivals over the limit.
    wanted: people who came to watch, ever; unserved: those of them who got no stream.
    """

    target_rps: float
    edge_rps: float
    errors_per_s: float
    sps: float
    segments_per_s: float
    segment_errors_per_s: float
    people: int
    requests: int
    errors: int
    starts: int
    turned_away: int
    wanted: int
    unserved: int
    segments: int
    segment_errors: int


class FleetTheatre:
    """Performs scripts against the fleet over HTTP, and counts."""

    def __init__(self, service: Service, world: World) -> None:
        self._accounts = Accounts(world.seed)
        self._gateway = client_of(service, "gateway")
        self._cdn = client_of(service, "cdn")
        self._wanted = {
            got: service.counter("stream.wanted", result="success" if got else "failure")
            for got in (True, False)
        }
        self.came = self.served = 0
        self.requests = Rate(world.clock)
        self.errors = Rate(world.clock)
        self.starts = Rate(world.clock)
        self.segments = Rate(world.clock)
        self.segment_errors = Rate(world.clock)

    async def home(self, script: Script) -> list[list[str]]:
        """Ask for a page; its shelves as title ids, none when it failed."""
        try:
            reply = await self._gateway.get(
                "/v1/home",
                endpoint="home",
                headers=self._headers(script),
                criticality=CRITICALITY["home"],
            )
            page = record(reply, Home)
        except UnavailableError:
            self._count(well=False)
            return []
        self._count(well=True)
        return [[card.id for card in shelf.titles] for shelf in page.shelves]

    async def play(self, script: Script, title: str) -> PlayAnswer | None:
        """Ask for a stream."""
        order = PlayOrder(title=title, zone=script.zone, format=script.format)
        reply = await self._post(script, "/v1/play", "play", order)
        return None if reply is None else record(reply, PlayAnswer)

    async def fetch(self, segment: SegmentName, appliance: Ranked) -> bool:
        """Fetch from that appliance and no other."""
        try:
            reply = await self._cdn.get(
                segment.path, endpoint="segment", instance=appliance.instance
            )
        except CallError:
            self.segment_errors.add()
            return False
        self.segments.add()
        return bool(reply.body)

    async def report(
        self, script: Script, stream: Stream, kind: Literal["started", "heartbeat", "stop"]
    ) -> SteeringAnswer | None:
        """Tell the edge how the stream is doing."""
        told = StreamReport(
            title=stream.title,
            position_s=stream.position_s,
            zone=script.zone,
            licence=stream.licence if kind == "started" else "",
            failed=tuple(sorted(stream.failed)),
            result="success" if stream.has_started else "failure",
        )
        path = f"/v1/sessions/{stream.session}/{kind}"
        reply = await self._post(script, path, kind, told)
        if reply is None:
            return None
        if kind == "started" and stream.has_started:
            self.starts.add()
        return record(reply, SteeringAnswer) if kind == "heartbeat" else SteeringAnswer()

    def wanted(self, *, got: bool) -> None:
        """Count somebody who came to watch, by what came of it."""
        self._wanted[got].increment()
        self.came += 1
        self.served += got

    async def _post(
        self, script: Script, path: str, endpoint: str, told: msgspec.Struct
    ) -> Reply | None:
        try:
            reply = await self._gateway.post(
                path,
                json=told,
                endpoint=endpoint,
                headers=self._headers(script),
                criticality=CRITICALITY[endpoint],
            )
        except CallError:
            self._count(well=False)
            return None
        self._count(well=True)
        return reply

    def _headers(self, script: Script) -> dict[str, str]:
        return {"authorization": f"Bearer {self._accounts.token(script.account, script.device)}"}

    def _count(self, *, well: bool) -> None:
        self.requests.add()
        if not well:
            self.errors.add()


class PlayerService:
    """The audience as a service of its own, so that the edges from it are recorded too."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._accounts = Accounts(world.seed)
        self._random = random.Random(f"{world.seed}:people")  # noqa: S311 - generated people
        self._theatre = FleetTheatre(service, world)
        self._target_rps = check_rps(world.rps)
        self._arrivals = Arrivals(self._random, world.clock, self._people_per_s())
        self._here: set[str] = set()
        self._turned_away = 0
        self._changed = anyio.Event()

    def routes(self) -> Sequence[Route]:
        """load: read or set the target."""
        return (
            Route("/load", self._get_load, name="load"),
            Route("/load", self._set_load, name="set_load", methods=["POST"]),
        )

    def background(self) -> Sequence[Background]:
        """The arrivals."""
        return (Background(action=self._receive_people),)

    def stats(self) -> LoadReport:
        """What the player achieves."""
        theatre = self._theatre
        return LoadReport(
            target_rps=self._target_rps,
            edge_rps=round(theatre.requests.per_second(), 2),
            errors_per_s=round(theatre.errors.per_second(), 2),
            sps=round(theatre.starts.per_second(), 2),
            segments_per_s=round(theatre.segments.per_second(), 2),
            segment_errors_per_s=round(theatre.segment_errors.per_second(), 2),
            people=len(self._here),
            requests=int(theatre.requests.total),
            errors=int(theatre.errors.total),
            starts=int(theatre.starts.total),
            turned_away=self._turned_away,
            wanted=theatre.came,
            unserved=theatre.came - theatre.served,
            segments=int(theatre.segments.total),
            segment_errors=int(theatre.segment_errors.total),
        )

    async def _get_load(self, request: Request) -> Response:  # noqa: ARG002 - ASGI shape
        return Json(self.stats())

    async def _set_load(self, request: Request) -> Response:
        self._target_rps = check_rps((await body(request, Load)).rps)
        self._arrivals.set_rate(self._people_per_s())
        self._changed.set()
        return Json(self.stats())

    def _sees_fleet(self) -> bool:
        return bool(self._service.instances("gateway") and self._service.instances("cdn"))

    def _people_per_s(self) -> float:
        return self._target_rps / EDGE_REQUESTS_PER_PERSON

    async def _receive_people(self) -> None:
        while not self._sees_fleet():  # noqa: ASYNC110 - a view is looked at, it raises no event
            await anyio.sleep(0.1)
        self._arrivals.set_rate(self._people_per_s())
        async with anyio.create_task_group() as people:
            while True:
                for _ in range(self._arrivals.due()):
                    self._admit(people)
                self._changed = anyio.Event()
                with anyio.move_on_after(min(1.0, self._arrivals.wait_s())):
                    await self._changed.wait()

    def _admit(self, people: TaskGroup) -> None:
        account = self._free_account()
        if account is None:
            self._turned_away += 1
            return
        self._here.add(account)
        people.start_soon(self._person, draw_script(self._random, account, ZONES))

    def _free_account(self) -> str | None:
        """An account with a plan that nobody uses now; None when there are too many people."""
        if len(self._here) >= MAX_PEOPLE:
            return None
        for _ in range(20):
            account = f"a{self._random.randint(1, self._accounts.count)}"
            if account not in self._here and self._accounts.account(account).is_active:
                return account
        return None

    async def _person(self, script: Script) -> None:
        try:
            await live(script, self._theatre)
        except UnavailableError:
            # An answer that cannot be read ends this person's evening, not the audience.
            self._theatre.errors.add()
        finally:
            self._here.discard(script.account)
