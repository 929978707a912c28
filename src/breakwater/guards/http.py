"""The routes of guards.

GET  /turbine.stream?cluster=X           the aggregate, as from Turbine; also below /turbine
GET  /api/v1/guards[?service=]           the same once, as JSON for programs, or drawn
GET  /api/v1/guards/config               ?service=&revision=&wait_s=, what one service goes by
PUT  /api/v1/guards/config               a setting; DELETE takes one back
GET  /api/v1/guards/settings[?service=]  every setting in force, with who and why
"""

from typing import Final, Literal, cast

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.guards.book import SettingBook
from breakwater.guards.errors import (
    InvalidSettingError,
    TooManySettingsError,
    TooManyWatchersError,
    UnknownClusterError,
    UnknownSettingError,
)
from breakwater.guards.picture import guards_png, guards_svg
from breakwater.guards.setting import GuardSetting, SettingRequest
from breakwater.guards.view import GuardView
from breakwater.guards.watch import GuardWatch
from breakwater.model import BreakwaterError, GuardConfig, GuardScope, InvalidInputError
from breakwater.render import THEMES, ThemeName
from breakwater.web import (
    JSON,
    BodyTooLargeError,
    EventStream,
    Operation,
    Parameter,
    answering_errors,
    bounded_body,
    json_answer,
    number,
    ok,
    poll_parameters,
    whole_number,
)

STREAM_PATHS: Final = ("/turbine.stream", "/turbine/turbine.stream")
CONFIG_PATH: Final = "/api/v1/guards/config"
_MAX_BODY_BYTES: Final = 65_536
_FORMATS: Final = ("json", "svg", "png")
_HEADERS: Final = {
    "content-type": "text/event-stream;charset=UTF-8",
    "cache-control": "no-cache, no-store, max-age=0, must-revalidate",
    "pragma": "no-cache",
}
_STATUS: Final[tuple[tuple[type[BreakwaterError], int], ...]] = (
    (UnknownClusterError, 404),
    (UnknownSettingError, 404),
    (BodyTooLargeError, 413),
    (InvalidInputError, 400),
    (TooManySettingsError, 409),
    (TooManyWatchersError, 503),
    (BreakwaterError, 503),
)
_decode = msgspec.json.Decoder(SettingRequest).decode
Formats = Literal["json", "svg", "png"]


def routes(watch: GuardWatch, book: SettingBook) -> list[BaseRoute]:
    """Every route of this room, to be mounted at the root."""
    guards = _GuardEndpoints(watch, book)
    table = [
        *(("GET", path, guards.stream) for path in STREAM_PATHS),
        ("GET", "/api/v1/guards", guards.view),
        ("GET", CONFIG_PATH, guards.config),
        ("PUT", CONFIG_PATH, guards.put),
        ("DELETE", CONFIG_PATH, guards.drop),
        ("GET", "/api/v1/guards/settings", guards.settings),
    ]
    return [
        Route(path, answering_errors(act, _status_of), methods=[method])
        for method, path, act in table
    ]


def operations() -> list[Operation]:
    """The same routes in words."""
    return [*_watching(), *_configuring()]


def _watching() -> list[Operation]:
    cluster = Parameter(
        name="cluster", summary="the service; without one, or `default`, all together"
    )
    streams = [
        Operation(
            method="GET",
            path=path,
            summary="The guarded commands of a service's instances as one stream, as from Turbine",
            tag="guards",
            parameters=(cluster,),
            replies=(ok(None, "events without end", "text/event-stream"),),
            refusals=(404, 503),
        )
        for path in STREAM_PATHS
    ]
    view = Operation(
        method="GET",
        path="/api/v1/guards",
        summary="What the guarded commands do now",
        tag="guards",
        parameters=(
            Parameter(name="service", summary="only of this service"),
            Parameter(name="format", summary="of the answer; json by default", type=Formats),
            Parameter(name="theme", summary="of a picture; light by default", type=ThemeName),
        ),
        replies=(ok(GuardView, "by service", JSON, "image/svg+xml", "image/png"),),
        refusals=(400, 404, 413, 503),
    )
    return [*streams, view]


