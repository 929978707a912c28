"""Fixtures of the SDK's tests: a platform and a meter listener on real sockets, a fake clock."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import pytest
from tests.sdk.callee import Callee
from tests.sdk.fleet import MeterListener, Platform, serving
from tests.sdk.streaming import Streamer, streaming

from breakwater.sdk import Service
from breakwater.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A small platform on a free port."""
    made = Platform()
    yield made
    made.stop()


@pytest.fixture
def meters() -> Iterator[MeterListener]:
    """Whatever meter lines are sent."""
    made = MeterListener()
    yield made
    made.stop()


@pytest.fixture
def service_of(platform: Platform, meters: MeterListener) -> Callable[..., Service]:
    """Makes services that know this platform and this meter listener."""

    def make(name: str, **given: object) -> Service:
        settings: dict[str, object] = {
            "instance": f"{name}-1",
            "zone": "a",
            "url": platform.url,
            "metrics": meters.url,
            "random": Random(1),
            **given,
        }
        return Service(name, **settings)  # type: ignore[arg-type] # a test's own mix of settings

    return make


@pytest.fixture
def callee() -> Callee:
    """The server that is called."""
    return Callee()


@pytest.fixture
def port(callee: Callee) -> Iterator[int]:
    """Where it listens."""
    with serving(callee.app) as found:
        yield found


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port where connections are refused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture
async def gateway(service_of: Callable[..., Service], anyio_backend: str) -> AsyncIterator[Service]:
    """The service that calls."""
    async with service_of("gateway") as service:
        yield service


@pytest.fixture
def streamer() -> Iterator[Streamer]:
    """A server that answers in pieces."""
    with streaming() as made:
        yield made


@pytest.fixture
def caller(service_of: Callable[..., Service]) -> Iterator[Service]:
    """A sync service that calls, and knows no platform."""
    with service_of("gateway", url="none") as service:
        yield service


@pytest.fixture
def shop_service(service_of: Callable[..., Service]) -> Iterator[Service]:
    """The service whose database, cache or queue it is; it knows no platform."""
    with service_of("shop", url="none") as service:
        yield service
