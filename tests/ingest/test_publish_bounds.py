"""What a publish payload may cost, and that nothing is acknowledged that was not stored."""

import json

import anyio
import pytest
from tests.ingest.memory_sink import MemorySink
from tests.ingest.taking import T0, metric, payload, published, publisher

from breakwater.ingest import IngestSettings, InputError, Publisher, Taken
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock


def test_what_the_sink_would_not_keep_is_refused(sink: MemorySink, clock: FakeClock) -> None:
    """What the ages of the settings allow, but not the sink's reach, is not acknowledged."""
    sink.reach = (T0 - 5_000, T0 + 2_000)
    one = publisher(sink, clock)
    body = payload(*(metric(name="hits", at=T0 + s * 1000) for s in (-6, -5, 2, 3)))
    result = published(one, body)
    assert (result.accepted, result.refused) == (2, 2)
    assert [message.split(":")[0] for message in result.messages] == [
        "DataTooOld",
        "DataFromFuture",
    ]
    assert "[-5000, +2000] ms" in result.messages[0]
    assert sink.of(name="hits") == {T0 - 5000: 1.0, T0 + 2000: 1.0}


@pytest.mark.parametrize("now_s", [0, 1, 29, 59])
def test_every_acknowledged_datapoint_is_in_the_store(now_s: int) -> None:
    """Whatever the stamps of a payload, the store has as many datapoints as were accepted."""
    clock = FakeClock(1_699_999_980_000 + now_s * 1000)
    engine = MetricsEngine(MetricsSettings(), clock)
    one = Publisher(IngestSettings(), engine, clock)
    stamps = [clock.now_ms() + s * 1000 for s in (*range(-130, 70), 3, -70)]
    result = published(
        one, payload(*(metric(name=f"hits.{i}", at=t) for i, t in enumerate(stamps)))
    )
    stats = engine.stats()
    assert result.accepted == stats.datapoints > 50
    assert stats.dropped == {}
    assert (
        result.refused == one.stats().refused["DataTooOld"] + one.stats().refused["DataFromFuture"]
    )
    assert stats.series == result.accepted  # what was refused makes no series


@pytest.mark.parametrize("text", ["Infinity", "-Infinity"])
def test_infinity_is_refused(sink: MemorySink, clock: FakeClock, text: str) -> None:
    """The store keeps finite values only, so another one is not acknowledged."""
    result = published(publisher(sink, clock), payload(metric(text, name="hits")))
    assert (result.accepted, result.refused) == (0, 1)
    assert result.messages[0].startswith("InfiniteValue")
    assert sink.points == {}


def test_a_metric_without_a_value_is_no_nan(sink: MemorySink, clock: FakeClock) -> None:
    """A value that was forgotten is an error, not a value that is missing."""
    body = payload({"tags": {"name": "hits"}, "timestamp": T0}, metric(name="good"))
    with pytest.raises(InputError, match=r"needs 'timestamp' .* and 'value'"):
        published(publisher(sink, clock), body)
    assert sink.points == {}


def test_long_tags_are_refused_unread(sink: MemorySink, clock: FakeClock) -> None:
    """Tags of megabytes are neither parsed nor remembered."""
    many = {f"k{i}": "v" for i in range(10_000)}
    result = published(publisher(sink, clock), payload(metric() | {"tags": many}))
    assert result.messages[0].startswith("InvalidTags: the tags have 1")
    with pytest.raises(InputError, match="common 'tags' have"):
        published(publisher(sink, clock), payload(metric(name="hits"), **many))
    long = {"tags": {"name": "hits"}, "start": T0, "values": [1] * 20_000}
    with pytest.raises(InputError, match="one value is expected"):
        published(publisher(sink, clock), payload(long))


@pytest.mark.anyio
async def test_a_large_payload_leaves_room_for_others(sink: MemorySink, clock: FakeClock) -> None:
    """It is stored in turns; others' payloads come in between, and each keeps its own account."""
    one = publisher(sink, clock)
    large = payload(*(metric(name=f"large.{i}") for i in range(9_000)))
    small = payload(metric(name="small.1"), metric(name="small.2", at=5))
    found: list[Taken] = []

    async def take_large() -> None:
        found.append(await one.publish(large))

    rounds = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_large)
        while not found:
            rounds += 1
            assert (await one.publish(small)).accepted == 1
    assert rounds >= 4
    assert found == [Taken(accepted=9_000, refused=0, messages=[])]
    assert one.stats().refused == {"DataTooOld": rounds}
    assert one.stats().datapoints == 9_000 + rounds


def test_nothing_is_stored_of_a_payload_that_is_broken_at_its_end(
    sink: MemorySink, clock: FakeClock
) -> None:
    """A large payload is read completely before any of it is stored."""
    good = [metric(name=f"hits.{i}", path="x" * 100) for i in range(12_000)]
    body = json.dumps({"metrics": [*good, {"tags": {}, "timestamp": "x"}]}).encode()
    with pytest.raises(InputError, match="not a publish payload"):
        published(publisher(sink, clock), body)
    assert sink.points == {}
