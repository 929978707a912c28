"""cdn: an appliance near the viewers; serves segments from memory, fetches what it lacks.

A fill that fails has no fallback here, since bytes cannot be guessed: the player goes on to the
next appliance of its steering answer instead.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json
from breakwater.reference.appliance import CacheStats, SegmentCache
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.segments import parse_segment
from breakwater.reference.throughput import Rate
from breakwater.sdk import Service

CACHE_BYTES: Final = 48 * 1024 * 1024
CAPACITY_BYTES_PER_S: Final = 40_000_000


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How busy the appliance is; `load` is the share of its rated throughput in use."""

    load: float
    bytes_per_s: float
    cache: CacheStats


class CdnService:
    """A least-recently-used cache of segments in front of the origin."""

    def __init__(self, service: Service, world: World) -> None:
        self._origin = client_of(service, "origin")
        self._cache = SegmentCache(CACHE_BYTES, self._fill)
        self._served = Rate(world.clock)

    def routes(self) -> Sequence[Route]:
        """segment: the bytes of one. load: how busy this appliance is."""
        return (
            Route("/v1/segments/{path:path}", self._segment, name="segment"),
            Route("/v1/load", self._load, name="load"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> Load:
        """How busy the appliance is."""
        rate = self._served.per_second()
        return Load(load=rate / CAPACITY_BYTES_PER_S, bytes_per_s=rate, cache=self._cache.stats())

    async def _segment(self, request: Request) -> Response:
        name = parse_segment(request.path_params["path"])
        content, was_here = await self._cache.get(name.path)
        self._served.add(len(content))
        headers = {"x-cache": "hit" if was_here else "miss"}
        return Response(content, media_type="video/mp4", headers=headers)

    async def _load(self, request: Request) -> Response:  # noqa: ARG002 - ASGI shape
        return Json(self.stats())

    async def _fill(self, path: str) -> bytes:
        return (await self._origin.get(path, endpoint="segment")).body
