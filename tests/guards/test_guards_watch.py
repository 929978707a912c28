"""Reading real streams: only while somebody watches, bounded, and through every failure."""

import json
from contextlib import aclosing
from typing import Any

import anyio
import msgspec
import pytest
from tests.guards.hosts import QUICK, Host, instance_of, recorded_hosts, watching
from tests.guards.recorded import stream_of

from breakwater.guards import TooManyWatchersError, UnknownClusterError
from breakwater.guards.reading import ReadingState, stream_url
from breakwater.guards.watch import GuardWatch
from breakwater.model import Instance

pytestmark = pytest.mark.anyio
DEADLINE_S = 20.0


def messages_in(event: bytes) -> list[dict[str, Any]]:
    """The messages of one tick."""
    lines = event.split(b"\n\n")
    assert lines.pop() == b": ping\n"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


async def first_tick(watch: GuardWatch, cluster: str | None, hosts: int) -> list[dict[str, Any]]:
    """The first tick in which so many hosts are behind the numbers."""
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(watch.events(cluster)) as events:
            async for event in events:
                messages = messages_in(event)
                if messages[-1]["reportingHostsLast10Seconds"] == hosts:
                    return messages
    raise AssertionError("the stream ended")


async def test_recorded_hosts_are_one_stream() -> None:
    """The streams of three instances are read and sent on as one, with Turbine's meta message."""
    with recorded_hosts() as instances:
        async with watching(instances) as (watch, _):
            messages = await first_tick(watch, "CATALOGUE", 3)
    account = next(each for each in messages if each["name"] == "AccountById")
    assert account["reportingHosts"] == 3
    assert account["rollingCountSuccess"] == 282
    assert messages[-1]["type"] == messages[-1]["name"] == "meta"


async def test_the_view_divides() -> None:
    """The view for programs waits for every instance and divides what are sums of means."""
    with recorded_hosts() as instances:
        async with watching(instances) as (watch, _):
            view = await watch.view("catalogue")
    (service,) = view.services
    commands = {command.name: command for command in service.commands}
    account = commands["AccountById"]
    assert (account.hosts, account.state, account.requests) == (3, "closed", 282)
    assert account.latency_mean_ms == 12.0
    assert account.latency_ms["99"] == 60.0
    assert account.requests_per_s == pytest.approx(28.2)
    assert account.timeout_ms == 1000
    ranker = commands["Ranker"]
    assert (ranker.state, ranker.open_hosts, ranker.error_percent) == ("open", 2, 100.0)
    assert ranker.counts["ShortCircuited"] == 140
    assert [(pool.name, pool.executed) for pool in service.pools] == [("storage", 609)]
    assert [(each.name, each.batch_size) for each in service.collapsers] == [("TitleBatch", 3.0)]
    readings = {each.instance: each for each in service.instances}
    assert {each.state for each in readings.values()} == {ReadingState.STREAMING}
    assert readings["host-c"].bad == 3


@pytest.mark.slow
async def test_nothing_is_read_unless_wanted() -> None:
    """Instances are asked when somebody watches, and left when the last has gone."""
    host = Host(stream_of("host-a"))
    try:
        async with watching([instance_of(host, "a")]) as (watch, _):
            assert host.requests == []
            with anyio.fail_after(DEADLINE_S):
                await first_tick(watch, "catalogue", 1)
                await anyio.to_thread.run_sync(host.wait_for_readers, 0)
            assert host.requests == ["/hystrix.stream"]
    finally:
        host.stop()


async def test_watchers_share_the_streams() -> None:
    """However many watch, each instance is read once."""
    host = Host(stream_of("host-a"))
    try:
        async with watching([instance_of(host, "a")]) as (watch, _):
            async with anyio.create_task_group() as group:
                for cluster in ("catalogue", "Catalogue", "catalogue"):
                    group.start_soon(first_tick, watch, cluster, 1)
            assert len(host.requests) == 1
    finally:
        host.stop()


@pytest.mark.slow
async def test_an_instance_that_leaves_is_subtracted() -> None:
    """When the registry names an instance no more, its numbers go, and what it alone had."""
    hosts = [Host(stream_of("host-a")), Host(stream_of("host-c"))]
    try:
        instances = [instance_of(host, name) for host, name in zip(hosts, "ac", strict=True)]
        async with watching(instances) as (watch, fleet):
            left: list[dict[str, Any]] = []
            with anyio.fail_after(DEADLINE_S):
                async with aclosing(watch.events("catalogue")) as events:
                    async for event in events:
                        messages = messages_in(event)
                        left += [each for each in messages if each.get("deleteData") == "true"]
                        hosts_now = messages[-1]["reportingHostsLast10Seconds"]
                        if hosts_now == 2:
                            fleet.instances = instances[1:]
                        if left:
                            break
            assert hosts_now == 1
            assert [(each["type"], each["name"]) for each in left] == [
                ("HystrixCommand", "Ranker")  # only the other had it
            ]
    finally:
        for host in hosts:
            host.stop()


