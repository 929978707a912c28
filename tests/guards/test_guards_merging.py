"""Many hosts as one: a recording is read and aggregated, and the laws of merging."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guards.recorded import HOSTS, played

from breakwater.guards.merging import Aggregate, Message, deletion, merge, merged
from breakwater.guards.view import command_view

TITLES = "Titles-Żółw/by id"


def recorded(*hosts: str) -> dict[tuple[str, str], Message]:
    """The aggregate of the recordings by type and name."""
    aggregate, _ = played(*hosts)
    messages = merged(aggregate.snapshot())
    return {(each["type"], each["name"]): each for each in messages}


def test_a_recording_is_read_whole() -> None:
    """Every command, pool and collapser of three hosts is found; odd events are counted."""
    aggregate, refused = played()
    assert refused == 4  # half an object, a list, no name; a HystrixUtilization has none either
    assert set(recorded()) == {
        ("HystrixCommand", "AccountById"),
        ("HystrixCommand", "Ranker"),
        ("HystrixCommand", TITLES),
        ("HystrixCommand", "TwoLines"),
        ("HystrixThreadPool", "storage"),
        ("HystrixCollapser", "TitleBatch"),
    }
    assert aggregate.instances() == set(HOSTS)


def test_numbers_are_summed() -> None:
    """Counters, means, percentages and reportingHosts are sums over the last ticks."""
    account = recorded()["HystrixCommand", "AccountById"]
    assert account["reportingHosts"] == 3
    assert account["rollingCountSuccess"] == 93 + 94 + 95
    assert account["rollingCountBadRequests"] == 3
    assert account["rollingCountResponsesFromCache"] == 0 + 1 + 2
    assert account["requestCount"] == 282
    assert account["latencyExecute_mean"] == 8 + 12 + 16
    titles = recorded()["HystrixCommand", TITLES]
    assert titles["rollingCountTimeout"] == 9
    assert titles["rollingCountCollapsedRequests"] == 180
    assert titles["errorPercentage"] == 3


def test_settings_of_commands_are_said_once() -> None:
    """The dashboard takes them as they are; those of a pool it divides by the hosts."""
    account = recorded()["HystrixCommand", "AccountById"]
    window = "propertyValue_metricsRollingStatisticalWindowInMilliseconds"
    assert account[window] == 10_000
    assert account["propertyValue_circuitBreakerRequestVolumeThreshold"] == {"20": 2, "40": 1}
    assert recorded()["HystrixThreadPool", "storage"][window] == 30_000
    view = command_view("catalogue", account)
    assert (view.window_s, view.requests_per_s) == (10.0, 28.2)
    assert view.minimum_calls == int((20 + 20 + 40) / 3)


def test_maps_are_summed_key_by_key() -> None:
    """Latencies and batch sizes keep their keys, in their order."""
    latencies = recorded()["HystrixCommand", "AccountById"]["latencyExecute"]
    assert list(latencies) == "0 25 50 75 90 95 99 99.5 100".split()
    assert latencies["50"] == 8 + 12 + 16
    assert latencies["100"] == 8 * (8 + 12 + 16)
    assert recorded()["HystrixCollapser", "TitleBatch"]["batchSize"]["99.5"] == 9


def test_words_that_agree_stay() -> None:
    """Where all hosts say the same, it is said once, with its type."""
    account = recorded()["HystrixCommand", "AccountById"]
    assert account["isCircuitBreakerOpen"] is False
    assert account["group"] == "Account"
    assert account["propertyValue_executionIsolationStrategy"] == "SEMAPHORE"
    assert account["propertyValue_executionIsolationThreadPoolKeyOverride"] is None


def test_words_that_differ_are_counted() -> None:
    """Where hosts differ, each value stands with how many say it."""
    both = recorded("host-a", "host-b")["HystrixCommand", "Ranker"]
    assert both["isCircuitBreakerOpen"] is True
    message = {"type": "HystrixCommand", "name": "Ranker", "reportingHosts": 1}
    differing = merge([both, {**message, "isCircuitBreakerOpen": False}])
    assert differing["isCircuitBreakerOpen"] == {"false": 1, "true": 2}
    hosts = [{**message, "isCircuitBreakerOpen": each} for each in (False, True, False)]
    encoded = msgspec.json.encode(merge(hosts)["isCircuitBreakerOpen"])
    assert encoded == b'{"false":2,"true":1}'


def test_a_deleted_command_is_gone_from_its_host() -> None:
    """`deleteData` takes a command of that host out, and leaves the others."""
    ranker = recorded()["HystrixCommand", "Ranker"]
    assert ranker["reportingHosts"] == 2
    assert ranker["rollingCountShortCircuited"] == 140
    assert ("HystrixCommand", "Ranker") not in recorded("host-c")


def test_pools_and_collapsers_are_summed() -> None:
    """What a pool does is the sum of its hosts' threads."""
    pool = recorded()["HystrixThreadPool", "storage"]
    assert pool["currentActiveCount"] == 6
    assert pool["currentCorePoolSize"] == 30
    assert pool["rollingCountThreadsExecuted"] == 609
    batches = recorded()["HystrixCollapser", "TitleBatch"]
    assert (batches["rollingCountRequestsBatched"], batches["rollingCountBatches"]) == (180, 60)


