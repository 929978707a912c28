"""Samples of Prometheus: what is stored, under which tags, and what is refused."""

import math
import struct

import anyio
import pytest
from tests.ingest.memory_sink import MemorySink
from tests.ingest.remote_write_encoding import delimited, label, packed, sample, series
from tests.ingest.taking import T0, remote_writer, written

from breakwater.ingest import (
    IngestSettings,
    PayloadTooLargeError,
    RemoteWriter,
    Taken,
    TooManySamplesError,
)
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def names(sink: MemorySink) -> list[str]:
    """The series that have a value."""
    return sorted({name for name, _ in sink.points})


def test_samples_are_stored_as_they_come(sink: MemorySink, clock: FakeClock) -> None:
    """`__name__` is the name, other labels are tags, and every series is a gauge."""
    one = remote_writer(sink, clock)
    body = packed(
        series({"__name__": "up", "job": "api"}, (T0 - 1500, 1.0), (T0, 0.0)),
        series({"__name__": "hits_total", "job": "api", "le": "+Inf"}, (T0, 5.5)),
    )
    assert written(one, body) == Taken(accepted=3, refused=0, messages=[])
    assert sink.of(name="up", job="api", atlas_dstype="gauge") == {T0 - 1500: 1.0, T0: 0.0}
    assert names(sink)[0] == "atlas.dstype=gauge,job=api,le=_Inf,name=hits_total"
    assert sink.recorded == []
    assert (one.stats().requests, one.stats().samples) == (1, 3)
    assert one.stats().changed == {"characters": 1}


def test_known_series_are_found_by_their_labels(sink: MemorySink, clock: FakeClock) -> None:
    """The second request resolves nothing and changes nothing."""
    one = remote_writer(sink, clock)
    for value in (1.0, 2.0):
        body = packed(
            series({"__name__": "a b", "job": "api"}, (T0, value)),
            series({"__name__": "other", "job": "api"}, (T0, value)),
        )
        assert written(one, body).accepted == 2
        sink.capacity = 0
    assert one.stats().known_series == 2
    assert one.stats().changed == {"characters": 1}
    assert set(sink.points.values()) == {2.0}


def test_totals_become_rates_when_asked_for(sink: MemorySink, clock: FakeClock) -> None:
    """Series with the name of a counter are recorded as totals, the others stored as they are."""
    one = remote_writer(sink, clock, remote_write_counters="rate")
    total_names = ["hits_total", "took_count", "took_sum", "took_bucket"]
    body = packed(*(series({"__name__": name}, (T0, 1.0)) for name in [*total_names, "up", "sum"]))
    for _ in range(2):
        assert written(one, body).accepted == 6
    assert sorted({name for name, _, _ in sink.recorded}) == sorted(
        f"atlas.dstype=counter,name={name}" for name in total_names
    )
    assert sink.of(name="up", atlas_dstype="gauge") == {T0: 1.0}


def test_growth_of_totals_is_what_the_engine_keeps() -> None:
    """A total read every ten seconds becomes its growth a second."""
    clock = FakeClock(1_700_000_000_000)
    engine = MetricsEngine(MetricsSettings(step_ms=10_000), clock)
    one = RemoteWriter(IngestSettings(remote_write_counters="rate"), engine, clock)
    for n, total in enumerate((100.0, 150.0, 300.0)):
        stamp_ms = clock.now_ms()
        body = packed(series({"__name__": "hits_total", "job": "api"}, (stamp_ms, total)))
        assert written(one, body).accepted == 1
        clock.advance(10 if n < 2 else 0)
    end_ms = clock.now_ms()
    result = engine.query("name,hits_total,:eq,:sum", start_ms=end_ms - 20_000, end_ms=end_ms)
    assert result.lines[0].values.tolist() == [5.0, 15.0]


def test_a_marker_of_the_end_makes_no_series(sink: MemorySink, clock: FakeClock) -> None:
    """It is accepted, counted, and stored nowhere."""
    one = remote_writer(sink, clock)
    body = packed(series({"__name__": "gone"}, (T0, STALE)), series({"__name__": "ab"}, (T0, 1.0)))
    assert written(one, body) == Taken(accepted=2, refused=0, messages=[])
    assert one.stats().no_value == 1
    assert names(sink) == ["atlas.dstype=gauge,name=ab"]


