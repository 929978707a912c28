"""aiohttp servers under guard: one `ipc.server.call` for every request, however it ends.

    app = web.Application()
    guard_application(service, app)

Around the handlers it reads the caller's context from the headers, refuses work whose deadline has
passed (504) or for which there is no room (503), and injects inbound faults. The service is started
and stopped with the application. A client that leaves is noticed where aiohttp cancels handlers:
`web.run_app(app, handler_cancellation=True)`. The server's clock stops when the handler returns its
response, or has sent it itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from breakwater.sdk.needs import not_installed

try:
    from aiohttp import web
except ModuleNotFoundError as error:
    raise not_installed(error, "aiohttp") from None

from breakwater.model import Status
from breakwater.sdk import context
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.door import Answer, Door, Request
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import request_scope
from breakwater.sdk.routes import Route

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard_application(
    service: "Service",
    app: web.Application,
    *,
    endpoint: Callable[[web.Request], str] | None = None,
    shedding: SheddingConfig | None = None,
) -> "GuardingMiddleware":
    """Guard all requests of `app`, as the outermost middleware.

    endpoint: names the endpoint of a request; by default the template of its route, else the shape
    of its path. shedding: how much work is taken on, and whose first.
    """

    async def lifespan(_app: web.Application) -> AsyncIterator[None]:
        async with service:
            yield

    made = GuardingMiddleware(service, endpoint=endpoint, shedding=shedding)
    app.middlewares.insert(0, made.middleware)
    app.cleanup_ctx.append(lifespan)
    service.watch(made)
    return made


class GuardingMiddleware:
    """See `guard_application`."""

    def __init__(
        self,
        service: "Service",
        *,
        endpoint: Callable[[web.Request], str] | None,
        shedding: SheddingConfig | None,
    ) -> None:
        def named(scope: Any) -> str:
            assert endpoint is not None, "asked only if there is one"
            return endpoint(scope["request"])

        chosen = None if endpoint is None else named
        self._door = Door(service.runtime, endpoint=chosen, shedding=shedding)

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._serve(request, handler)

        self.middleware = middleware

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve one request."""
        scope: dict[str, Any] = {"request": request, "path": request.path}
        resource = request.match_info.route.resource
        if resource is not None:
            scope["route"] = Route(resource.canonical)
        headers = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ]
        served = self._door.open(headers, scope, request.headers.get)
        token = context.bind(served.context)
        try:
            with request_scope():
                refusal = await served.admit()
                if refusal is not None:
                    return _answer(refusal)
                return await _watched(served, request, handler)
        finally:
            context.unbind(token)

    def stats(self) -> ServerStats:
        """Counts since start."""
        return self._door.stats()


async def _watched(served: Request, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the handler, and record the end."""
    try:
        instead = await served.suffer()
        response = await handler(request) if instead is None else _answer(instead)
    except web.HTTPException as answer:  # how handlers of aiohttp say 404
        _end(served, answer.status)
        raise
    except asyncio.CancelledError:
        served.end(Status.CANCELLED)
        raise
    except BaseException as error:
        served.end(Status.UNEXPECTED_ERROR, type(error).__name__)
        raise
    _end(served, response.status)
    return response


def _end(served: Request, code: int) -> None:
    served.code = code
    served.completed()
    served.end()


def _answer(answer: Answer) -> web.Response:
    return web.Response(status=answer.code, body=answer.body(), headers=answer.headers())
