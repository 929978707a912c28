"""Reading remote write requests: snappy, protobuf, and what is none."""

import contextlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.remote_write_encoding import (
    delimited,
    label,
    packed,
    sample,
    series,
    varint,
)

from breakwater.ingest import InputError, PayloadTooLargeError, TooManySamplesError
from breakwater.ingest.columns import columns_over
from breakwater.ingest.write_request import (
    label_of,
    labels_of,
    read_write_request,
    split_labels,
    unpacked,
)
from breakwater.model import BreakwaterError

LABELS = {"__name__": "hits", "job": "api"}


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """The labels that bytes spell."""
    return [(name.decode(), value.decode()) for name, value in map(label_of, labels_of(raw))]


NAMES = st.text(max_size=200)
SERIES = st.tuples(
    st.dictionaries(NAMES, NAMES, max_size=6),
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=True, width=64)), max_size=4
    ),
)
UNKNOWN = st.one_of(
    st.builds(delimited, st.integers(5, 2**29 - 1), st.binary(max_size=20)),
    st.builds(
        lambda n, v: varint(n << 3) + varint(v), st.integers(5, 90), st.integers(0, 2**64 - 1)
    ),
    st.builds(lambda n: varint(n << 3 | 1) + bytes(8), st.integers(5, 90)),
    st.builds(lambda n: varint(n << 3 | 5) + bytes(4), st.integers(5, 90)),
)


@settings(deadline=None)
@given(st.lists(SERIES, max_size=5), st.lists(UNKNOWN, max_size=3))
def test_every_sample_is_found_with_its_labels(
    sent: list[tuple[dict[str, str], list[tuple[int, float]]]], unknown: list[bytes]
) -> None:
    """Labels, stamps and values come back in order; fields nobody knows are passed over."""
    data = b"".join([*unknown, *(series(labels, *samples) for labels, samples in sent)])
    request = read_write_request(data, 1_000)
    expected = [(labels, *each) for labels, samples in sent for each in samples]
    columns = request.columns
    assert request.series == len(sent)
    assert columns.stamps.tolist() == [stamp for _, stamp, _ in expected]
    values = np.array([value for _, _, value in expected])
    assert columns.values.tobytes() == values.tobytes()
    for n, (labels, _, _) in enumerate(expected):
        assert pairs(columns.spelling(n)) == list(labels.items())


def test_parts_may_be_missing_or_in_another_order() -> None:
    """A sample without value or stamp has 0; labels may follow the samples."""
    late = delimited(1, delimited(2, b"") + sample(5, 1.5) + label("__name__", "late"))
    columns = read_write_request(late, 10).columns
    assert (columns.stamps.tolist(), columns.values.tolist()) == ([0, 5], [0.0, 1.5])
    assert pairs(columns.spelling(0)) == pairs(columns.spelling(1)) == [("__name__", "late")]
    no_labels = read_write_request(delimited(1, sample(5, 1.5)), 10)
    assert no_labels.columns.spelling(0) == b""


def test_what_is_there_beside_samples_is_counted() -> None:
    """Exemplars, native histograms, metadata."""
    body = label("__name__", "x") + delimited(3, b"") * 2 + delimited(4, b"") + sample(1, 2)
    request = read_write_request(delimited(1, body) + delimited(3, b"meta") * 3, 10)
    assert (request.exemplars, request.histograms, request.metadata) == (2, 1, 3)
    assert len(request.columns.stamps) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00",
        b"\x0b\x0c",
        delimited(1, b"\x12\x02\x09\x00"),
        delimited(1, b"\x12\x05abc"),
        delimited(1, delimited(2, b"\x11")),
        b"\x0d\x00",
    ],
)
def test_what_is_no_request_is_refused_whole(data: bytes) -> None:
    """The message says where."""
    with pytest.raises(InputError, match=r"not a protobuf WriteRequest \(byte \d+\)"):
        read_write_request(data, 10)


def test_scattered_labels_are_refused() -> None:
    """No encoder writes them; taking part of them would be another series."""
    body = label("__name__", "x") + sample(1, 2) + label("job", "y")
    with pytest.raises(InputError, match="do not lie side by side"):
        read_write_request(delimited(1, body), 10)


def test_samples_are_bounded() -> None:
    """One more than allowed is refused, whatever their size."""
    assert len(read_write_request(delimited(1, b"\x12\x00" * 10), 10).columns.stamps) == 10
    with pytest.raises(TooManySamplesError, match="more than 10 samples"):
        read_write_request(delimited(1, b"\x12\x00" * 11), 10)


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(st.data())
def test_no_bytes_raise_anything_but_errors_of_input(data: st.DataObject) -> None:
    """A request with some bytes changed is read, or refused; labels likewise."""
    body = bytearray(series(LABELS, (1, 1.0), (2, 2.0)) + series({"a": "b" * 200}, (3, math.nan)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    with contextlib.suppress(BreakwaterError):
        columns = read_write_request(bytes(body[:cut]), 100).columns
        for n in range(len(columns.stamps)):
            with contextlib.suppress(InputError):
                list(map(label_of, labels_of(columns.spelling(n))))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x12\x00",
        b"\x0a\xff\xff",
        b"\x0a\x02\x0a\x05",
        b"\x0a\x02\x08\x01",
    ],
)
def test_broken_labels_are_refused(raw: bytes) -> None:
    """Labels that end too early or are something else."""
    with pytest.raises(InputError):
        pairs(raw)


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    """Nothing is unpacked to find out that it is too much."""
    bomb = packed(b"\0" * 1_000_000)
    assert len(bomb) < 60_000
    with pytest.raises(PayloadTooLargeError, match="unpacked request is larger than 999999 bytes"):
        unpacked(bomb, 999_999)
    assert unpacked(bomb, 1_000_000) == b"\0" * 1_000_000
    with pytest.raises(PayloadTooLargeError):
        unpacked(b"\xff\xff\xff\xff\x0f", 1_000_000)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"\xff" * 10, b"\x05", b"\x05\xff\xff", b"\x03\x00a" + b"x" * 9]
)
def test_what_is_not_snappy_is_refused(body: bytes) -> None:
    """Neither the length nor the blocks may be broken."""
    with pytest.raises(InputError, match="not a snappy block"):
        unpacked(body, 1_000)


def test_a_value_is_taken_bit_by_bit() -> None:
    """Also the marker for the end of a series, which is one NaN of many."""
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    columns = read_write_request(series(LABELS, (1, stale), (2, -0.0)), 10).columns
    assert columns.values.view(np.uint64).tolist() == [0x7FF0000000000002, 1 << 63]


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.dictionaries(NAMES, NAMES, max_size=5).map(
                lambda labels: b"".join(label(*each) for each in labels.items())
            ),
            st.sampled_from([b"", b"\x0a", b"\x0a\x05abc", b"\x12\x00", b"\x0a\x00" * 70]),
        ),
        max_size=8,
    )
)
def test_labels_are_split_at_once_as_one_by_one(raws: list[bytes]) -> None:
    """The compiled loop finds the labels of each series, none for one that is broken."""
    columns = columns_over(raws, np.zeros(len(raws), dtype=np.int64), np.zeros(len(raws)))
    found = split_labels(columns.text, columns.spans)
    spans = found.pairs.tolist()
    text = columns.text.tobytes()
    for raw, (begin, end) in zip(raws, found.series.tolist(), strict=True):
        try:
            expected = labels_of(raw)
        except InputError:
            expected = []
        assert [text[a:b] for a, b in spans[begin:end]] == expected
