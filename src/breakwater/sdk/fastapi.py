"""FastAPI under guard: ASGI middleware that knows the routes, and the context as a dependency.

    app = FastAPI()
    guard_fastapi(service, app)

    @app.get("/v1/titles/{id}")
    async def title(id: int, call: Context) -> Title: ...

What `Service.asgi` does for any application, with endpoints named after the routes. The service is
started and stopped with the application. A call refused by a guard, or past its deadline, that no
route caught is answered 503 or 504 instead of 500, with the reason and Retry-After.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

from breakwater.sdk.needs import not_installed

try:
    import fastapi
    from fastapi.responses import Response
except ModuleNotFoundError as error:
    raise not_installed(error, "fastapi") from None

from breakwater.sdk.context import CallContext, current, remaining_s
from breakwater.sdk.door import EndpointOf, answer_of
from breakwater.sdk.errors import CallRefusedError, DeadlineExceededError

if TYPE_CHECKING:
    from breakwater.sdk.asgi import Middleware
    from breakwater.sdk.guard.config import SheddingConfig
    from breakwater.sdk.service import Service


async def call_context() -> CallContext:
    """The context the request brought: deadline, trace, baggage, criticality."""
    return current()


async def time_left_s() -> float | None:
    """Seconds until the caller's deadline, None without one."""
    return remaining_s()


Context = Annotated[CallContext, fastapi.Depends(call_context)]
"""For a parameter of a route: the context of the request."""
TimeLeft = Annotated[float | None, fastapi.Depends(time_left_s)]
"""For a parameter of a route: seconds until the caller's deadline."""


class Options(TypedDict, total=False):
    """As of `Service.asgi`."""

    endpoint: EndpointOf
    max_concurrent: int
    shedding: "SheddingConfig"
    streams: bool


class _Guarding:
    """What FastAPI makes of the middleware when it builds its stack."""

    def __init__(self, app: Any, service: "Service", options: Options) -> None:
        self._guarded: Middleware = service.asgi(app, **options)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._guarded(scope, receive, send)


def guard_fastapi(service: "Service", app: fastapi.FastAPI, **options: Unpack[Options]) -> None:
    """Guard all requests of `app`; call it last, so that this is the outermost middleware."""

    async def refused(_request: fastapi.Request, error: Exception) -> Response:
        answer = answer_of(error)
        return Response(answer.body(), status_code=answer.code, headers=answer.headers())

    app.add_exception_handler(CallRefusedError, refused)
    app.add_exception_handler(DeadlineExceededError, refused)
    app.add_middleware(_Guarding, service=service, options=options)
