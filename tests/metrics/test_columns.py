"""Packed columns of the log: exact, small, and an error where they are damaged."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.metrics.durable import columns
from breakwater.metrics.durable.records import Kind, Put, decode_put, encode_packed

integers = st.integers(-(2**63), 2**63 - 1)
values = st.one_of(
    st.floats(),
    st.integers(0, 10**6).map(lambda count: count / 60.0),
    st.integers(-(10**9), 10**9).map(lambda cents: cents / 100.0),
    st.sampled_from([-0.0, 5e-324, 1.7e308, 2.0**53, 0.1 + 0.2]),
)


def put_of(count: int) -> Put:
    """Datapoints of series that follow each other, at one time; rates and decimals by turns."""
    random = np.random.default_rng(1)
    numbers = np.round(random.random(count) * 1000)
    mixed = np.where(np.arange(count) % 2 == 0, numbers / 60, np.round(random.random(count), 2))
    return Put(np.arange(count) + 77, np.full(count, 28_333_334), mixed)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(integers, max_size=400), st.booleans())
def test_integers_come_back(numbers: list[int], is_sorted: bool) -> None:  # noqa: FBT001 - drawn
    """Any column of any length, also where steps leave the range of an integer."""
    column = np.array(sorted(numbers) if is_sorted else numbers, dtype=np.int64)
    packed = columns.pack_numbers(column)
    assert columns.unpack_numbers(packed, len(column)).tolist() == column.tolist()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=400))
def test_values_come_back_bit_for_bit(column: list[float]) -> None:
    """Values of every sort side by side."""
    given_values = np.array(column, dtype=np.float64)
    packed = columns.pack_values(given_values)
    found = columns.unpack_values(packed, len(column))
    assert np.array_equal(found.view(np.int64), given_values.view(np.int64))


def test_a_record_of_usual_values_is_small() -> None:
    """Below 3 bytes a datapoint where a plain record takes 12; serials cost next to nothing."""
    put = put_of(10_000)
    payload = b"".join(encode_packed(put))
    assert len(payload) < 3 * 10_000
    found = decode_put(Kind.PUT_PACKED, memoryview(payload))
    for given_column, column in zip(put, found, strict=True):
        assert np.array_equal(given_column, column)


@pytest.mark.parametrize("size", [0, 11, 12, 40, -1])
def test_a_record_that_was_cut_is_an_error(size: int) -> None:
    """Whole columns or nothing; a count that cannot be does not ask for memory."""
    payload = b"".join(encode_packed(put_of(300)))
    with pytest.raises((ValueError, struct.error)):
        decode_put(Kind.PUT_PACKED, memoryview(payload[:size]))
    huge = (2**32 - 1).to_bytes(4, "little") + payload[4:]
    with pytest.raises(ValueError, match="4294967295 datapoints"):
        decode_put(Kind.PUT_PACKED, memoryview(huge))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600), st.integers(1, 300))
def test_any_bytes_are_a_column_or_an_error(data: bytes, count: int) -> None:
    """What was never packed is refused or gives numbers; nothing is read that is not there."""
    for unpack in (columns.unpack_numbers, columns.unpack_values):
        try:
            assert len(unpack(memoryview(data), count)) == count
        except columns.DamagedColumnError:
            continue