@pytest.mark.parametrize(
    ("labels", "tags", "changes"),
    [
        ({"k": "v"}, "k_=v", {"keys": 1}),
        ({"name": "n"}, "name_=n", {"keys": 1}),
        ({"a" * 70: "v"}, f"{'a' * 60}=v", {"keys": 1}),
        ({"path": "/a/ü"}, "path=_a__", {"characters": 1}),
        ({"path": "x" * 130}, f"path={'x' * 120}", {"values_cut": 1}),
        ({"empty": ""}, "", {}),
        ({"weird.key": "v"}, "weird.key=v", {}),
    ],
)
def test_labels_are_brought_within_our_rules(
    sink: MemorySink, clock: FakeClock, labels: dict[str, str], tags: str, changes: dict[str, int]
) -> None:
    """What our rules would refuse is changed and counted, so that nothing is lost."""
    one = remote_writer(sink, clock)
    assert written(one, packed(series({"__name__": "hits", **labels}, (T0, 1.0)))).refused == 0
    expected = ",".join(sorted(filter(None, ["atlas.dstype=gauge", "name=hits", tags])))
    assert names(sink) == [expected]
    assert one.stats().changed == changes


def test_names_of_metrics_are_brought_within_our_rules(sink: MemorySink, clock: FakeClock) -> None:
    """A name may be longer than other values, and has two characters at least."""
    one = remote_writer(sink, clock)
    body = packed(*(series({"__name__": name}, (T0, 1.0)) for name in ("x", "y" * 300)))
    assert written(one, body).refused == 0
    assert names(sink) == [f"atlas.dstype=gauge,name={name}" for name in ("x_", "y" * 255)]
    assert one.stats().changed == {"values_padded": 1, "values_cut": 1}


def test_series_that_changes_make_the_same_are_counted(sink: MemorySink, clock: FakeClock) -> None:
    """Two that come to the same tags share a series, once in `merged`, whenever they come."""
    one = remote_writer(sink, clock)
    paths = [{"__name__": "hits", "path": path} for path in ("/a", "/b", ":a", ":c", "-c")]
    bodies = [packed(*(series(each, (T0, 1.0)) for each in part)) for part in (paths[:3], paths)]
    for body in (*bodies, packed(series({**paths[0], "path": "a/"}, (T0, 1.0)))):
        assert written(one, body).refused == 0
    assert one.stats().changed == {"characters": 5, "merged": 1}
    sink.retire_all()
    written(one, packed(series(paths[3], (T0, 1.0)), series({**paths[0], "path": "*c"}, (T0, 1))))
    assert one.stats().changed["merged"] == 2


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        ({"job": "api"}, "HasKeyRule"),
        ({"__name__": "hits", **{f"k{n}": "v" for n in range(20)}}, "MaxUserTagsRule"),
        (
            {"__name__": "hits", **{f"k{n}": "v" for n in range(70)}},
            "InvalidLabels: a series has more than 64 labels",
        ),
        ({"__name__": "hits", "a b": "1", "a_b": "2"}, "two labels become the tag 'a_b'"),
        ({"__name__": "hits", "nf.odd": "1"}, "ReservedKeyRule"),
    ],
)
def test_series_that_cannot_be_are_refused_alone(
    sink: MemorySink, clock: FakeClock, labels: dict[str, str], rule: str
) -> None:
    """The others of the request are stored; the message names the rule and the labels."""
    one = remote_writer(sink, clock)
    body = packed(series(labels, (T0, 1.0), (T0, 2.0)), series({"__name__": "good"}, (T0, 1.0)))
    result = written(one, body)
    assert (result.accepted, result.refused) == (1, 2)
    assert rule in result.messages[0]
    assert "(labels=" in result.messages[0]
    assert sum(one.stats().refused.values()) == 2
    assert len(sink.points) == 1


def test_twenty_tags_are_as_many_as_ours(sink: MemorySink, clock: FakeClock) -> None:
    """The tag that says what kind of series it is does not count."""
    labels = {"__name__": "hits", **{f"k{n}": "v" for n in range(19)}}
    assert written(remote_writer(sink, clock), packed(series(labels, (T0, 1.0)))).refused == 0


