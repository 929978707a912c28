"""Publish payloads: what is stored, what is refused, and how it is said."""

import contextlib
import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import IngestSettings, InputError, PayloadTooLargeError, Publisher
from breakwater.testing import FakeClock

T0 = 1_700_000_000_000


def publisher(sink: MemorySink, clock: FakeClock, **settings: int) -> Publisher:
    """A publisher with some limits changed."""
    return Publisher(msgspec.structs.replace(IngestSettings(), **settings), sink, clock)


def payload(*metrics: dict[str, Any], **common: str) -> bytes:
    """A publish payload as JSON."""
    return json.dumps({"tags": common, "metrics": metrics}).encode()


def metric(value: Any = 1.0, at: int = T0, **tags: str) -> dict[str, Any]:
    """One metric of a payload."""
    return {"tags": tags, "timestamp": at, "value": value}


def test_common_tags_are_joined_and_the_metric_wins(sink: MemorySink, clock: FakeClock) -> None:
    """A metric has its own tags and the common ones; its own count where both name a key."""
    body = payload(metric(2.5, name="hits", zone="own"), zone="common", app="api")
    result = publisher(sink, clock).publish(body)
    assert (result.accepted, result.refused) == (1, 0)
    assert sink.of(name="hits", zone="own", app="api") == {T0: 2.5}


def test_nan_comes_as_text(sink: MemorySink, clock: FakeClock) -> None:
    """A missing value is the text NaN."""
    result = publisher(sink, clock).publish(payload(metric("NaN", name="hits")))
    assert result.accepted == 1


def test_older_field_names_are_understood(sink: MemorySink, clock: FakeClock) -> None:
    """`start` and `values` stand for timestamp and value."""
    body = payload({"tags": {"name": "hits"}, "start": T0, "values": [3]})
    publisher(sink, clock).publish(body)
    assert sink.of(name="hits") == {T0: 3.0}


def test_a_bad_metric_does_not_spoil_the_others(sink: MemorySink, clock: FakeClock) -> None:
    """Each refused metric is counted under its rule and explained, five at most."""
    bad = [metric(name="hits", k="v") for _ in range(7)]
    one = publisher(sink, clock)
    result = one.publish(payload(*bad, metric(name="good")))
    assert (result.accepted, result.refused) == (1, 7)
    assert len(result.messages) == 5
    assert "KeyLengthRule" in result.messages[0]
    assert one.stats().refused == {"KeyLengthRule": 7}


@pytest.mark.parametrize(
    ("at", "rule"), [(T0 - 200_000, "DataTooOld"), (T0 + 100_000, "DataFromFuture")]
)
def test_age_is_bounded_both_ways(sink: MemorySink, clock: FakeClock, at: int, rule: str) -> None:
    """A timestamp too far from now is refused, and the message says how far is allowed."""
    result = publisher(sink, clock).publish(payload(metric(at=at, name="hits")))
    assert result.accepted == 0
    assert rule in result.messages[0]
    assert "120000" in result.messages[0]


def test_no_room_for_another_series_is_said(sink: MemorySink, clock: FakeClock) -> None:
    """A full store refuses new series and keeps the known ones."""
    one = publisher(sink, clock)
    one.publish(payload(metric(name="known")))
    sink.capacity = 1
    result = one.publish(payload(metric(5.0, name="known"), metric(name="new")))
    assert (result.accepted, result.refused) == (1, 1)
    assert "TooManySeries" in result.messages[0]


def test_stale_handles_are_resolved_again(sink: MemorySink, clock: FakeClock) -> None:
    """A series that was retired between two payloads is made anew, and no value is lost."""
    one = publisher(sink, clock)
    one.publish(payload(metric(1.0, name="hits")))
    sink.retire_all()
    result = one.publish(payload(metric(2.0, at=T0 + 1000, name="hits")))
    assert result.accepted == 1
    assert sink.of(name="hits") == {T0: 1.0, T0 + 1000: 2.0}


def test_gzip_is_bounded_after_inflation(sink: MemorySink, clock: FakeClock) -> None:
    """A small body that inflates beyond the limit is refused as too large."""
    bomb = gzip.compress(b" " * 100_000)
    with pytest.raises(PayloadTooLargeError, match="10000 bytes"):
        publisher(sink, clock, max_payload_bytes=10_000).publish(bomb, is_gzip=True)
    body = gzip.compress(payload(metric(name="hits")))
    assert publisher(sink, clock).publish(body, is_gzip=True).accepted == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty payload"),
        (b'{"metrics": []}', "empty payload"),
        (b"[1]", "not a publish payload"),
        (b'{"metrics": [{"tags": {}}]}', "needs 'timestamp'"),
        (
            b'{"metrics": [{"tags": {"name": "xx"}, "timestamp": 1, "value": "x"}]}',
            "not a datapoint",
        ),
        (b'{"tags": 5, "metrics": [{"tags": {}, "timestamp": 1, "value": 1}]}', "common 'tags'"),
        (b'{"metrics": [{"tags": {}, "timestamp": 1, "value": true}]}', "not a publish payload"),
    ],
)
def test_what_is_not_a_payload_is_refused_whole(
    sink: MemorySink, clock: FakeClock, body: bytes, message: str
) -> None:
    """A payload that cannot be read stores nothing and says why."""
    with pytest.raises(InputError, match=message):
        publisher(sink, clock).publish(body)
    assert not sink.points


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
METRIC = st.fixed_dictionaries(
    {}, optional={"tags": JSON, "timestamp": JSON, "value": JSON, "start": JSON, "values": JSON}
)


@pytest.mark.slow
@given(
    st.binary(max_size=80)
    | st.fixed_dictionaries(
        {}, optional={"tags": JSON, "metrics": st.lists(METRIC, max_size=3)}
    ).map(lambda document: json.dumps(document).encode()),
    st.booleans(),
)
def test_no_bytes_raise_anything_but_input_errors(body: bytes, is_gzip: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Whatever is posted, the answer is a result or an InputError."""
    one = publisher(MemorySink(), FakeClock())
    with contextlib.suppress(InputError):
        assert one.publish(body, is_gzip=is_gzip).accepted >= 0
