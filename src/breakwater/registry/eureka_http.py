"""The Eureka REST protocol over a registry.

Paths, methods, status codes and content negotiation are those that deployed clients rely on; the
table is in docs/formats/eureka.md. Identifiers arrive percent-encoded and may hold slashes.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.model import BreakwaterError, InvalidInputError
from breakwater.registry.answers import Answer, Answers, Form
from breakwater.registry.body import codec_of_body
from breakwater.registry.errors import (
    InvalidInstanceError,
    PayloadTooLargeError,
    StaleReplicaError,
    UnknownInstanceError,
)
from breakwater.registry.fields import integer_of, text_map_of, word_of
from breakwater.registry.instance_info import InstanceStatus
from breakwater.registry.registry import Registry
from breakwater.web import BodyTooLargeError, unpacked_body

BASES: Final = ("/eureka/v2", "/eureka")
"""Where the protocol is served: Netflix's own place and that of Spring Cloud."""

_Endpoint = Callable[[Request], Awaitable[Response]]


class EurekaEndpoints:
    """One method for each operation of the protocol."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._answers = Answers(registry)

    def routes(self) -> list[BaseRoute]:
        """Every route, under both bases."""
        one = "/apps/{app}/{instance_id:path}"
        table: list[tuple[str, str, _Endpoint]] = [
            ("GET", "/apps", self._whole),
            ("GET", "/apps/", self._whole),
            ("GET", "/apps/delta", self._delta),
            ("GET", "/apps/delta/", self._delta),
            ("GET", "/apps/{app}", self._application),
            ("GET", "/apps/{app}/", self._application),
            ("POST", "/apps/{app}", self._register),
            ("POST", "/apps/{app}/", self._register),
            ("PUT", one + "/status", self._override),
            ("DELETE", one + "/status", self._remove_override),
            ("PUT", one + "/metadata", self._metadata),
            ("GET", one, self._instance),
            ("PUT", one, self._renew),
            ("DELETE", one, self._cancel),
            ("GET", "/instances/{instance_id:path}", self._instance_anywhere),
            ("GET", "/vips/{address:path}", self._behind_address),
            ("GET", "/svips/{address:path}", self._behind_secure_address),
        ]
        return [
            Route(base + path, _answering_errors(endpoint), methods=[method])
            for base in BASES
            for method, path, endpoint in table
        ]

    async def _register(self, request: Request) -> Response:
        body = await unpacked_body(request, self._registry.settings.max_body_bytes)
        codec = codec_of_body(request, body)
        if codec is None:
            return PlainTextResponse(
                "the body must be application/json or application/xml", status_code=415
            )
        info = codec.read_instance(body)
        self._registry.register(
            request.path_params["app"], info, is_replication=_is_replication(request)
        )
        return Response(status_code=204)

    async def _renew(self, request: Request) -> Response:
        app, instance_id = _names(request)
        try:
            self._registry.renew(
                app,
                instance_id,
                last_dirty_ms=_last_dirty(request),
                is_replication=_is_replication(request),
            )
        except StaleReplicaError as error:
            answer = self._answers.instance(error.held, _form(request))
            return _respond(request, answer, status_code=409)
        return Response(status_code=200)

    async def _cancel(self, request: Request) -> Response:
        self._registry.cancel(*_names(request))
        return Response(status_code=200)

    async def _override(self, request: Request) -> Response:
        app, instance_id = _names(request)
        self._registry.instance(app, instance_id)
        status = _status(request)
        if isinstance(status, Response):
            return status
        self._registry.override_status(app, instance_id, status, last_dirty_ms=_last_dirty(request))
        return Response(status_code=200)

    async def _remove_override(self, request: Request) -> Response:
        app, instance_id = _names(request)
        self._registry.instance(app, instance_id)
        status: InstanceStatus | Response = InstanceStatus.UNKNOWN
        if "value" in request.query_params:
            status = _status(request)
        if isinstance(status, Response):
            return status
        self._registry.remove_override(app, instance_id, status, last_dirty_ms=_last_dirty(request))
        return Response(status_code=200)

    async def _metadata(self, request: Request) -> Response:
        app, instance_id = _names(request)
        entries = text_map_of(dict(request.query_params), "metadata")
        self._registry.update_metadata(app, instance_id, entries)
        return Response(status_code=200)

    async def _whole(self, request: Request) -> Response:
        return _respond(request, self._answers.whole(_form(request)))

    async def _delta(self, request: Request) -> Response:
        return _respond(request, self._answers.delta(_form(request)))

    async def _application(self, request: Request) -> Response:
        answer = self._answers.application(request.path_params["app"], _form(request))
        return _respond(request, answer)

    async def _instance(self, request: Request) -> Response:
        info = self._registry.instance(*_names(request))
        return _respond(request, self._answers.instance(info, _form(request)))

    async def _instance_anywhere(self, request: Request) -> Response:
        info = self._registry.instance_anywhere(request.path_params["instance_id"])
        return _respond(request, self._answers.instance(info, _form(request)))

    async def _behind_address(self, request: Request) -> Response:
        return self._by_address(request, is_secure=False)

    async def _behind_secure_address(self, request: Request) -> Response:
        return self._by_address(request, is_secure=True)

    def _by_address(self, request: Request, *, is_secure: bool) -> Response:
        address = request.path_params["address"]
        answer = self._answers.behind_address(address, _form(request), is_secure=is_secure)
        return _respond(request, answer)


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["app"], request.path_params["instance_id"]


def _form(request: Request) -> Form:
    return Form(
        is_json="json" in request.headers.get("accept", "").lower(),
        is_compact=request.headers.get("x-eureka-accept", "").strip().lower() == "compact",
    )


def _is_replication(request: Request) -> bool:
    return request.headers.get("x-netflix-discovery-replication", "").strip().lower() == "true"


def _last_dirty(request: Request) -> int | None:
    text = request.query_params.get("lastDirtyTimestamp")
    if text in {None, "", "null"}:
        return None
    return integer_of(text, "lastDirtyTimestamp", default=0)


def _status(request: Request) -> InstanceStatus | Response:
    """The status asked for; an unknown word answers 500, as Eureka does and clients expect."""
    text = request.query_params.get("value", "")
    try:
        if text:
            return word_of(text, "value", default=InstanceStatus.UNKNOWN)
        message = f"value must be one of {', '.join(InstanceStatus)}; it is missing"
    except InvalidInstanceError as error:
        message = str(error)
    return PlainTextResponse(message, status_code=500)


def _respond(request: Request, answer: Answer, *, status_code: int = 200) -> Response:
    headers = {"vary": "accept, accept-encoding, x-eureka-accept"}
    body = answer.body
    if "gzip" in request.headers.get("accept-encoding", "").lower():
        packed = answer.packed()
        if packed is not None:
            body = packed
            headers["content-encoding"] = "gzip"
    return Response(body, status_code=status_code, media_type=answer.media_type, headers=headers)


def _answering_errors(endpoint: _Endpoint) -> _Endpoint:
    """`endpoint` with every refusal told as the status code and text that clients know."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BreakwaterError as error:
            return PlainTextResponse(str(error), status_code=status_of(error))

    return answer


def status_of(error: BreakwaterError) -> int:
    """The HTTP status that says what the caller can do about `error`."""
    if isinstance(error, UnknownInstanceError):
        return 404
    if isinstance(error, PayloadTooLargeError | BodyTooLargeError):
        return 413
    return 400 if isinstance(error, InvalidInputError) else 503