def test_broken_labels_are_refused_alone(sink: MemorySink, clock: FakeClock) -> None:
    """Bytes that spell no labels are shown as they are."""
    broken = delimited(1, delimited(1, b"\x0a\xff") + sample(T0, 1.0))
    result = written(
        remote_writer(sink, clock), packed(broken, series({"__name__": "ab"}, (T0, 1)))
    )
    assert (result.accepted, result.refused) == (1, 1)
    assert result.messages[0].startswith("InvalidLabels")


def test_values_and_stamps_out_of_reach_are_refused(sink: MemorySink, clock: FakeClock) -> None:
    """How old a sample may be is the store's business only; the future is bounded by settings."""
    sink.reach = (T0 - 7_200_000, T0 + 10**9)
    one = remote_writer(sink, clock)
    samples = [
        (T0 - 7_200_001, 1.0),
        (T0 - 7_200_000, 1.0),
        (T0 + 60_000, 1.0),
        (T0 + 60_001, 1.0),
        (T0, math.inf),
    ]
    result = written(one, packed(series({"__name__": "up"}, *samples)))
    assert (result.accepted, result.refused) == (2, 3)
    assert one.stats().refused == {"DataTooOld": 1, "DataFromFuture": 1, "InfiniteValue": 1}
    assert 'labels={__name__="up"}' in result.messages[0]


def test_native_histograms_are_told(sink: MemorySink, clock: FakeClock) -> None:
    """They have no place here; saying nothing would lose them in silence."""
    body = label("__name__", "took") + delimited(4, b"") * 2 + sample(T0, 1.0)
    one = remote_writer(sink, clock)
    result = written(one, packed(delimited(1, body)))
    assert (result.accepted, result.refused) == (1, 2)
    assert "2 native histograms" in result.messages[0]
    assert one.stats().refused == {"NativeHistogram": 2}


def test_exemplars_and_metadata_are_passed_over_and_counted(
    sink: MemorySink, clock: FakeClock
) -> None:
    """A request of metadata alone is taken."""
    one = remote_writer(sink, clock)
    body = delimited(1, label("__name__", "took") + sample(T0, 1.0) + delimited(3, b"x"))
    assert written(one, packed(body)).accepted == 1
    assert written(one, packed(delimited(3, b"x"))) == Taken(accepted=0, refused=0, messages=[])
    assert (one.stats().exemplars, one.stats().metadata) == (1, 1)


def test_requests_are_bounded(sink: MemorySink, clock: FakeClock) -> None:
    """As sent, unpacked, and in samples; nothing of what is beyond is stored."""
    body = packed(series({"__name__": "up"}, *((T0 + n, 1.0) for n in range(100))))
    for bound in ({"max_payload_bytes": len(body) - 1}, {"max_write_bytes": 1_000}):
        with pytest.raises(PayloadTooLargeError):
            written(remote_writer(sink, clock, **bound), body)
    with pytest.raises(TooManySamplesError):
        written(remote_writer(sink, clock, max_write_samples=99), body)
    assert sink.points == {}
    assert written(remote_writer(sink, clock, max_write_samples=100), body).accepted == 100


def test_retired_series_are_made_anew(sink: MemorySink, clock: FakeClock) -> None:
    """In either way of taking totals."""
    for counters in ("raw", "rate"):
        one = remote_writer(sink, clock, remote_write_counters=counters)
        for value in (1.0, 2.0):
            body = packed(
                series({"__name__": f"{counters}_total"}, (T0, value)),
                series({"__name__": counters}, (T0, value)),
            )
            assert written(one, body).accepted == 2
            sink.retire_all()
    assert set(sink.points.values()) == {2.0}


@pytest.mark.anyio
async def test_new_series_are_made_in_turns(sink: MemorySink, clock: FakeClock) -> None:
    """Thousands of new series leave the loop to others now and then."""
    one = remote_writer(sink, clock)
    body = packed(*(series({"__name__": f"new{n}"}, (T0, 1.0)) for n in range(10_000)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        assert (await one.write(body)).accepted == 10_000
        tasks.cancel_scope.cancel()
    assert turns >= 5