def test_the_time_is_the_latest() -> None:
    """Times are not summed."""
    assert recorded()["HystrixCommand", "AccountById"]["currentTime"] == 1_700_000_001_502


def test_tiers_may_be_aggregated() -> None:
    """Aggregates of aggregates are the aggregate of all hosts."""
    parts = [recorded("host-a", "host-c"), recorded("host-b")]
    for key, whole in recorded().items():
        assert merge([part[key] for part in parts if key in part]) == whole


def test_a_silent_host_leaves() -> None:
    """What was said more than `stale_s` ago counts no more; what nobody says is told as gone."""
    aggregate, _ = played(at_s=100.0)
    aggregate.put("host-a", {"type": "T", "name": "N", "reportingHosts": 1}, 109.0)
    assert aggregate.prune(110.0) == []
    gone = aggregate.prune(110.1)
    assert len(gone) == 6
    assert aggregate.prune(110.2) == []
    assert aggregate.instances() == {"host-a"}
    assert [message["name"] for (message,) in aggregate.snapshot()] == ["N"]


def test_a_dropped_host_is_subtracted() -> None:
    """Without a host the sums are those of the others."""
    aggregate, _ = played()
    aggregate.drop("host-c")
    aggregate.prune(0.0)
    left = {(each["type"], each["name"]): each for each in merged(aggregate.snapshot())}
    assert left == recorded("host-a", "host-b")


def test_deletions_are_understood_by_the_dashboard() -> None:
    """The stock dashboard removes what `escapedName` selects."""
    assert deletion(("HystrixCommand", "a b/c.d")) == {
        "deleteData": "true",
        "type": "HystrixCommand",
        "name": "a b/c.d",
        "escapedName": "a\\ b\\/c\\.d",
    }


@pytest.mark.parametrize(
    "message",
    [None, 5, [], "x", {}, {"type": "T"}, {"type": 1, "name": "N"}, {"type": "", "name": "N"}],
)
def test_no_message_is_refused(message: object) -> None:
    """What has no type and no name is counted and left."""
    aggregate = Aggregate(10.0)
    assert not aggregate.put("a", message, 0.0)
    assert aggregate.stats().refused == 1
    assert aggregate.snapshot() == []


def test_an_instance_cannot_fill_the_memory() -> None:
    """Names and fields are bounded."""
    aggregate = Aggregate(10.0)
    for number in range(2_005):
        aggregate.put("a", {"type": "T", "name": str(number)}, 0.0)
    assert aggregate.stats().names == 2_000
    assert not aggregate.put(
        "a", {"type": "T", "name": "0", **{str(n): n for n in range(300)}}, 0.0
    )


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.sampled_from(["THREAD", "SEMAPHORE"]),
    st.none(),
    st.dictionaries(st.sampled_from(["50", "99"]), st.integers(0, 10**6)),
)
FIELDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@settings(max_examples=50)
@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_any_messages_merge(several: list[dict[str, Any]]) -> None:
    """Whatever types instances disagree about, merging gives every field and JSON."""
    messages = [{"type": "T", "name": "N", "reportingHosts": 1, **each} for each in several]
    whole = merge(messages)
    assert set(whole) == {name for message in messages for name in message}
    assert whole["reportingHosts"] == len(messages)
    assert msgspec.json.decode(msgspec.json.encode(whole)) == whole


SAME = st.fixed_dictionaries(
    {
        "a": st.integers(-(10**6), 10**6),
        "b": st.booleans(),
        "c": st.dictionaries(st.sampled_from(["50", "99"]), st.integers(0, 10**6)),
    }
)


@settings(max_examples=50)
@given(st.lists(SAME, min_size=2, max_size=6), st.data())
def test_merging_is_associative(several: list[dict[str, Any]], data: st.DataObject) -> None:
    """Merging part by part gives what merging all at once gives, in any order."""
    messages = [{"type": "T", "name": "N", "reportingHosts": 1, **each} for each in several]
    cut = data.draw(st.integers(1, len(messages) - 1))
    shuffled = data.draw(st.permutations(messages))
    whole = merge(messages)
    assert merge([merge(shuffled[:cut]), merge(shuffled[cut:])]) == whole
