"""origin: where every segment comes from when no appliance has it."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.application import Background, World
from breakwater.reference.segments import parse_segment, payload
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import Service


class OriginStats(msgspec.Struct, frozen=True, kw_only=True):
    """What has been served since the process began."""

    segments: int
    size_bytes: int


class OriginService:
    """Computes the bytes of any segment of any title; keeps none."""

    def __init__(self, service: Service, world: World) -> None:  # noqa: ARG002 - one shape for all
        self._library = Library(generate_titles(world.seed))
        self._segments = self._bytes = 0

    def routes(self) -> Sequence[Route]:
        """segment: the bytes of one."""
        return (Route("/v1/segments/{path:path}", self._segment, name="segment"),)

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> OriginStats:
        """What has been served since the process began."""
        return OriginStats(segments=self._segments, size_bytes=self._bytes)

    async def _segment(self, request: Request) -> Response:
        content = payload(self._library, parse_segment(request.path_params["path"]))
        self._segments += 1
        self._bytes += len(content)
        return Response(content, media_type="video/mp4")