async def test_failing_instances_are_shown() -> None:
    """An instance that is gone, has no stream or talks nonsense is named, with the reason."""
    hosts = {
        "good": Host(stream_of("host-a")),
        "none": Host(b"", status=404),
        "broken": Host(b"", status=500),
        "endless": Host(b"data: " + b"x" * 300_000),
    }
    try:
        instances = [instance_of(host, name) for name, host in hosts.items()]
        nobody = Host(b"")
        nobody.stop()
        instances.append(instance_of(nobody.port, "gone"))
        async with watching(instances) as (watch, _):
            (service,) = (await watch.view("catalogue")).services
    finally:
        for host in hosts.values():
            host.stop()
    states = {each.instance: each.state for each in service.instances}
    assert states == {
        "good": "streaming",
        "none": "no_stream",
        "broken": "failing",
        "endless": "failing",
        "gone": "failing",
    }
    reasons = {each.instance: each.last_failure for each in service.instances}
    assert "404" in reasons["none"]
    assert "500" in reasons["broken"]
    assert "longer than 262144 bytes" in reasons["endless"]
    assert "ClientConnectorError" in reasons["gone"]
    assert {command.hosts for command in service.commands} == {1}


@pytest.mark.slow
async def test_a_stream_that_ends_is_opened_again() -> None:
    """A broken stream is read again after a pause."""
    host = Host(stream_of("host-a"), ends=True)
    try:
        async with watching([instance_of(host, "a")]) as (watch, _), anyio.create_task_group() as g:
            g.start_soon(first_tick, watch, "catalogue", 99)
            await anyio.to_thread.run_sync(host.wait_for_requests, 2)
            g.cancel_scope.cancel()
    finally:
        host.stop()


async def test_streams_are_bounded() -> None:
    """Beyond `max_streams` instances are not read, and the view says which."""
    settings = msgspec.structs.replace(QUICK, max_streams=2)
    with recorded_hosts() as instances:
        async with watching(instances, settings) as (watch, _):
            (service,) = (await watch.view("catalogue")).services
    assert len(service.instances) == 2
    assert service.left_out == ["host-c"]


async def test_watchers_are_bounded_and_clusters_known() -> None:
    """One watcher too many is refused, and so is a service nobody registered."""
    settings = msgspec.structs.replace(QUICK, max_watchers=1)
    async with watching([instance_of(1, "a")], settings) as (watch, _):
        with pytest.raises(UnknownClusterError, match="services: catalogue"):
            watch.events("ranker")
        with pytest.raises(UnknownClusterError):
            await watch.view("ranker")
        async with aclosing(watch.events(None)) as events:
            await anext(events)
            with pytest.raises(TooManyWatchersError, match="at most 1"):
                watch.events(None)
            assert watch.stats().refused_watchers == 1


async def test_closing_ends_the_streams() -> None:
    """When the platform stops, watchers are let go."""
    async with watching([instance_of(1, "a")]) as (watch, _):
        with anyio.fail_after(DEADLINE_S):
            async with aclosing(watch.events("default")) as events:
                async for _ in events:
                    watch.close()


@pytest.mark.parametrize(
    ("metadata", "url"),
    [
        ({}, "http://127.0.0.1:80/hystrix.stream"),
        (
            {"hystrix.stream": "actuator/hystrix.stream"},
            "http://127.0.0.1:80/actuator/hystrix.stream",
        ),
        ({"management.port": "9090"}, "http://127.0.0.1:9090/hystrix.stream"),
        ({"management.port": "${x}"}, "http://127.0.0.1:80/hystrix.stream"),
        ({"hystrix.stream": "//elsewhere/x"}, "http://127.0.0.1:80/elsewhere/x"),
    ],
)
async def test_metadata_says_where(metadata: dict[str, str], url: str) -> None:
    """Path and port may be told to the registry; the host is always the instance's own."""
    instance = Instance(service="s", instance_id="i", host="127.0.0.1", port=80, metadata=metadata)
    assert stream_url(instance) == url


async def test_addresses_of_six() -> None:
    """An IPv6 address is bracketed."""
    instance = Instance(service="s", instance_id="i", host="::1", port=80)
    assert stream_url(instance) == "http://[::1]:80/hystrix.stream"
