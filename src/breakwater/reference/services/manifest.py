"""manifest: the playlists and presentation descriptions players read."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference import dash, hls
from breakwater.reference.answers import Json, record
from breakwater.reference.application import Background, World
from breakwater.reference.entitlements import DEVICE_HEIGHT
from breakwater.reference.errors import MalformedRequestError
from breakwater.reference.lastgood import LastGood
from breakwater.reference.segments import segment_count
from breakwater.reference.titles import Rung, Title
from breakwater.sdk import CallError, Service

FORMATS: Final = ("hls", "dash")
NO_ZONE: Final = "any"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest, and what a player needs beside it to fetch the title's segments."""

    title: str
    format: str
    media_type: str
    text: str
    rungs: tuple[Rung, ...]
    segments: int
    segment_ms: int


class ManifestStats(msgspec.Struct, frozen=True, kw_only=True):
    """Manifests written since the process began, and titles remembered."""

    written: int
    titles: int


class ManifestService:
    """Writes manifests for titles it asks the catalogue about; keeps the last good titles."""

    def __init__(self, service: Service, world: World) -> None:  # noqa: ARG002 - one shape for all
        self._service = service
        self._catalogue = service.client("catalogue", timeout_s=0.3, max_concurrent=100)
        self._titles: LastGood[Title] = LastGood(2000)
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
        """Manifests written and titles remembered."""
        return ManifestStats(written=self._written, titles=len(self._titles))

    async def _manifest(self, request: Request) -> Response:
        kind = request.query_params.get("format", "hls")
        if kind not in FORMATS:
            raise MalformedRequestError(f"'format' must be one of {', '.join(FORMATS)}")
        height = DEVICE_HEIGHT.get(request.query_params.get("device", ""), 2160)
        title = await self._title(request)
        text = self._hls(title, height) if kind == "hls" else self._dash(title, height)
        return Json(
            Manifest(
                title=title.id,
                format=kind,
                media_type=hls.MEDIA_TYPE if kind == "hls" else dash.MEDIA_TYPE,
                text=text,
                rungs=tuple(hls.video_rungs(title, height)),
                segments=segment_count(title),
                segment_ms=title.segment_ms,
            )
        )

    async def _multivariant(self, request: Request) -> Response:
        title = await self._title(request)
        return Response(self._hls(title, 2160), media_type=hls.MEDIA_TYPE)

    async def _media(self, request: Request) -> Response:
        title = await self._title(request)
        base_url = self._appliances().get(request.query_params.get("pathway", ""), "")
        text = hls.media_playlist(title, title.rung(request.path_params["rung"]), base_url)
        return Response(text, media_type=hls.MEDIA_TYPE)

    async def _mpd(self, request: Request) -> Response:
        title = await self._title(request)
        return Response(self._dash(title, 2160), media_type=dash.MEDIA_TYPE)

    async def _title(self, request: Request) -> Title:
        title_id: str = request.path_params["title"]

        def last_good(error: CallError) -> object:
            return self._titles.copy(title_id, error)

        reply = await self._catalogue.get(
            f"/v1/titles/{title_id}", endpoint="title", fallback=last_good
        )
        return self._titles.keep(title_id, record(reply, Title))

    def _hls(self, title: Title, height: int) -> str:
        self._written += 1
        pathways = sorted(self._appliances()) or [NO_ZONE]
        return hls.multivariant_playlist(
            title, pathways, max_height=height, steering_uri="/v1/steering"
        )

    def _dash(self, title: Title, height: int) -> str:
        self._written += 1
        return dash.presentation(title, self._appliances(), max_height=height)

    def _appliances(self) -> dict[str, str]:
        """The address of one appliance per zone, the first by name."""
        found: dict[str, str] = {}
        for one in sorted(self._service.instances("cdn"), key=lambda i: i.instance_id):
            found.setdefault(one.zone or NO_ZONE, f"http://{one.host}:{one.port}")
        return found
