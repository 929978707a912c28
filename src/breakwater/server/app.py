"""The HTTP application: every room's routes behind one edge."""

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router

from breakwater.chaos.http import routes as chaos_routes
from breakwater.incidents.http import routes as incident_routes
from breakwater.ingest.http import routes as ingest_routes
from breakwater.journal.http import routes as journal_routes
from breakwater.metrics.http import routes as metrics_routes
from breakwater.registry.http import routes as registry_routes
from breakwater.server.auth import Doorkeeper
from breakwater.server.limits import Edge
from breakwater.server.platform import Platform
from breakwater.topology.http import routes as topology_routes


def make_app(platform: Platform, connections_ended: Mapping[str, int]) -> Edge:
    """The application that serves `platform`; `connections_ended` is shown in its statistics."""
    settings = platform.settings

    async def healthcheck(_: Request) -> Response:
        health = platform.health()
        return JSONResponse(health, status_code=200 if all(health.values()) else 500)

    async def stats(_: Request) -> Response:
        body = msgspec.json.encode({"http": edge.stats(), **platform.stats()})
        return Response(body, media_type="application/json")

    own = [
        Route("/healthcheck", healthcheck, methods=["GET"]),
        Route("/api/v1/stats", stats, methods=["GET"]),
    ]
    # A bare router: the edge alone turns exceptions into answers.
    inner = Router([*own, *room_routes(platform)], redirect_slashes=False)
    edge = Edge(inner, settings.server, Doorkeeper(settings.tokens), connections_ended)
    return edge


def room_routes(platform: Platform) -> list[BaseRoute]:
    """What the rooms answer, each under its own paths."""
    limit = platform.settings.ingest.max_payload_bytes
    clock = platform.clock
    step_ms = platform.settings.metrics.step_ms
    return [
        *ingest_routes(platform.publisher, max_payload_bytes=limit, durability=platform.engine),
        *metrics_routes(platform.engine),
        *registry_routes(platform.registry),
        *journal_routes(platform.journal),
        *chaos_routes(platform.chaos),
        *topology_routes(platform.engine, clock, step_ms=step_ms),
        *incident_routes(platform.triage, platform.watcher),
    ]
