"""manifest: the playlists and presentation descriptions players read."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.model import Instance
from breakwater.reference import dash, hls
from breakwater.reference.answers import Json, record
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.errors import MalformedRequestError
from breakwater.reference.manifests import (
    FORMATS,
    TALLEST,
    Format,
    address_of_zone,
    dash_text,
    hls_text,
    write_manifest,
)
from breakwater.reference.titles import Library, Title, generate_titles
from breakwater.sdk import CallError, Service


class ManifestStats(msgspec.Struct, frozen=True, kw_only=True):
    """Manifests written since the process began."""

    written: int


class ManifestService:
    """Writes manifests for titles it asks the catalogue about."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._catalogue = client_of(service, "catalogue")
        self._shipped = Library(generate_titles(world.seed))
        self._written = 0

    def routes(self) -> Sequence[Route]:
        """manifest: the first document with what goes with it; media and mpd: documents alone."""
        return (
            Route("/v1/titles/{title}/manifest", self._manifest, name="manifest"),
            Route("/v1/titles/{title}/hls/{rung}.m3u8", self._media, name="media"),
            Route("/v1/titles/{title}/hls.m3u8", self._multivariant, name="multivariant"),
            Route("/v1/titles/{title}/dash.mpd", self._mpd, name="mpd"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> ManifestStats:
        """Manifests written since the process began."""
        return ManifestStats(written=self._written)

    async def _manifest(self, request: Request) -> Response:
        kind = _format(request)
        title = await self._title(request)
        device = request.query_params.get("device", "")
        self._written += 1
        return Json(write_manifest(title, kind, device, self._appliances()))

    async def _multivariant(self, request: Request) -> Response:
        title = await self._title(request)
        self._written += 1
        text = hls_text(title, TALLEST, self._appliances())
        return Response(text, media_type=hls.MEDIA_TYPE)

    async def _media(self, request: Request) -> Response:
        title = await self._title(request)
        zones = address_of_zone(self._appliances())
        base_url = zones.get(request.query_params.get("pathway", ""), "")
        text = hls.media_playlist(title, title.rung(request.path_params["rung"]), base_url)
        return Response(text, media_type=hls.MEDIA_TYPE)

    async def _mpd(self, request: Request) -> Response:
        title = await self._title(request)
        self._written += 1
        text = dash_text(title, TALLEST, self._appliances())
        return Response(text, media_type=dash.MEDIA_TYPE)

    async def _title(self, request: Request) -> Title:
        """The title asked for; while catalogue is away as it was last described, or shipped."""
        title_id: str = request.path_params["title"]

        def shipped(error: CallError) -> object:
            return self._shipped.shipped(title_id, error)

        reply = await self._catalogue.get(
            f"/v1/titles/{title_id}", endpoint="title", fallback=shipped
        )
        return record(reply, Title)

    def _appliances(self) -> list[Instance]:
        return self._service.instances("cdn")


def _format(request: Request) -> Format:
    wanted = request.query_params.get("format", "hls")
    for kind in FORMATS:
        if kind == wanted:
            return kind
    raise MalformedRequestError(f"'format' must be one of {', '.join(FORMATS)}")
