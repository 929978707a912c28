"""How a lease ends when there are several registries, one of them ill."""

from collections.abc import Iterator
from random import Random

import pytest
from tests.sdk.fleet import Platform

from breakwater.model import Clock, SystemClock
from breakwater.sdk.discovery import Lease
from breakwater.sdk.settings import Address, ServiceSettings
from breakwater.testing import FakeClock

PATH = "/eureka/apps/CDN/cdn-1"
QUICK = ServiceSettings(
    service="cdn",
    instance="cdn-1",
    zone="a",
    host="127.0.0.1",
    port=9,
    platform=None,
    metrics=None,
    renewal_s=0.05,
)


@pytest.fixture
def second() -> Iterator[Platform]:
    """Another registry."""
    made = Platform()
    yield made
    made.stop()


def lease_at(clock: Clock, *platforms: Platform) -> Lease:
    """A lease at these registries."""
    addresses = tuple(Address(host="127.0.0.1", port=one.port) for one in platforms)
    return Lease(addresses, QUICK, clock=clock, random=Random(1))


@pytest.mark.slow
def test_leaving_waits_for_no_registry_that_hangs(platform: Platform, second: Platform) -> None:
    """The lease is cancelled where somebody answers, within the time the leaving has."""
    clock = SystemClock()
    lease = lease_at(clock, platform, second)
    lease.start()
    platform.wait_for(lambda: "cdn-1" in platform.leases)
    with platform.changed:
        platform.is_silent = True
    lease.stop(timeout_s=1.0)
    assert second.count("DELETE", PATH) == 1
    assert not lease.stats().is_running


@pytest.mark.slow
def test_a_lease_is_cancelled_where_it_was_renewed(
    platform: Platform, second: Platform, clock: FakeClock
) -> None:
    """Of several registries the one asked last is the first to hear that we leave."""
    platform.error = 503
    lease = lease_at(clock, platform, second)
    lease.start()
    second.wait_for(lambda: second.count("PUT", "/eureka/apps/CDN") > 0)
    lease.stop()
    assert second.leases == {}
    assert platform.count("DELETE", "/eureka") == 0


@pytest.mark.slow
def test_a_registry_that_cannot_cancel_leaves_it_to_the_next(
    platform: Platform, second: Platform, clock: FakeClock
) -> None:
    """An error of the one asked is no answer; with nobody well the lease runs out by itself."""
    lease = lease_at(clock, platform, second)
    lease.start()
    platform.wait_for(lambda: "cdn-1" in platform.leases)
    with platform.changed:
        platform.error = second.error = 503
    lease.stop()
    assert platform.count("DELETE", PATH) == second.count("DELETE", PATH) == 1
    assert not lease.stats().is_registered
