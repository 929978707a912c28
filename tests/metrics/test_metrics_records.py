"""Records: what is laid down comes back, and what was cut or changed does not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics.durable.records import (
    HEADER_BYTES,
    Definition,
    Frames,
    Header,
    Kind,
    decode_definitions,
    decode_header,
    decode_put,
    decode_rewind,
    encode_definitions,
    encode_header,
    encode_put,
    encode_rewind,
    frame,
)

HEADER = Header(magic=b"BWMTRLOG", step_ms=1000, slots=60, number=7)
payloads = st.lists(st.binary(max_size=40), max_size=6)


def file_of(contents: list[bytes]) -> tuple[bytes, list[int]]:
    """A file of PUT records, and where each ends."""
    data, ends = encode_header(HEADER), []
    for payload in contents:
        data += b"".join(frame(Kind.PUT, [payload]))
        ends.append(len(data))
    return data, ends


@given(payloads, st.data())
def test_a_cut_file_is_a_prefix(contents: list[bytes], data: st.DataObject) -> None:
    """Whatever byte a file is cut at, the records before the cut are read and no other."""
    whole, ends = file_of(contents)
    cut = data.draw(st.integers(HEADER_BYTES, len(whole)))
    frames = Frames(whole[:cut])
    found = [bytes(payload) for _, payload in frames]
    complete = sum(end <= cut for end in ends)
    assert found == contents[:complete]
    assert frames.is_cut == (cut not in (HEADER_BYTES, *ends))


@given(payloads.filter(bool), st.data())
def test_a_flipped_bit_is_noticed(contents: list[bytes], data: st.DataObject) -> None:
    """Whatever bit is flipped, the records before it are read and nothing else."""
    whole, ends = file_of(contents)
    place = data.draw(st.integers(HEADER_BYTES, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    frames = Frames(bytes(changed))
    found = [bytes(payload) for _, payload in frames]
    assert found == contents[: sum(end <= place for end in ends)]
    assert frames.is_cut


@given(st.integers(0, HEADER_BYTES - 1), st.integers(0, 7))
def test_a_changed_header_is_noticed(place: int, bit: int) -> None:
    """No bit of a header can change without the file being refused."""
    changed = bytearray(encode_header(HEADER))
    assert decode_header(bytes(changed), HEADER) == ""
    changed[place] ^= 1 << bit
    assert decode_header(bytes(changed), HEADER)


def test_a_file_of_another_kind_is_refused_by_name() -> None:
    """The reason says what the file is."""
    other = Header(magic=b"BWMTRLOG", step_ms=5000, slots=60, number=8)
    assert "number 8 of step 5000 ms" in decode_header(encode_header(other), HEADER)
    assert "whole header" in decode_header(b"", HEADER)


@given(
    st.lists(
        st.tuples(st.integers(1, 1 << 62), st.floats(allow_nan=False), st.integers(0, 50)),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_datapoints_come_back(
    column: list[tuple[int, float, int]],
    is_one_slot: bool,  # noqa: FBT001 - drawn
) -> None:
    """A column comes back as it was, however far apart its serials are."""
    serials = np.array([serial for serial, _, _ in column], dtype=np.int64)
    values = np.array([value for _, value, _ in column])
    slots = np.array([1_700_000_000 + slot for _, _, slot in column], dtype=np.int64)
    if is_one_slot:
        slots[:] = slots[0]
    given_slots = int(slots[0]) if is_one_slot else slots
    found = set()
    for kind, parts in encode_put(serials, given_slots, values):
        put = decode_put(kind, memoryview(b"".join(parts)))
        found |= set(
            zip(put.serials.tolist(), put.slots.tolist(), put.values.tolist(), strict=True)
        )
    assert found == set(zip(serials.tolist(), slots.tolist(), values.tolist(), strict=True))


def test_definitions_come_back() -> None:
    """Serial, last slot and tags of every series."""
    definitions = [
        Definition(7, 1_700_000_000, {"name": "requests", "nf.app": "a"}),
        Definition(1 << 40, 3, {"name": "é"}),
    ]
    payload = memoryview(b"".join(encode_definitions(definitions)))
    assert decode_definitions(payload) == definitions


@given(st.integers(0, 1 << 60))
def test_a_rewind_says_where_it_ends(last_slot: int) -> None:
    """What was given up begins behind the slot that comes back."""
    assert decode_rewind(memoryview(b"".join(encode_rewind(last_slot)))) == last_slot
