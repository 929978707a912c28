"""Publish payloads: what is stored, what is refused, and how it is said."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ingest.memory_sink import MemorySink
from tests.ingest.taking import T0, metric, payload, published, publisher

from breakwater.ingest import InputError
from breakwater.testing import FakeClock


def test_common_tags_are_joined_and_the_metric_wins(sink: MemorySink, clock: FakeClock) -> None:
    """A metric has its own tags and the common ones; its own count where both name a key."""
    body = payload(metric(2.5, name="hits", zone="own"), zone="common", app="api")
    result = published(publisher(sink, clock), body)
    assert (result.accepted, result.refused) == (1, 0)
    assert sink.of(name="hits", zone="own", app="api") == {T0: 2.5}


def test_nan_comes_as_text(sink: MemorySink, clock: FakeClock) -> None:
    """A missing value is the text NaN."""
    result = published(publisher(sink, clock), payload(metric("NaN", name="hits")))
    assert result.accepted == 1


def test_older_field_names_are_understood(sink: MemorySink, clock: FakeClock) -> None:
    """`start` and `values` stand for timestamp and value."""
    body = payload({"tags": {"name": "hits"}, "start": T0, "values": [3]})
    published(publisher(sink, clock), body)
    assert sink.of(name="hits") == {T0: 3.0}


def test_a_bad_metric_does_not_spoil_the_others(sink: MemorySink, clock: FakeClock) -> None:
    """Each refused metric is counted under its rule and explained, five at most."""
    bad = [metric(name="hits", k="v") for _ in range(7)]
    one = publisher(sink, clock)
    result = published(one, payload(*bad, metric(name="good")))
    assert (result.accepted, result.refused) == (1, 7)
    assert len(result.messages) == 5
    assert "KeyLengthRule" in result.messages[0]
    assert one.stats().refused == {"KeyLengthRule": 7}


@pytest.mark.parametrize(
    ("at", "rule"), [(T0 - 200_000, "DataTooOld"), (T0 + 100_000, "DataFromFuture")]
)
def test_age_is_bounded_both_ways(sink: MemorySink, clock: FakeClock, at: int, rule: str) -> None:
    """A timestamp too far from now is refused, and the message says how far is allowed."""
    result = published(publisher(sink, clock), payload(metric(at=at, name="hits")))
    assert result.accepted == 0
    assert rule in result.messages[0]
    assert "120000" in result.messages[0]


def test_no_room_for_another_series_is_said(sink: MemorySink, clock: FakeClock) -> None:
    """A full store refuses new series and keeps the known ones."""
    one = publisher(sink, clock)
    published(one, payload(metric(name="known")))
    sink.capacity = 1
    result = published(one, payload(metric(5.0, name="known"), metric(name="new")))
    assert (result.accepted, result.refused) == (1, 1)
    assert "TooManySeries" in result.messages[0]


def test_stale_handles_are_resolved_again(sink: MemorySink, clock: FakeClock) -> None:
    """A series that was retired between two payloads is made anew, and no value is lost."""
    one = publisher(sink, clock)
    published(one, payload(metric(1.0, name="hits")))
    sink.retire_all()
    result = published(one, payload(metric(2.0, at=T0 + 1000, name="hits")))
    assert result.accepted == 1
    assert sink.of(name="hits") == {T0: 1.0, T0 + 1000: 2.0}


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
        published(publisher(sink, clock), body)
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
    ).map(lambda document: json.dumps(document).encode())
)
def test_no_bytes_raise_anything_but_input_errors(body: bytes) -> None:
    """Whatever is posted, the answer is a result or an InputError."""
    one = publisher(MemorySink(), FakeClock())
    with contextlib.suppress(InputError):
        assert published(one, body).accepted >= 0
