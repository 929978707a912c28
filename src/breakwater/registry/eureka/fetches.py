"""Reading the registry over Eureka's protocol: lists, deltas, single instances."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from breakwater.registry.eureka.answers import Answers
from breakwater.registry.eureka.asking import form_of, last_part, names, packs, respond
from breakwater.registry.eureka.fetch_limits import FetchLimits, Target
from breakwater.registry.holding.registry import Registry


class Fetches:
    """One method for each way to read.

    Lists are answered 403 while `is_ready` says no: the registry knows nobody yet and asks a peer.
    The `regions` parameter of Eureka is accepted; there are no remote regions here, so the answer
    is the same.
    """

    def __init__(
        self,
        registry: Registry,
        answers: Answers,
        limits: FetchLimits,
        is_ready: Callable[[], bool],
    ) -> None:
        self._registry = registry
        self._answers = answers
        self._limits = limits
        self._is_ready = is_ready

    async def whole(self, request: Request) -> Response:
        """Every application."""
        refusal = self._refusal(request, Target.WHOLE)
        if refusal is not None:
            return refusal
        return respond(await self._answers.whole(form_of(request), packs=packs(request)))

    async def delta(self, request: Request) -> Response:
        """What changed lately; a client that is answered 403 fetches everything instead."""
        if not self._registry.settings.serves_deltas:
            return PlainTextResponse("deltas are off (registry.serves_deltas)", status_code=403)
        refusal = self._refusal(request, Target.DELTA)
        if refusal is not None:
            return refusal
        return respond(await self._answers.delta(form_of(request), packs=packs(request)))

    async def application(self, request: Request) -> Response:
        """One application."""
        refusal = self._refusal(request, Target.APPLICATION)
        if refusal is not None:
            return refusal
        name = request.path_params["app"]
        answer = await self._answers.application(name, form_of(request), packs=packs(request))
        return respond(answer)

    async def instance(self, request: Request) -> Response:
        """One instance."""
        info = self._registry.instance(*names(request))
        return respond(self._answers.instance(info, form_of(request)))

    async def instance_anywhere(self, request: Request) -> Response:
        """One instance, whatever its application."""
        info = self._registry.instance_anywhere(last_part(request, "instance_id"))
        return respond(self._answers.instance(info, form_of(request)))

    async def behind_address(self, request: Request) -> Response:
        """The instances behind a virtual address."""
        return await self._by_address(request, is_secure=False)

    async def behind_secure_address(self, request: Request) -> Response:
        """The instances behind a secure virtual address."""
        return await self._by_address(request, is_secure=True)

    async def _by_address(self, request: Request, *, is_secure: bool) -> Response:
        if not self._is_ready():
            return _not_ready()
        address = last_part(request, "address")
        answer = await self._answers.behind_address(
            address, form_of(request), is_secure=is_secure, packs=packs(request)
        )
        return respond(answer)

    def _refusal(self, request: Request, target: Target) -> Response | None:
        client = request.headers.get("discoveryidentity-name", "")
        if not self._limits.admits(target, client):
            headers = {"retry-after": "1"}
            what = "the registry is fetched too often by clients that are not privileged"
            return PlainTextResponse(what, status_code=503, headers=headers)
        return None if self._is_ready() else _not_ready()


def _not_ready() -> Response:
    return PlainTextResponse("the registry is being filled from a peer", status_code=403)
