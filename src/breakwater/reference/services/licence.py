"""licence: the one service without a fallback.

Every answer here is either a signed yes or a no. When account or session cannot be asked, nobody
knows whether the viewer has paid or how many streams are running, and a guess signed with our key
would be worth as much as a forgery; so the error goes up and the start fails.
"""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.accounts import Account
from breakwater.reference.answers import Json, body, record, together
from breakwater.reference.application import Background, World
from breakwater.reference.edges import client_of
from breakwater.reference.entitlements import Licence, LicenceRequest, Presented, decide
from breakwater.reference.errors import LicenceRefusedError
from breakwater.reference.licences import Authority, Claims
from breakwater.reference.placement import owner
from breakwater.reference.services.session import Streams
from breakwater.sdk import Service


class LicenceStats(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions since the process began; refusals by reason."""

    granted: int
    verified: int
    refused: dict[str, int]


class LicenceService:
    """Decides, signs and checks."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._account = client_of(service, "account")
        self._session = client_of(service, "session")
        self._authority = Authority(world.secret, world.clock)
        self._granted = self._verified = 0
        self._refused: dict[str, int] = {}

    def routes(self) -> Sequence[Route]:
        """licence: decide and sign. verify: check a token. keys: the public keys."""
        return (
            Route("/v1/licences", self._decide, name="licence", methods=["POST"]),
            Route("/v1/licences/verify", self._verify, name="verify", methods=["POST"]),
            Route("/v1/keys", self._keys, name="keys"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> LicenceStats:
        """Decisions since the process began."""
        return LicenceStats(
            granted=self._granted, verified=self._verified, refused=dict(self._refused)
        )

    async def _decide(self, request: Request) -> Response:
        wish = await body(request, LicenceRequest)
        account, streams = await together(self._entitlement(wish), self._streams(wish))
        try:
            grant = decide(wish, account, streams.earlier)
        except LicenceRefusedError as refusal:
            self._count(refusal)
            raise
        self._granted += 1
        return Json(Licence(token=self._authority.issue(wish, grant), max_height=grant.max_height))

    async def _verify(self, request: Request) -> Response:
        shown = await body(request, Presented)
        try:
            claims: Claims = self._authority.verify(shown.token, session=shown.session)
        except LicenceRefusedError as refusal:
            self._count(refusal)
            raise
        self._verified += 1
        return Json(claims)

    async def _keys(self, request: Request) -> Response:  # noqa: ARG002 - ASGI shape
        return Json(self._authority.public_keys())

    async def _entitlement(self, wish: LicenceRequest) -> Account:
        reply = await self._account.get(f"/v1/accounts/{wish.account}", endpoint="account")
        return record(reply, Account)

    async def _streams(self, wish: LicenceRequest) -> Streams:
        instances = (instance.instance_id for instance in self._service.instances("session"))
        reply = await self._session.get(
            f"/v1/accounts/{wish.account}/streams?session={wish.session}",
            endpoint="streams",
            instance=owner(wish.account, instances),
        )
        return record(reply, Streams)

    def _count(self, refusal: LicenceRefusedError) -> None:
        self._refused[refusal.reason] = self._refused.get(refusal.reason, 0) + 1
        self._service.counter("licence.refused", reason=refusal.reason).increment()
