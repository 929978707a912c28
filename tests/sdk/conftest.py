"""Fixtures of the SDK's tests: a platform and a meter listener on real sockets, a fake clock."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from tests.sdk.fleet import MeterListener, Platform

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
