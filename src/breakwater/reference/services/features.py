"""features: what viewers have been doing in the last minutes, as numbers."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, body, number
from breakwater.reference.application import Background, World
from breakwater.reference.errors import MalformedRequestError
from breakwater.reference.features import (
    MAX_EVENTS_PER_POST,
    FeatureStats,
    FeatureStore,
    PlayEvent,
)
from breakwater.sdk import Service


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """How many events were taken in."""

    events: int


class FeatureService:
    """Takes play events and answers with features; each instance keeps its own accounts."""

    def __init__(self, service: Service, world: World) -> None:  # noqa: ARG002 - one shape for all
        self._store = FeatureStore(world.clock)

    def routes(self) -> Sequence[Route]:
        """events: take some in. features: those of one account. trending: of everybody."""
        return (
            Route("/v1/events", self._events, name="events", methods=["POST"]),
            Route("/v1/features/{account}", self._features, name="features"),
            Route("/v1/trending", self._trending, name="trending"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing: features fade when they are read."""
        return ()

    def stats(self) -> FeatureStats:
        """Sizes of the store."""
        return self._store.stats()

    async def _events(self, request: Request) -> Response:
        events = await body(request, list[PlayEvent])
        if len(events) > MAX_EVENTS_PER_POST:
            raise MalformedRequestError(
                f"at most {MAX_EVENTS_PER_POST} events at once, not {len(events)}"
            )
        for event in events:
            self._store.record(event)
        return Json(Taken(events=len(events)))

    async def _features(self, request: Request) -> Response:
        return Json(self._store.features(request.path_params["account"]))

    async def _trending(self, request: Request) -> Response:
        limit = number(request, "limit", 20, highest=500)
        hot = self._store.trending(limit)
        return Json({"trending": hot, "starts": self._store.most_started(limit)})