def _configuring() -> list[Operation]:
    service = Parameter(name="service", summary="whose")
    return [
        Operation(
            method="GET",
            path=CONFIG_PATH,
            summary="The settings a service goes by, at once or when they change",
            tag="guards",
            parameters=poll_parameters(),
            replies=(ok(GuardConfig, "the settings and their revision"),),
            refusals=(400, 503),
        ),
        Operation(
            method="PUT",
            path=CONFIG_PATH,
            summary="Set a key for all commands, a group or a command, in one service or all",
            tag="guards",
            body=SettingRequest,
            body_media=(JSON,),
            replies=(ok(GuardSetting, "in force"),),
            refusals=(400, 409, 413, 503),
        ),
        Operation(
            method="DELETE",
            path=CONFIG_PATH,
            summary="Take a setting back",
            tag="guards",
            parameters=(
                Parameter(name="key", summary="of the setting", is_required=True),
                Parameter(name="service", summary="whose; without one, the one for all services"),
                Parameter(name="scope", summary="default by default", type=GuardScope),
                Parameter(name="name", summary="of the group or the command"),
                Parameter(name="actor", summary="who asks"),
                Parameter(name="reason", summary="why, for the journal"),
            ),
            replies=(ok(GuardSetting, "what was in force"),),
            refusals=(400, 404, 503),
        ),
        Operation(
            method="GET",
            path="/api/v1/guards/settings",
            summary="List the settings in force",
            tag="guards",
            parameters=(service,),
            replies=(ok(SettingList, "the settings"),),
            refusals=(503,),
        ),
    ]


class SettingList(msgspec.Struct, frozen=True):
    """Every setting in force that was asked for."""

    settings: list[GuardSetting]


class _GuardEndpoints:
    def __init__(self, watch: GuardWatch, book: SettingBook) -> None:
        self._watch = watch
        self._book = book

    async def stream(self, request: Request) -> Response:
        answer = EventStream(self._watch.events(request.query_params.get("cluster")))
        answer.headers.update(_HEADERS)
        return answer

    async def view(self, request: Request) -> Response:
        shape = request.query_params.get("format") or "json"
        theme = request.query_params.get("theme") or "light"
        if shape not in _FORMATS:
            raise InvalidInputError(
                f"format '{shape[:40]}' is unknown; known: {', '.join(_FORMATS)}"
            )
        if theme not in THEMES:
            raise InvalidInputError(f"theme '{theme[:40]}' is unknown; known: {', '.join(THEMES)}")
        found = await self._watch.view(request.query_params.get("service") or None)
        if shape == "json":
            return json_answer(found)
        if shape == "svg":
            svg = await anyio.to_thread.run_sync(guards_svg, found, cast("ThemeName", theme))
            return Response(svg, media_type="image/svg+xml")
        picture = await anyio.to_thread.run_sync(guards_png, found, cast("ThemeName", theme))
        return Response(picture, media_type="image/png")

    async def config(self, request: Request) -> Response:
        service = request.query_params.get("service", "")
        if not service:
            raise InvalidSettingError("the query parameter 'service' is missing")
        revision = whole_number(request, "revision", None)
        wait_s = number(request, "wait_s", 0.0, lowest=0)
        return json_answer(await self._book.wait_config(service, revision, wait_s))

    async def put(self, request: Request) -> Response:
        return json_answer(
            await self._book.put(_parse(await bounded_body(request, _MAX_BODY_BYTES)))
        )

    async def drop(self, request: Request) -> Response:
        query = request.query_params
        given = {name: query[name] for name in _PLACED if query.get(name)}
        if "key" not in given:
            raise InvalidSettingError("the query parameter 'key' is missing")
        try:
            wanted = msgspec.convert(given, SettingRequest)
        except msgspec.ValidationError as error:
            raise InvalidSettingError(f"{error}; scopes: default, group, command") from error
        return json_answer(await self._book.drop(wanted))

    async def settings(self, request: Request) -> Response:
        return json_answer(SettingList(await self._book.all(request.query_params.get("service"))))


_PLACED: Final = ("key", "service", "scope", "name", "actor", "reason")


def _status_of(error: BreakwaterError) -> int:
    return next(code for kind, code in _STATUS if isinstance(error, kind))


def _parse(body: bytes) -> SettingRequest:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        fields = ", ".join(SettingRequest.__struct_fields__)
        raise InvalidSettingError(
            f"{error}; fields: {fields}; scopes: default, group, command"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSettingError(f"the body is not JSON: {error}") from error
