"""Smile documents become the JSON they stand for, within bounds."""

import contextlib
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.memory_sink import MemorySink
from tests.ingest.smile_encoding import groups, safe, smile, varint, zigzag
from tests.ingest.taking import T0, metric, published, publisher

from breakwater.ingest import InputError, PayloadTooLargeError
from breakwater.ingest.smile import json_of_smile
from breakwater.testing import FakeClock

LIMIT = 1 << 20
HEADER = b":)\n\x00"


def read(data: bytes) -> Any:
    """What a document stands for."""
    return json.loads(json_of_smile(data, LIMIT))


STRINGS = st.one_of(
    st.text(max_size=70),
    st.text("ab", max_size=70),
    st.sampled_from(["name", "tags", "nf.app", "ä" * 28, "ä" * 29, "x" * 64, "x" * 65]),
)
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-20, 20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | STRINGS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(STRINGS, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(DOCUMENTS, st.booleans(), st.booleans())
def test_a_document_becomes_the_json_it_stands_for(
    document: Any,
    share_names: bool,  # noqa: FBT001 - drawn by hypothesis
    share_values: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """Every value comes back, with references back to names and values or without."""
    data = smile(document, share_names=share_names, share_values=share_values)
    assert read(data) == document


@pytest.mark.parametrize("count", [64, 65, 255, 256, 1024, 1025, 3000])
def test_references_reach_as_far_as_the_format_allows(count: int) -> None:
    """With more than 1024 names or values both sides begin anew."""
    names = [f"key{n}" for n in range(count)]
    document = [{name: name} for name in [*names, *names[-20:], *names]]
    assert read(smile(document, share_values=True)) == document


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x20", '""'),
        (b"\x21", "null"),
        (b"\x22", "false"),
        (b"\x23", "true"),
        (b"\xc0", "0"),
        (b"\xc1", "-1"),
        (b"\xde", "15"),
        (b"\xdf", "-16"),
        (b"\x24\x80", "0"),
        (b"\x24\x01\xa4", "50"),
        (b"\x24\x1f\x7f\x7f\x7f\xbf", "-2147483648"),
        (b"\x25\x03\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xbf", "-9223372036854775808"),
        (b"\x28\x03\x7c\x00\x00\x00", "1.0"),
        (b"\x29\x00\x3f\x78\x00\x00\x00\x00\x00\x00\x00", "1.0"),
        (b"\x40a", '"a"'),
        (b"\x80\xc3\xa4", '"ä"'),
        (b"\xe0abc\xfc", '"abc"'),
        (b'\xe4"\xc3\xa4\n\xfc', '"\\"ä\\n"'),
        (b"\x26\x82\x08\x00\x00", "4096"),
        (b"\xf8\xf9", "[]"),
        (b"\xfa\xfb", "{}"),
        (b"\xfa\x80a\xc2\xfb\xff", '{"a":1}'),
        (b"\x2a" + varint(zigzag(2)) + varint(2) + safe(b"\x04\xd2"), "1234e-2"),
    ],
)
def test_tokens_by_hand(data: bytes, text: str) -> None:
    """Each token as the specification writes it."""
    assert json_of_smile(HEADER + data, LIMIT) == text.encode()


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, '"NaN"'), (math.inf, '"Infinity"'), (-math.inf, '"-Infinity"')]
)
def test_floats_that_json_cannot_spell_become_texts(value: float, text: str) -> None:
    """As publish spells them."""
    for data in (
        b"\x29" + groups(struct.pack(">d", value), 10),
        b"\x28" + groups(struct.pack(">f", value), 5),
    ):
        assert json_of_smile(HEADER + data, LIMIT) == text.encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{}", "does not begin with"),
        (b":)\n", "does not begin with"),
        (b":)\n\x10\x21", "version 1"),
        (HEADER, "ends early"),
        (HEADER + b"\xf8\xc0", "ends early"),
        (HEADER + b"\x45ab", "ends early"),
        (HEADER + b"\x29\x00", "ends early"),
        (HEADER + b"\xe0abc", "does not end"),
        (HEADER + b"\x24" + b"\x00" * 12, "does not end"),
        (HEADER + b"\x21\x21", "1 bytes follow"),
        (HEADER + b"\x01", "no shared value 0"),
        (HEADER + b"\xfa\x40", "no shared name 0"),
        (HEADER + b"\xe8\x81\x00\x00", "0xE8 is not expected"),
        (HEADER + b"\xfd\x81\x00", "0xFD is not expected"),
        (HEADER + b"\xfa\xf8", "0xF8 is no name"),
        (HEADER + b"\x81\xff\xff\xff", "not UTF-8"),
        (HEADER + b"\x26\x01\xbf", "127 bytes"),
        (HEADER + b"\xf8" * 100, "deeper than 64"),
    ],
)
def test_what_is_no_document_is_refused_with_its_fault(data: bytes, message: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(InputError, match=message):
        json_of_smile(data, LIMIT)


def test_references_cannot_make_much_of_little() -> None:
    """The text is bounded while it is written, not afterwards."""
    data = b":)\n\x02" + b"\xf8\x7f" + b"x" * 64 + b"\x01" * 100_000 + b"\xf9"
    with pytest.raises(PayloadTooLargeError, match="as JSON is larger than 10000 bytes"):
        json_of_smile(data, 10_000)


@pytest.mark.slow
@given(st.binary(max_size=60), st.sampled_from([0, 1, 2, 3]))
def test_no_bytes_raise_anything_but_input_errors(data: bytes, flags: int) -> None:
    """Whatever follows the header, the text is JSON or the error is one of input."""
    with contextlib.suppress(InputError):
        json.loads(json_of_smile(b":)\n" + bytes([flags]) + data, LIMIT))


def test_a_payload_as_the_java_client_sends_it(sink: MemorySink, clock: FakeClock) -> None:
    """Common tags, metrics with a stamp and a double, names shared; NaN is no value."""
    document = {
        "tags": {"nf.app": "api"},
        "metrics": [
            metric(2.5, name="hits", statistic="count"),
            metric(math.nan, name="queue", statistic="gauge"),
            metric(3.0, at=T0 - 1000, name="hits", statistic="max"),
        ],
    }
    result = published(publisher(sink, clock), smile(document), is_smile=True)
    assert (result.accepted, result.refused) == (3, 0)
    assert sink.of(name="hits", nf_app="api", statistic="count") == {T0: 2.5}
    assert sink.of(name="hits", nf_app="api", statistic="max") == {T0 - 1000: 3.0}
    assert len(sink.points) == 2
