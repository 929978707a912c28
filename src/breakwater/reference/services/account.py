"""account: whose device is this, and what has its owner paid for?"""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.accounts import Account, Accounts
from breakwater.reference.answers import Json
from breakwater.reference.application import Background, World
from breakwater.reference.errors import UnauthenticatedError
from breakwater.sdk import Service


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the device, and what kind of device it is."""

    account: Account
    device: str


class AccountStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts there are."""

    accounts: int


class AccountService:
    """Authenticates devices and answers for plans; keeps nothing that could be lost."""

    def __init__(self, service: Service, world: World) -> None:  # noqa: ARG002 - one shape for all
        self._accounts = Accounts(world.seed)

    def routes(self) -> Sequence[Route]:
        """identity: token to account. account: one account."""
        return (
            Route("/v1/identity", self._identity, name="identity"),
            Route("/v1/accounts/{account}", self._account, name="account"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> AccountStats:
        """How many accounts there are."""
        return AccountStats(accounts=self._accounts.count)

    async def _identity(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("send the device's token: authorization: Bearer TOKEN")
        account, device = self._accounts.authenticate(token)
        return Json(Identity(account=account, device=device))

    async def _account(self, request: Request) -> Response:
        return Json(self._accounts.account(request.path_params["account"]))
