"""The HTTP application: every room's routes behind one edge."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.chaos.http import operations as chaos_operations
from breakwater.chaos.http import routes as chaos_routes
from breakwater.guards.http import operations as guard_operations
from breakwater.guards.http import routes as guard_routes
from breakwater.incidents.http import operations as incident_operations
from breakwater.incidents.http import routes as incident_routes
from breakwater.ingest.http import operations as ingest_operations
from breakwater.ingest.http import routes as ingest_routes
from breakwater.journal.http import operations as journal_operations
from breakwater.journal.http import routes as journal_routes
from breakwater.metrics.http import operations as metrics_operations
from breakwater.metrics.http import routes as metrics_routes
from breakwater.registry.http import operations as registry_operations
from breakwater.registry.http import routes as registry_routes
from breakwater.server.auth import Doorkeeper
from breakwater.server.limits import Edge
from breakwater.server.openapi import openapi
from breakwater.server.platform import Platform
from breakwater.server.routing import PathTable
from breakwater.topology.http import operations as topology_operations
from breakwater.topology.http import routes as topology_routes
from breakwater.web import JSON, Operation, Reply, ok


def make_app(platform: Platform, connections_ended: Mapping[str, int]) -> Edge:
    """The application that serves `platform`; `connections_ended` is shown in its statistics."""
    settings = platform.settings

    async def healthcheck(_: Request) -> Response:
        health = platform.health()
        return JSONResponse(health, status_code=200 if all(health.values()) else 500)

    async def stats(_: Request) -> Response:
        body = msgspec.json.encode({"http": edge.stats(), **platform.stats()})
        return Response(body, media_type="application/json")

    async def document(_: Request) -> Response:
        return Response(_document(), media_type="application/json")

    own = [
        Route("/healthcheck", healthcheck, methods=["GET"]),
        Route("/api/v1/stats", stats, methods=["GET"]),
        Route("/api/v1/openapi.json", document, methods=["GET"]),
    ]
    inner = PathTable([*own, *room_routes(platform)])
    edge = Edge(inner, settings.server, Doorkeeper(settings.tokens), connections_ended)
    return edge


@cache
def _document() -> bytes:
    """The OpenAPI document; the same for as long as the process lives."""
    return msgspec.json.encode(openapi(all_operations()))


def all_operations() -> list[Operation]:
    """Every route of the server in words."""
    return [
        *_own_operations(),
        *ingest_operations(),
        *metrics_operations(),
        *registry_operations(),
        *journal_operations(),
        *chaos_operations(),
        *topology_operations(),
        *incident_operations(),
        *guard_operations(),
    ]


def _own_operations() -> list[Operation]:
    unwell = Reply(status=500, summary="some parts do not work", type=dict[str, bool])
    return [
        Operation(
            method="GET",
            path="/healthcheck",
            summary="Which parts work",
            tag="server",
            replies=(ok(dict[str, bool], "all parts work"), unwell),
            refusals=(),
        ),
        Operation(
            method="GET",
            path="/api/v1/stats",
            summary="What every room says about itself",
            tag="server",
            replies=(ok(dict[str, dict[str, Any]], "one record a room"),),
            refusals=(),
        ),
        Operation(
            method="GET",
            path="/api/v1/openapi.json",
            summary="This document",
            tag="server",
            replies=(Reply(status=200, summary="OpenAPI 3.1", media=(JSON,)),),
            refusals=(),
        ),
    ]


def room_routes(platform: Platform) -> list[BaseRoute]:
    """What the rooms answer, each under its own paths."""
    limit = platform.settings.ingest.max_payload_bytes
    clock = platform.clock
    step_ms = platform.settings.metrics.step_ms
    return [
        *ingest_routes(
            platform.publisher,
            platform.remote_writer,
            max_payload_bytes=limit,
            durability=platform.engine,
        ),
        *metrics_routes(platform.engine, platform.queries, platform.journal),
        *registry_routes(platform.directory),
        *journal_routes(platform.journal),
        *chaos_routes(platform.chaos),
        *topology_routes(platform.engine, clock, step_ms=step_ms),
        *incident_routes(platform.triage, platform.watcher),
        *guard_routes(platform.guard_watch, platform.guard_settings),
    ]
