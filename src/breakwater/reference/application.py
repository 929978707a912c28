"""One service of the fleet as an ASGI application: routes, health, errors, background work.

A service is a `Part`: a class that is given the SDK's `Service` and the `World` and says which
routes it answers and what it does between requests. Everything around that is the same for all.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Final, Protocol

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breakwater.model import Clock, SystemClock
from breakwater.reference.admission import SHEDDING
from breakwater.reference.answers import EXCEPTION_HANDLERS, Json
from breakwater.reference.errors import UnknownServiceError
from breakwater.sdk import Service

_LOG: Final = logging.getLogger(__name__)
_PARTS: Final = {
    "account": "services.account:AccountService",
    "catalogue": "services.catalogue:CatalogueService",
    "cdn": "services.cdn:CdnService",
    "features": "services.features:FeatureService",
    "gateway": "services.gateway:GatewayService",
    "licence": "services.licence:LicenceService",
    "manifest": "services.manifest:ManifestService",
    "origin": "services.origin:OriginService",
    "personalization": "services.personalization:PersonalizationService",
    "playback": "services.playback:PlaybackService",
    "player": "players:PlayerService",
    "ranker": "services.ranker:RankerService",
    "session": "services.session:SessionService",
    "steering": "services.steering:SteeringService",
}
SERVICES: Final = tuple(_PARTS)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What all processes of one fleet agree on, and what one of them is told.

    seed: titles, accounts, tastes and people come from it. secret: signs licences.
    instance, zone: who this process is. rps: edge requests per second the player aims at.
    """

    seed: int
    secret: str
    instance: str
    zone: str = ""
    rps: float = 60.0
    clock: Clock = msgspec.field(default_factory=SystemClock)


class Background(msgspec.Struct, frozen=True, kw_only=True):
    """Work a service does every `interval_s` seconds besides answering; 0 means once, for ever."""

    action: Callable[[], Awaitable[object]]
    interval_s: float = 0.0


class Part(Protocol):
    """What makes one service different from the others."""

    def routes(self) -> Sequence[Route]:
        """The requests it answers; each route carries its endpoint's name."""
        ...

    def background(self) -> Sequence[Background]:
        """What it does between requests."""
        ...

    def stats(self) -> object:
        """A record of what it holds and has done, for `/stats`."""
        ...


def build(name: str, service: Service, world: World) -> ASGIApp:
    """The application of one service, wrapped by the SDK; raises UnknownServiceError."""
    part = make_part(name, service, world)
    routes = [
        *part.routes(),
        Route("/healthcheck", _healthcheck, name="healthcheck"),
        Route("/stats", _stats_route(part, service), name="stats"),
    ]
    app = Starlette(routes=routes, exception_handlers=dict(EXCEPTION_HANDLERS))
    guarded = service.asgi(
        app, endpoint=endpoint_namer(routes), shedding=SHEDDING.get(name), streams=True
    )
    return _WithBackground(guarded, part)


def make_part(name: str, service: Service, world: World) -> Part:
    """The service's own part, imported only now; raises UnknownServiceError."""
    if name not in _PARTS:
        raise UnknownServiceError(f"no service '{name}'; the fleet has {', '.join(SERVICES)}")
    module, _, kind = _PARTS[name].partition(":")
    factory = getattr(import_module(f"breakwater.reference.{module}"), kind)
    part: Part = factory(service, world)
    return part


def endpoint_namer(routes: Sequence[Route]) -> Callable[[Scope], str]:
    """Names a request by its route, before it is routed; `unknown` for what no route answers."""
    table = [(route.path_regex, route.methods or set(), route.name) for route in routes]

    def endpoint(scope: Scope) -> str:
        path, method = scope.get("path", ""), scope.get("method", "GET")
        for pattern, methods, name in table:
            if method in methods and pattern.match(path):
                return name
        return "unknown"

    return endpoint


async def _healthcheck(request: Request) -> Response:  # noqa: ARG001 - ASGI shape
    return PlainTextResponse("OK")


def _stats_route(part: Part, service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def stats(request: Request) -> Response:  # noqa: ARG001 - ASGI shape
        return Json({"part": part.stats(), "sdk": service.stats()})

    return stats


class _WithBackground:
    """Runs a part's background work from the moment the service is up until it begins to stop.

    It stands outside the SDK's middleware, so that the work has ended before connections close.
    """

    def __init__(self, app: ASGIApp, part: Part) -> None:
        self._app = app
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        stopping, stopped = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def send_through(message: Message) -> None:
                if message["type"] == "lifespan.startup.complete":
                    tasks.start_soon(self._work, stopping, stopped)
                await send(message)

            async def receive_through() -> Message:
                message = await receive()
                if message["type"] == "lifespan.shutdown":
                    stopping.set()
                    await stopped.wait()
                return message

            await self._app(scope, receive_through, send_through)

    async def _work(self, stopping: anyio.Event, stopped: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:
            for work in self._part.background():
                tasks.start_soon(_repeat, work)
            await stopping.wait()
            tasks.cancel_scope.cancel()
        stopped.set()


async def _repeat(work: Background) -> None:
    while True:
        try:
            await work.action()
        except Exception:  # noqa: BLE001 - the edge of supervision
            # Work that fails is told of and tried again; it does not end the service.
            _LOG.exception("background work failed; it is tried again in a second")
            await anyio.sleep(1.0)
        await anyio.sleep(work.interval_s)
