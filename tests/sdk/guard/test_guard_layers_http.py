"""Retries at one layer, over real connections."""

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.sdk.callee import account
from tests.sdk.fleet import serving

from breakwater.sdk import CallError, Service

pytestmark = pytest.mark.anyio


class Middle:
    """A service between a caller and an account service that refuses connections."""

    def __init__(self, service: Service, refusing: int) -> None:
        self.client = account(service, refusing, retries=2)
        self.app = service.asgi(Starlette(routes=[Route("/x", self.serve)]))

    async def serve(self, _request: Request) -> Response:
        """Answer 502 when the account service cannot be reached."""
        try:
            await self.client.get("/profile")
        except CallError:
            return Response(status_code=502)
        return Response()


@pytest.fixture
def middle(service_of: Callable[..., Service], refusing: int) -> Middle:
    """The service between."""
    return Middle(service_of("middle"), refusing)


@pytest.fixture
def middle_port(middle: Middle) -> Iterator[int]:
    """Where it listens."""
    with serving(middle.app) as port:
        yield port


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (2, 3)])
async def test_who_serves_a_retrying_caller_does_not_retry(
    gateway: Service, middle: Middle, middle_port: int, retries: int, calls: int
) -> None:
    """Three attempts by the one who serves or by the one who asks, never three times three."""
    address = f"http://127.0.0.1:{middle_port}"
    client = gateway.client("middle", instances=[address], retries=retries, timeout_s=30.0)
    with pytest.raises(CallError):
        await client.get("/x")
    stats = middle.client.stats()
    assert (stats.calls, stats.attempts) == (calls, 3)
