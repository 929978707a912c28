"""The lease, the registry view and the choice of an instance, over real sockets."""

import json
import os
import socket
from collections.abc import Callable, Collection
from random import Random

import msgspec
import psutil
import pytest
from tests.sdk.fleet import Platform, instance

from breakwater.model import Instance
from breakwater.sdk import Service
from breakwater.sdk.discovery import (
    Evidence,
    Lease,
    RegistryView,
    Resolver,
    is_service_name,
)
from breakwater.sdk.discovery.view import GRACE_S
from breakwater.sdk.settings import Address, ServiceSettings
from breakwater.testing import FakeClock


@pytest.fixture
def view(clock: FakeClock) -> RegistryView:
    """A view that is fed by hand."""
    return RegistryView((), clock=clock, random=Random(1))


def answer(revision: int, *instances: dict[str, object]) -> bytes:
    """One answer of the registry."""
    return json.dumps({"revision": revision, "instances": instances}).encode()


def ids(view: RegistryView, service: str) -> list[str]:
    """The instances the view has of a service."""
    return [one.instance_id for one in view.instances(service)]


def test_only_instances_that_are_up_are_seen(view: RegistryView) -> None:
    """A service that is starting or out of service gets no calls; names ignore case."""
    down = {**instance("cdn", 2), "status": "OUT_OF_SERVICE"}
    view.accept(answer(1, instance("CDN", 1), down, instance("account", 3)))
    assert ids(view, "cdn") == ["CDN-1"]
    assert ids(view, "nobody") == []


def test_an_instance_that_left_is_gone_at_once(view: RegistryView) -> None:
    """A working registry is believed."""
    view.accept(answer(1, instance("cdn", 1), instance("cdn", 2)))
    view.accept(answer(2, instance("cdn", 2)))
    assert ids(view, "cdn") == ["cdn-2"]


@pytest.mark.parametrize("restarted", [[], [instance("cdn", 1)]])
def test_a_registry_that_restarted_is_given_time(
    view: RegistryView, clock: FakeClock, restarted: list[dict[str, object]]
) -> None:
    """What it does not list yet is kept for as long as a lease lasts, and then believed gone."""
    view.accept(answer(50, instance("cdn", 1), instance("cdn", 2)))
    view.accept(answer(1, *restarted))
    assert sorted(ids(view, "cdn")) == ["cdn-1", "cdn-2"]
    clock.advance(GRACE_S - 1)
    view.accept(answer(2, instance("cdn", 1)))
    assert ids(view, "cdn") == ["cdn-1", "cdn-2"]
    assert view.stats().is_on_grace
    clock.advance(1)
    view.accept(answer(2, instance("cdn", 1)))
    assert ids(view, "cdn") == ["cdn-1"]


def test_an_empty_registry_is_believed_if_it_never_went_away(view: RegistryView) -> None:
    """When everybody left, nobody is there."""
    view.accept(answer(1, instance("cdn", 1)))
    view.accept(answer(2))
    assert ids(view, "cdn") == []


