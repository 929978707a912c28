"""From a path to what answers it: tables for what does not vary in a path, patterns for the rest.

Starlette tries one pattern after the other, about a microsecond each; of the hundred routes here
most have exact paths, which are found at once however many there are. Patterns are found by what
comes before their first varying part, so that only those of one family are tried.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from breakwater.web import Endpoint

_Pattern = tuple[int, Route]


class PathTable:
    """An ASGI application made of routes; exact paths come before patterns.

    Among patterns the first that fits counts. OPTIONS answers what else may be asked of a path.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        # A bare router raises its 404 and 405: the edge alone turns exceptions into answers.
        self._router = Router(routes, redirect_slashes=False)
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._families: dict[str, list[_Pattern]] = {}
        for order, route in enumerate(routes):
            if not isinstance(route, Route) or not inspect.iscoroutinefunction(route.endpoint):
                continue
            if "{" in route.path:
                family = route.path[: route.path.index("{")].rpartition("/")[0]
                self._families.setdefault(family, []).append((order, route))
                continue
            for method in route.methods or ():
                self._exact.setdefault((method, route.path), route.endpoint)
        self._depth: Final = max((family.count("/") for family in self._families), default=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises HTTPException for what nobody answers."""
        if scope["type"] != "http" or scope.get("root_path"):
            await self._router(scope, receive, send)
            return
        endpoint = self._exact.get((scope["method"], scope["path"]))
        if endpoint is None:
            endpoint = self._by_pattern(scope)
        else:
            scope["path_params"] = {}
        if endpoint is None:
            if scope["method"] != "OPTIONS":
                await self._router(scope, receive, send)
                return
            answer = self._options(scope["path"])
        else:
            answer = await endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)

    def _by_pattern(self, scope: Scope) -> Endpoint | None:
        """What answers a path that varies; its parts are left in the scope."""
        method = scope["method"]
        for route in self._patterns(scope["path"]):
            if method not in (route.methods or ()):
                continue
            found = route.path_regex.match(scope["path"])
            if found is not None:
                parts = found.groupdict()
                convert = route.param_convertors
                scope["path_params"] = {
                    name: convert[name].convert(text) for name, text in parts.items()
                }
                return route.endpoint
        return None

    def _patterns(self, path: str) -> Iterator[Route]:
        """The routes that may fit, in their order."""
        found: list[_Pattern] = []
        families = 0
        at = 0
        for _ in range(self._depth + 1):
            at = path.find("/", at + 1)
            if at < 0:
                break
            family = self._families.get(path[:at])
            if family is not None:
                found = [*found, *family] if found else family
                families += 1
        if families > 1:
            found = sorted(found, key=lambda each: each[0])
        return (route for _, route in found)

    def _options(self, path: str) -> Response:
        """The methods of a path; raises HTTPException if it has none."""
        methods = {method for method, exact in self._exact if exact == path}
        for route in self._patterns(path):
            if route.path_regex.match(path):
                methods |= route.methods or set()
        if not methods:
            _nothing_here()
        return Response(status_code=204, headers={"allow": ", ".join(sorted(methods))})


def _nothing_here() -> NoReturn:
    raise HTTPException(status_code=404)
