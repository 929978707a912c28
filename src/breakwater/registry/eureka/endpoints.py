"""The Eureka REST protocol over a registry.

Paths, methods, status codes and content negotiation are those that deployed clients rely on; the
table is in docs/formats/eureka.md. Identifiers arrive percent-encoded and may hold slashes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.model import BreakwaterError
from breakwater.registry.errors import InvalidInstanceError, NewerClaimError, StaleReplicaError
from breakwater.registry.eureka.answers import Answers
from breakwater.registry.eureka.asking import (
    belongs_to_id,
    form_of,
    last_dirty,
    names,
    origin_of,
    respond,
    via,
)
from breakwater.registry.eureka.body import codec_of_body
from breakwater.registry.eureka.fetch_limits import FetchLimits
from breakwater.registry.eureka.fetches import Fetches
from breakwater.registry.eureka.server_pages import Replica, ServerPages
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceStatus
from breakwater.registry.refusals import status_of
from breakwater.registry.spelling.fields import text_map_of, word_of
from breakwater.web import unpacked_body

BASES: Final = ("/eureka/v2", "/eureka")
"""Where the protocol is served: Netflix's own place and that of Spring Cloud."""

_Endpoint = Callable[[Request], Awaitable[Response]]


def _always() -> bool:
    return True


def _alone() -> Sequence[Replica]:
    return ()


async def _at_once() -> None:
    return