@pytest.mark.slow
def test_a_new_registry_behind_the_same_address_is_given_time(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """Its revision may be higher; that the connection broke tells that it is another one."""
    with service_of("gateway") as service:
        platform.set_view(instance("cdn", 1), instance("cdn", 2), revision=1000)
        platform.wait_for(lambda: platform.count("GET", "revision=1000") > 0)
        port = platform.port
        platform.stop()
        again = Platform(port)
        try:
            again.set_view(instance("cdn", 2), revision=2000)
            again.wait_for(lambda: again.count("GET", "revision=2000") > 0)
            assert len(service.instances("cdn")) == 2
            assert service.stats().view.is_on_grace
        finally:
            again.stop()


def test_an_instance_listed_as_down_is_not_kept_on_grace(view: RegistryView) -> None:
    """The registry does know it, and says it is down."""
    view.accept(answer(50, instance("cdn", 1), instance("cdn", 2)))
    view.accept(answer(1, {**instance("cdn", 2), "status": "DOWN"}))
    assert ids(view, "cdn") == ["cdn-1"]


@pytest.mark.parametrize("nonsense", [b"", b"<html>", b"[]", b'{"revision": "x"}'])
def test_nonsense_leaves_the_copy_as_it_is(view: RegistryView, nonsense: bytes) -> None:
    """An answer that is no answer is an error of the poll, not an empty registry."""
    view.accept(answer(1, instance("cdn", 1)))
    with pytest.raises(msgspec.DecodeError):
        view.accept(nonsense)
    assert ids(view, "cdn") == ["cdn-1"]


@pytest.fixture
def resolver(view: RegistryView, clock: FakeClock) -> Resolver:
    """A resolver in zone a, over two instances there and two in zone b."""
    spread = [
        instance("cdn", 1, zone="a"),
        instance("cdn", 2, zone="b"),
        instance("cdn", 3, zone="a"),
        instance("cdn", 4, zone="b"),
    ]
    view.accept(answer(1, *spread))
    return Resolver(view, "a", clock=clock, random=Random(1))


def picks(resolver: Resolver, count: int, exclude: Collection[str] = ()) -> list[str]:
    """What the resolver picks in a row."""
    found = []
    for _ in range(count):
        pick = resolver.pick("cdn", exclude)
        if pick is not None:
            pick.settle()
            found.append(pick.instance.instance_id)
    return found


def test_instances_of_the_own_zone_take_turns(resolver: Resolver) -> None:
    """Load is even within the zone, and stays in it."""
    chosen = picks(resolver, 20)
    assert sorted(set(chosen)) == ["cdn-1", "cdn-3"]
    assert chosen.count("cdn-1") == 10
    assert resolver.stats().out_of_zone == 0


def test_an_empty_zone_spills_over(view: RegistryView, clock: FakeClock) -> None:
    """With nobody at home, the other zones answer."""
    resolver = Resolver(view, "c", clock=clock, random=Random(1))
    view.accept(answer(2, instance("cdn", 1, zone="a"), instance("cdn", 2, zone="b")))
    assert sorted(set(picks(resolver, 10))) == ["cdn-1", "cdn-2"]
    assert resolver.stats().out_of_zone == 10


def test_one_that_refused_is_passed_over_for_a_second(resolver: Resolver, clock: FakeClock) -> None:
    """The next calls go to its neighbour, and soon it is tried again."""
    resolver.note("cdn", "cdn-3", Evidence.REFUSED)
    assert "cdn-3" not in picks(resolver, 20)
    resolver.note("cdn", "cdn-1", Evidence.REFUSED)
    assert set(picks(resolver, 20)) == {"cdn-2", "cdn-4"}
    clock.advance(1.0)
    assert {"cdn-1", "cdn-3"} & set(picks(resolver, 6))


def test_if_all_refused_all_are_tried(resolver: Resolver) -> None:
    """A call is never failed for want of trying."""
    for number in range(1, 5):
        resolver.note("cdn", f"cdn-{number}", Evidence.REFUSED)
    assert len(picks(resolver, 6)) == 6


def test_a_retry_goes_elsewhere_if_it_can(resolver: Resolver) -> None:
    """The instance just tried is used again only if there is no other."""
    assert set(picks(resolver, 6, exclude=["cdn-1"])) == {"cdn-3"}
    everywhere = [f"cdn-{number}" for number in range(1, 5)]
    assert len(picks(resolver, 6, exclude=everywhere)) == 6


def test_nobody_is_nobody(resolver: Resolver) -> None:
    """A service without instances is None, and counted."""
    assert resolver.pick("nobody") is None
    assert resolver.find("cdn", "cdn-9") is None
    assert resolver.stats().nobody == 1


def test_a_fixed_list_wins_over_the_registry(resolver: Resolver) -> None:
    """A program that knows better says so."""
    fixed = Instance(service="cdn", instance_id="mine", host="127.0.0.1", port=1)
    resolver.pin("cdn", [fixed])
    assert picks(resolver, 2) == ["mine", "mine"]
    assert resolver.instances("cdn") == [fixed]


def test_a_service_registers_renews_and_cancels(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """While it runs it is listed as UP with what the platform needs to act on the process."""
    service = service_of("catalogue", port=8101)
    service.start()
    platform.wait_for(lambda: "catalogue-1" in platform.leases)
    lease = platform.leases["catalogue-1"]
    assert (lease["app"], lease["vipAddress"], lease["status"]) == ("CATALOGUE", "catalogue", "UP")
    assert lease["port"] == {"$": 8101, "@enabled": "true"}
    assert lease["leaseInfo"] == {"renewalIntervalInSecs": 5, "durationInSecs": 15}
    metadata = lease["metadata"]
    assert metadata["zone"] == "a"
    assert int(metadata["pid"]) == os.getpid()
    started = psutil.Process().create_time()
    assert float(metadata["pid_started"]) == pytest.approx(started, abs=1.5)
    service.stop()
    assert platform.leases == {}
    assert not service.stats().is_started


@pytest.fixture
def quick(platform: Platform) -> ServiceSettings:
    """A service that renews twenty times a second."""
    return ServiceSettings(
        service="cdn",
        instance="cdn a/1",
        zone="a",
        host="127.0.0.1",
        port=9,
        platform=Address(host="127.0.0.1", port=platform.port),
        metrics=None,
        renewal_s=0.05,
    )


def lease_of(settings: ServiceSettings, clock: FakeClock) -> Lease:
    """A lease at the platform of the settings."""
    assert settings.platform is not None
    return Lease((settings.platform,), settings, clock=clock, random=Random(1))


def test_a_registry_that_forgot_us_is_told_again(
    platform: Platform, quick: ServiceSettings, clock: FakeClock
) -> None:
    """404 on a renewal means: register."""
    lease = lease_of(quick, clock)
    lease.start()
    platform.wait_for(lambda: platform.count("PUT", "/eureka/apps/CDN/cdn%20a%2F1?status=UP") > 2)
    with platform.changed:
        platform.leases.clear()
    platform.wait_for(
        lambda: (
            platform.count("POST", "/eureka/apps/CDN") == 2 and platform.requests[-1][0] == "PUT"
        )
    )
    lease.stop()
    assert platform.count("DELETE", "/eureka/apps/CDN/cdn%20a%2F1") == 1
    stats = lease.stats()
    assert (stats.registrations, stats.is_registered, stats.is_running) == (2, False, False)


@pytest.mark.slow
def test_a_lease_outlives_the_platform(
    platform: Platform, quick: ServiceSettings, clock: FakeClock
) -> None:
    """A platform that answers errors, dies and comes back elsewhere finds us registered."""
    lease = lease_of(quick, clock)
    lease.start()
    platform.wait_for(lambda: "cdn a/1" in platform.leases)
    with platform.changed:
        platform.error = 503
    before = len(platform.requests)
    platform.wait_for(lambda: len(platform.requests) > before + 2)
    port = platform.port
    platform.stop()
    again = Platform(port)
    try:
        again.wait_for(lambda: bool(again.leases))
    finally:
        lease.stop()
        again.stop()
    assert lease.stats().failures > 0


def test_a_platform_with_tokens_is_shown_one(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """The lease and the long polls all carry the token, or nobody would be let in."""
    platform.token = "bw_secret"
    with service_of("cdn", port=9, token="bw_secret") as service:
        platform.wait_for(lambda: "cdn-1" in platform.leases)
        platform.wait_for(lambda: platform.count("GET", "/registry/") > 0)
        platform.wait_for(lambda: platform.count("GET", "/faults/") > 0)
        assert service.settings.platform is not None
        assert service.settings.platform.token == "bw_secret"
    assert platform.leases == {}


def test_without_a_port_there_is_no_lease(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """Who listens nowhere cannot be found, but sees the others."""
    platform.set_view(instance("cdn", 1))
    with service_of("player") as service:
        platform.wait_for(lambda: platform.count("GET", "/api/v1/registry") > 1)
        assert [one.instance_id for one in service.instances("cdn")] == ["cdn-1"]
        assert service.stats().lease is None
    assert platform.count("POST", "/eureka") == 0


def test_the_view_follows_the_registry_and_outlives_it(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """Changes arrive by long poll; when the registry is dead the last copy goes on serving."""
    with service_of("gateway") as service:
        platform.set_view(instance("cdn", 1), instance("cdn", 2, zone="a"))
        platform.wait_for(lambda: platform.count("GET", "revision=1") > 0)
        assert [one.port for one in service.instances("cdn")] == [2, 1]
        platform.stop()
        assert [one.port for one in service.instances("cdn")] == [2, 1]


@pytest.mark.parametrize(
    "ill", ["dead", pytest.param("silent", marks=pytest.mark.slow), "garbage", "failing"]
)
def test_starting_beside_an_ill_platform_harms_nobody(
    platform: Platform, service_of: Callable[..., Service], ill: str
) -> None:
    """Start and stop return, meters work, nothing raises; the stats tell what is wrong."""
    url = platform.url
    if ill == "dead":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
    platform.is_silent = ill == "silent"
    platform.garbage = b"\x00\xff{" if ill == "garbage" else None
    platform.error = 500 if ill == "failing" else None
    with service_of("cdn", port=9, url=url) as service:
        service.counter("plays").increment()
        assert service.instances("account") == []
        poll = service.stats().view.poll
        assert poll.answers == 0
        if ill != "silent":
            assert poll.failures > 0
            assert poll.last_failure


def test_the_rest_of_a_platform_that_hangs_up_in_the_middle(
    service_of: Callable[..., Service],
) -> None:
    """Half an answer is a failure like any other."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        service = service_of("cdn", url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        view = service._membership._view
        view.start()
        peer, _ = listener.accept()
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        peer.close()
        assert view.wait_first(10.0)
        view.stop()
        assert "99 bytes are missing" in view.stats().poll.last_failure


@pytest.mark.parametrize(
    ("scheme", "host", "port", "is_name"),
    [
        ("http", "prices", None, True),
        ("https", "prices", None, False),
        ("http", "prices", 8101, False),
        ("http", "prices.example", None, False),
        ("http", "::1", None, False),
        ("http", "[::1]", None, False),
        ("http", "", None, False),
        ("http", None, None, False),
    ],
)
def test_a_bare_host_name_is_a_service(
    scheme: str,
    host: str | None,
    port: int | None,
    is_name: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """Whatever has a port, a dot or an address in it is left to the network."""
    assert is_service_name(scheme, host, port) is is_name
