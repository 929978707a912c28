"""steering: which appliance a viewer should fetch from, as an HLS steering manifest."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, record
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.services.cdn import Load
from breakwater.reference.steering import Appliance, Fleetwatch, answer, rank
from breakwater.sdk import CallError, Service

COSTS: Final = {"a": 0.10, "b": 0.12}
POLL_S: Final = 1.0


class SteeringStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of every appliance, and answers given since the process began."""

    answers: int
    appliances: list[Appliance]


class SteeringService:
    """Polls every appliance each second and ranks them for each viewer."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._cdn = client_of(service, "cdn")
        self._watch = Fleetwatch(world.clock, COSTS)
        self._answers = 0

    def routes(self) -> Sequence[Route]:
        """steering: the ranking for one viewer; `failed` names appliances that let it down."""
        return (Route("/v1/steering", self._steering, name="steering"),)

    def background(self) -> Sequence[Background]:
        """Polls the appliances."""
        return (Background(action=self._poll, interval_s=POLL_S),)

    def stats(self) -> SteeringStats:
        """What is known of every appliance."""
        return SteeringStats(answers=self._answers, appliances=self._watch.appliances())

    async def _steering(self, request: Request) -> Response:
        for failed in request.query_params.get("failed", "").split(",")[:8]:
            self._watch.note_reported(failed)
        zone = request.query_params.get("zone", "")
        viewer = request.query_params.get("viewer", "")
        self._answers += 1
        return Json(answer(rank(self._watch.appliances(), zone=zone, viewer=viewer)))

    async def _poll(self) -> None:
        known = self._watch.see(self._service.instances("cdn"))
        await asyncio.gather(*(self._poll_one(appliance) for appliance in known))

    async def _poll_one(self, appliance: str) -> None:
        try:
            reply = await self._cdn.get("/v1/load", endpoint="load", instance=appliance)
        except CallError:
            # A missed poll is not an error of steering's but what it is looking for.
            self._watch.note_missed(appliance)
            return
        self._watch.note_load(appliance, record(reply, Load).load)
