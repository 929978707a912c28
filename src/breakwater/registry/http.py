"""The registry over HTTP: Eureka's protocol, and the view our own SDK waits on.

`GET /api/v1/registry/instances?revision=N&wait_s=20&service=S` answers an InstanceView as JSON: at
once when the registry is not at revision N (or none is given), else at its next change.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.model import InstanceView
from breakwater.registry.eureka_http import EurekaEndpoints, status_of
from breakwater.registry.operations import operations
from breakwater.registry.registry import Registry
from breakwater.web import answering_errors, number, whole_number

__all__ = ["operations", "routes"]

_ENCODER: Final = msgspec.json.Encoder()


def routes(registry: Registry) -> list[BaseRoute]:
    """Every route of the registry, to be mounted at the root."""
    native = NativeEndpoints(registry)
    return [
        Route(
            "/api/v1/registry/instances",
            answering_errors(native.instances, status_of),
            methods=["GET"],
        ),
        *EurekaEndpoints(registry).routes(),
    ]


class NativeEndpoints:
    """What our own SDK and command line read."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._encoded: tuple[InstanceView, bytes] | None = None

    async def instances(self, request: Request) -> Response:
        """The instances, at once or when they have changed."""
        view = await self._registry.wait_view(
            whole_number(request, "revision", None),
            number(request, "wait_s", 0.0, lowest=0),
            request.query_params.get("service") or None,
        )
        headers = {"cache-control": "no-store"}
        return Response(self._encode(view), media_type="application/json", headers=headers)

    def _encode(self, view: InstanceView) -> bytes:
        """The bytes of `view`; the whole view is the same object for as long as nothing changes."""
        if self._encoded is not None and self._encoded[0] is view:
            return self._encoded[1]
        body = _ENCODER.encode(view)
        self._encoded = (view, body)
        return body
