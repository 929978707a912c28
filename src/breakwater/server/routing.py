"""From a path to what answers it: a table for paths without parts that vary, patterns for the rest.

Starlette tries one pattern after the other, about a microsecond each; of the hundred routes here
nearly all have exact paths, which are found at once however many there are.
"""

import inspect
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from breakwater.web import Endpoint


class PathTable:
    """An ASGI application made of routes; exact paths come before patterns."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        # A bare router raises its 404 and 405: the edge alone turns exceptions into answers.
        self._router = Router(routes, redirect_slashes=False)
        self._exact: dict[tuple[str, str], Endpoint] = {}
        for route in routes:
            if isinstance(route, Route) and _is_plain(route):
                for method in route.methods or ():
                    self._exact.setdefault((method, route.path), route.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises HTTPException for what nobody answers."""
        is_rooted = scope["type"] == "http" and not scope.get("root_path")
        endpoint = self._exact.get((scope["method"], scope["path"])) if is_rooted else None
        if endpoint is None:
            await self._router(scope, receive, send)
            return
        scope["path_params"] = {}
        answer = await endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)


def _is_plain(route: Route) -> bool:
    """Whether a route has one path, and an endpoint that takes a request and returns an answer."""
    return "{" not in route.path and inspect.iscoroutinefunction(route.endpoint)