class EurekaEndpoints:
    """One method for each operation of the protocol that changes something; reads are in `Fetches`.

    is_ready: whether lists may be fetched; while not, they are answered 403. replicas: the other
    registries this one keeps in step with, for `GET status`. settled: waits until what was done is
    on the disk; a renewal does not.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        is_ready: Callable[[], bool] = _always,
        replicas: Callable[[], Sequence[Replica]] = _alone,
        settled: Callable[[], Awaitable[None]] = _at_once,
        answers: Answers | None = None,
        limits: FetchLimits | None = None,
    ) -> None:
        self._registry = registry
        self._settled = settled
        self._answers = answers if answers is not None else Answers(registry)
        if limits is None:
            limits = FetchLimits(registry.settings, registry.clock)
        self._fetches = Fetches(registry, self._answers, limits, is_ready)
        self._pages = ServerPages(registry, replicas)

    def routes(self) -> list[BaseRoute]:
        """Every route, under both bases."""
        return [
            Route(base + path, _answering_errors(endpoint), methods=[method])
            for base in BASES
            for method, path, endpoint in self._table()
        ]

    def _table(self) -> list[tuple[str, str, _Endpoint]]:
        one = "/apps/{app}/{instance_id:path}"
        fetches, pages = self._fetches, self._pages
        return [
            ("GET", "/apps", fetches.whole),
            ("GET", "/apps/", fetches.whole),
            ("GET", "/apps/delta", fetches.delta),
            ("GET", "/apps/delta/", fetches.delta),
            ("GET", "/apps/{app}", fetches.application),
            ("GET", "/apps/{app}/", fetches.application),
            ("POST", "/apps/{app}", self._register),
            ("POST", "/apps/{app}/", self._register),
            ("PUT", one + "/status", _or_of_id("/status", self._override, self._renew)),
            ("DELETE", one + "/status", _or_of_id("/status", self._remove_override, self._cancel)),
            ("PUT", one + "/metadata", _or_of_id("/metadata", self._metadata, self._renew)),
            ("GET", one, fetches.instance),
            ("PUT", one, self._renew),
            ("DELETE", one, self._cancel),
            ("GET", "/instances/{instance_id:path}", fetches.instance_anywhere),
            ("GET", "/vips/{address:path}", fetches.behind_address),
            ("GET", "/svips/{address:path}", fetches.behind_secure_address),
            ("PUT", "/asg/{name:path}/status", self._switch_group),
            ("GET", "/status", pages.status),
            ("GET", "/serverinfo/statusoverrides", pages.overrides),
        ]

    async def _register(self, request: Request) -> Response:
        body = await unpacked_body(request, self._registry.settings.max_body_bytes)
        codec = codec_of_body(request, body)
        if codec is None:
            return PlainTextResponse(
                "the body must be application/json or application/xml", status_code=415
            )
        origin = origin_of(request)
        self._registry.register(
            request.path_params["app"],
            codec.read_instance(body),
            origin=origin,
            via=via(request, origin),
        )
        await self._settled()
        return Response(status_code=204)

    async def _renew(self, request: Request) -> Response:
        app, instance_id = names(request)
        origin = origin_of(request)
        try:
            self._registry.renew(
                app,
                instance_id,
                last_dirty_ms=last_dirty(request),
                origin=origin,
                via=via(request, origin),
            )
        except StaleReplicaError as error:
            return respond(self._answers.instance(error.held, form_of(request)), 409)
        except NewerClaimError:
            if origin is Origin.PEER:
                self._note_override(request)
            raise
        return Response(status_code=200)

    def _note_override(self, request: Request) -> None:
        """Take in the override that a peer tells of with the renewal of a newer version."""
        text = request.query_params.get("overriddenstatus")
        if not text:
            return
        status = word_of(text, "overriddenstatus", default=InstanceStatus.UNKNOWN)
        if status is not InstanceStatus.UNKNOWN:
            self._registry.store_override(*names(request), status, origin=Origin.PEER)

    async def _cancel(self, request: Request) -> Response:
        self._registry.cancel(*names(request), origin=origin_of(request))
        await self._settled()
        return Response(status_code=200)

    async def _override(self, request: Request) -> Response:
        app, instance_id = names(request)
        self._registry.instance(app, instance_id)
        status = _status(request)
        if isinstance(status, Response):
            return status
        self._registry.override_status(
            app, instance_id, status, last_dirty_ms=last_dirty(request), origin=origin_of(request)
        )
        await self._settled()
        return Response(status_code=200)

    async def _remove_override(self, request: Request) -> Response:
        app, instance_id = names(request)
        self._registry.instance(app, instance_id)
        status: InstanceStatus | Response = InstanceStatus.UNKNOWN
        if "value" in request.query_params:
            status = _status(request)
        if isinstance(status, Response):
            return status
        self._registry.remove_override(
            app, instance_id, status, last_dirty_ms=last_dirty(request), origin=origin_of(request)
        )
        await self._settled()
        return Response(status_code=200)

    async def _metadata(self, request: Request) -> Response:
        app, instance_id = names(request)
        entries = text_map_of(dict(request.query_params), "metadata")
        self._registry.update_metadata(app, instance_id, entries, origin=origin_of(request))
        await self._settled()
        return Response(status_code=200)

    async def _switch_group(self, request: Request) -> Response:
        value = request.query_params.get("value", "").strip().upper()
        if value not in {"ENABLED", "DISABLED"}:
            return PlainTextResponse("value must be ENABLED or DISABLED", status_code=500)
        self._registry.switch_group(
            request.path_params["name"],
            is_enabled=value == "ENABLED",
            origin=origin_of(request),
        )
        await self._settled()
        return Response(status_code=200)


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


def _or_of_id(ending: str, endpoint: _Endpoint, of_instance: _Endpoint) -> _Endpoint:
    """`endpoint`, but `of_instance` where the `ending` of the path belongs to the instance's id."""

    async def answer(request: Request) -> Response:
        if belongs_to_id(request, ending.encode()):
            request.path_params["instance_id"] += ending
            return await of_instance(request)
        return await endpoint(request)

    return answer


def _answering_errors(endpoint: _Endpoint) -> _Endpoint:
    """`endpoint` with every refusal told as the status code and text that clients know."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BreakwaterError as error:
            return PlainTextResponse(str(error), status_code=status_of(error))

    return answer
