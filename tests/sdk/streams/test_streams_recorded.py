"""What a real Hystrix sent, read and added up; ours of the same calls beside it, field by field."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import pytest
from tests.sdk.streams.dashboard import DEMANDED_OF_COMMANDS, DEMANDED_OF_POOLS
from tests.sdk.streams.scenario import Scenario

from breakwater.guards.events import EventParser
from breakwater.guards.merging import Aggregate, merged
from breakwater.sdk import Guards
from breakwater.sdk.streams import Streams
from breakwater.sdk.streams.messages import Message
from breakwater.sdk.streams.streams import HEADERS, PATHS, PING
from breakwater.testing import FakeClock

FOLDER: Final = Path(__file__).parent / "recordings"
Named = dict[tuple[str, str], Message]

DIFFERENT: Final = {
    ("Shut", "isCircuitBreakerOpen"): (False, True),  # that release forgot a breaker forced open
    ("FallbackOff", "rollingCountExceptionsThrown"): (0, 2),  # both callers were given the error
    ("FallbackBusy", "rollingMaxConcurrentExecutionCount"): (2, 1),  # a fallback is no execution
    ("Crowded", "propertyValue_executionIsolationThreadPoolKeyOverride"): (None, "small-pool"),
}
"""By command and field, what Hystrix said and what ours says of the same calls."""
OURS_ALWAYS: Final = {
    "propertyValue_executionIsolationThreadInterruptOnTimeout": (True, False),
    "propertyValue_requestCacheEnabled": (True, False),
}
"""Defaults that ours does not share; the cache is on where it is asked for."""
MEASURED: Final = frozenset(
    ("currentTime", "latencyExecute", "latencyExecute_mean", "latencyTotal", "latencyTotal_mean")
)
"""What two runs never have in common."""


def events_of(name: str) -> list[Any]:
    """The messages of a recording."""
    return [json.loads(data) for data in EventParser(1 << 18).feed((FOLDER / name).read_bytes())]


@pytest.fixture
def hystrix() -> Named:
    """The whole tick of Hystrix, by type and name."""
    first: Named = {}
    for message in events_of("dashboard.stream"):
        first.setdefault((message["type"], message["name"]), message)
    return first


@pytest.fixture
def guards() -> Iterator[Guards]:
    """Commands of ours, after the calls that were recorded."""
    clock = FakeClock()
    made = Guards(clock=clock, random=Random(1), sleep=clock.advance)
    try:
        Scenario(made, clock).play()
        yield made
    finally:
        for pool in made.shared.workers.values():
            pool.close()


@pytest.fixture
def streams(guards: Guards) -> Iterator[Streams]:
    """The streams of those commands, with a request log from now on."""
    made = Streams(guards, keeps_request_log=True)
    yield made
    made.close()


def sent(streams: Streams, path: str) -> list[Any]:
    """What a watcher of `path` is sent first."""
    connection = streams.open(path)
    try:
        return [json.loads(data) for data in EventParser(1 << 18).feed(connection.read())]
    finally:
        connection.close()


def by_name(messages: list[Message]) -> Named:
    """Messages by type and name."""
    return {(message["type"], message["name"]): message for message in messages}


def test_the_recording_is_read_whole(hystrix: Named) -> None:
    """Every whole event of the recording is read; the one that was cut off is left out."""
    kinds = [kind for kind, _ in hystrix]
    assert [kinds.count(f"Hystrix{each}") for each in ("Command", "ThreadPool", "Collapser")] == [
        14,
        3,
        1,
    ]
    assert len(events_of("dashboard.stream")) == 18 + 2


def test_the_list_of_demands_is_met_by_hystrix_itself(hystrix: Named) -> None:
    """What the dashboard demands, by our list, is there in all that Hystrix sent."""
    demands = {"HystrixCommand": DEMANDED_OF_COMMANDS, "HystrixThreadPool": DEMANDED_OF_POOLS}
    for (kind, _), message in hystrix.items():
        assert [name for name in demands.get(kind, ()) if message.get(name) is None] == []


def test_headers_and_pings_are_hystrix_s() -> None:
    """Ours are the recorded headers and pings, byte for byte."""
    lines = (FOLDER / "headers.txt").read_text().splitlines()
    recorded = dict(line.split(": ", 1) for line in lines if ": " in line)
    assert {name: recorded[name] for name, _ in HEADERS} == dict(HEADERS)
    for each in ("dashboard", "config", "utilization", "request"):
        assert PING in (FOLDER / f"{each}.stream").read_bytes()


@pytest.mark.slow
def test_messages_have_the_recorded_fields(hystrix: Named, streams: Streams) -> None:
    """Ours has each field of the recording, in its order and of its type, and no other."""
    ours = by_name(sent(streams, PATHS[0]))
    ours["HystrixCollapser", "TitleById"] = ours["HystrixCollapser", "Titles"]
    for key, theirs in hystrix.items():
        assert list(ours[key]) == list(theirs)
        for field, value in theirs.items():
            own = ours[key][field]
            if (key[1], field) not in DIFFERENT:
                assert type(own) is type(value), (key, field)
            if isinstance(value, dict):
                assert list(own) == list(value)
                assert {type(each) for each in own.values()} == {int}


@pytest.mark.slow
def test_commands_say_what_hystrix_said(hystrix: Named, streams: Streams) -> None:
    """After the same calls every count, state and property is that of the recording, or listed."""
    ours = by_name(sent(streams, PATHS[0]))
    found = {}
    for (kind, name), theirs in hystrix.items():
        if kind == "HystrixCommand":
            own = ours[kind, name]
            for field, value in theirs.items():
                is_listed = OURS_ALWAYS.get(field) == (value, own[field])
                if field not in MEASURED and own[field] != value and not is_listed:
                    found[name, field] = (value, own[field])
    assert found == DIFFERENT


@pytest.mark.slow
def test_collapsers_and_pools_say_what_hystrix_said(hystrix: Named, streams: Streams) -> None:
    """Batches are counted alike; of pools, what was given to them and what they are made for."""
    ours = by_name(sent(streams, PATHS[0]))
    theirs, own = hystrix["HystrixCollapser", "TitleById"], ours["HystrixCollapser", "Titles"]
    for field in theirs:
        if not field.startswith(("batchSize", "currentTime", "name")):
            assert own[field] == theirs[field], field
    for name in ("Accounts", "small-pool"):
        theirs, own = hystrix["HystrixThreadPool", name], ours["HystrixThreadPool", name]
        for field in ("ActiveCount", "CompletedTaskCount", "CorePoolSize", "MaximumPoolSize"):
            assert own[f"current{field}"] == theirs[f"current{field}"], (name, field)
        assert own["currentTaskCount"] == theirs["currentTaskCount"]


@pytest.mark.slow
def test_config_has_the_recorded_shape(streams: Streams) -> None:
    """The configuration stream has the fields of the recording, in its order and types."""
    (theirs,) = events_of("config.stream")
    (own,) = sent(streams, PATHS[1])
    own["collapsers"]["TitleById"] = own["collapsers"].pop("Titles")
    assert differences(theirs, own) == {
        "requestCacheEnabled",
        "threadInterruptOnTimeout",
        "threadPoolKeyOverride",
        "percentileBucketSizeInMilliseconds",  # there the length of the window,
        "counterBucketSizeInMilliseconds",  # here that of a bucket
        "percentileBucketCount",  # there that of the counters, of collapsers too
        "isForcedClosed",  # there that of forced open
        "maximumSize",  # there not what is in effect
        "queueRejectionThreshold",
    }


def differences(theirs: Any, own: Any, field: str = "") -> set[str]:
    """Fields whose values differ; the shape must not."""
    if isinstance(theirs, dict):
        is_by_name = field in ("commands", "threadpools", "collapsers")
        shapes = (sorted(own), sorted(theirs)) if is_by_name else (list(own), list(theirs))
        assert shapes[0] == shapes[1], field
        return {
            one for name, value in theirs.items() for one in differences(value, own[name], name)
        }
    if own is not None and theirs is not None:
        assert type(own) is type(theirs), field
    return set() if own == theirs else {field}


@pytest.mark.slow
def test_utilization_has_the_recorded_shape(streams: Streams) -> None:
    """The utilization stream names the same commands and pools, with the same fields."""
    (theirs,) = events_of("utilization.stream")
    (own,) = sent(streams, PATHS[2])
    assert differences(theirs, own) == {"poolSize"}


@pytest.mark.slow
def test_requests_are_told_as_hystrix_tells_them() -> None:
    """The entries of both requests are those of the recording, in whatever order."""
    clock = FakeClock()
    guards = Guards(clock=clock, random=Random(1), sleep=clock.advance)
    watcher = Streams(guards).open(PATHS[3])
    try:
        Scenario(guards, clock).play()
        told = [json.loads(data) for data in EventParser(1 << 18).feed(watcher.read())]
    finally:
        watcher.streams.close()
        watcher.close()
        for pool in guards.shared.workers.values():
            pool.close()
    recorded = events_of("request.stream")
    assert [entries(request) for request in told] == [entries(request) for request in recorded]


def entries(request: list[Message]) -> list[Any]:
    """What is said of one request, times left out, in an order that does not depend on threads.

    Two things differ: Hystrix tells the items of an observable command too, and takes the time of
    a call that a pool refused, which had none.
    """
    return sorted(json.dumps(_comparable(each), sort_keys=True) for each in request)


def _comparable(entry: Message) -> Message:
    is_pool_refusal = "THREAD_POOL_REJECTED" in entry["events"]
    return {
        **entry,
        "events": [event for event in entry["events"] if isinstance(event, str)],
        "latencies": [0 if is_pool_refusal else min(each, 0) for each in entry["latencies"]],
        "collapsed": entry.get("collapsed", {}).get("count"),  # here named after the command
    }


@pytest.mark.slow
def test_a_real_host_and_ours_add_up(hystrix: Named, streams: Streams) -> None:
    """An aggregate of a host of Hystrix and one of ours is what Turbine would make of both."""
    aggregate = Aggregate(stale_s=10.0)
    ours = by_name(sent(streams, PATHS[0]))
    for key, message in hystrix.items():
        assert aggregate.put("java", message, 0.0), key
    for message in ours.values():
        assert aggregate.put("python", message, 0.0)
    both = by_name(merged(aggregate.snapshot()))
    profile = both["HystrixCommand", "Profile"]
    assert list(profile) == list(hystrix["HystrixCommand", "Profile"])
    assert (profile["rollingCountSuccess"], profile["rollingCountFailure"]) == (10, 10)
    assert (profile["reportingHosts"], profile["errorPercentage"]) == (2, 100)
    assert (
        profile["latencyExecute"].keys()
        == ours["HystrixCommand", "Profile"]["latencyExecute"].keys()
    )
    assert both["HystrixCommand", "Tripped"]["isCircuitBreakerOpen"] is True
    assert both["HystrixCommand", "Shut"]["isCircuitBreakerOpen"] == {"false": 1, "true": 1}
    assert msgspec.json.decode(msgspec.json.encode(profile)) == profile


def changed(message: Message) -> Message:
    """What another host might have sent in the same tick, for Turbine to add up."""
    other = dict(message)
    for field, value in message.items():
        if isinstance(value, bool):
            other[field] = not value
        elif field == "propertyValue_circuitBreakerRequestVolumeThreshold":
            other[field] = 2 * value
        elif field.startswith("rollingCount"):
            other[field] = value + 1
    return other


def test_the_aggregate_is_turbine_s(hystrix: Named) -> None:
    """Of three hosts our aggregate is a real Turbine's, but for the properties of pools."""
    aggregate = Aggregate(stale_s=10.0)
    for host, messages in (
        ("one", hystrix.values()),
        ("two", hystrix.values()),
        ("three", map(changed, hystrix.values())),
    ):
        for message in messages:
            assert aggregate.put(host, message, 0.0)
    ours = by_name(merged(aggregate.snapshot()))
    lines = (FOLDER / "turbine.jsonl").read_text().splitlines()
    for theirs in map(json.loads, lines):
        own = ours.pop((theirs["type"], theirs["name"]))
        for field, value in theirs.items():
            is_pools = theirs["type"] == "HystrixThreadPool"
            if field.startswith("propertyValue_") and not is_pools and isinstance(value, str):
                assert str(own[field] if own[field] is not None else "null") == value, field
            elif field not in TURBINES_OWN and not (
                is_pools and field.startswith("propertyValue_")
            ):
                assert own[field] == value, field
        assert set(own) - set(theirs) == {"currentTime"}
    assert ours == {}


TURBINES_OWN: Final = frozenset(("InstanceKey", "TypeAndName", "instanceId"))
"""What Turbine adds of its own."""
