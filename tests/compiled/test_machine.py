"""Every instruction does what Python would say it does."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from breakwater.compiled import (
    address_of,
    bit_length,
    bits_of,
    float_of,
    floats_at,
    high_product,
    leading_zeros,
    load_byte,
    load_number,
    load_word,
    loop,
    numbers_at,
    ones_in,
    prefetch,
    store_byte,
    store_word,
    trailing_zeros,
)

_WORDS = st.integers(0, 2**64 - 1)


@loop
def _counted(word: np.uint64, out: NDArray[np.int64]) -> None:
    out[0] = bit_length(word)
    out[1] = leading_zeros(word)
    out[2] = trailing_zeros(word)
    out[3] = ones_in(word)


@loop
def _product(one: np.uint64, other: np.uint64) -> np.uint64:
    return high_product(one, other)


@loop
def _as_float(word: np.uint64) -> float:
    return float_of(word)


@loop
def _as_bits(value: float) -> np.uint64:
    return bits_of(value)


@loop
def _moved(data: NDArray[np.uint8], at: int, word: np.uint64, out: NDArray[np.int64]) -> np.uint64:
    address = address_of(data) + at
    prefetch(address)
    before = load_word(address)
    out[0] = load_byte(address)
    out[1] = load_number(address)
    store_word(address, word)
    store_byte(address + 8, word)
    return before


@loop
def _summed(values: NDArray[np.float64], numbers: NDArray[np.int64]) -> float:
    total = 0.0
    for value in floats_at(address_of(values) + 8, values.size - 1):
        total += value
    for number in numbers_at(address_of(numbers) + 8, numbers.size - 1):
        total += number
    return total


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Have all of them compiled before the first test is timed."""
    room, word = np.zeros(16, dtype=np.int64), np.uint64(1)
    _counted(word, room)
    _product(word, word)
    _as_float(word)
    _as_bits(1.0)
    _moved(np.zeros(16, dtype=np.uint8), 0, word, room)
    _summed(np.zeros(2), room)


@given(_WORDS)
def test_bits_of_a_word_are_counted(word: int) -> None:
    """Length, zeros at both ends and ones are those of the number; 64 zeros for 0."""
    out = np.empty(4, dtype=np.int64)
    _counted(np.uint64(word), out)
    trailing = (word & -word).bit_length() - 1 if word else 64
    length = word.bit_length()
    assert out.tolist() == [length, 64 - length, trailing, word.bit_count()]


@given(_WORDS, _WORDS)
def test_high_product_is_the_upper_half(one: int, other: int) -> None:
    """The product of two words has 128 bits; these are the upper ones."""
    assert int(_product(np.uint64(one), np.uint64(other))) == one * other >> 64


@given(_WORDS)
def test_bits_and_floats_are_the_same_bytes(word: int) -> None:
    """A float64 and its word are eight bytes seen in two ways."""
    value = _as_float(np.uint64(word))
    (expected,) = struct.unpack("<d", word.to_bytes(8, "little"))
    assert value == expected or (np.isnan(value) and np.isnan(expected))
    if not np.isnan(value):
        assert int(_as_bits(value)) == word


@given(st.binary(min_size=24, max_size=24), st.integers(0, 15), _WORDS)
def test_memory_is_read_and_written_anywhere(held: bytes, at: int, word: int) -> None:
    """Words and bytes lie at any address, the lowest byte first, and nothing else is touched."""
    data, out = np.frombuffer(held, dtype=np.uint8).copy(), np.empty(2, dtype=np.int64)
    before = _moved(data, at, np.uint64(word), out)
    there = held[at : at + 8]
    assert int(before) == int.from_bytes(there, "little")
    assert out.tolist() == [there[0], int.from_bytes(there, "little", signed=True)]
    written = word.to_bytes(8, "little")
    assert data.tobytes() == held[:at] + written + written[:1] + held[at + 9 :]


def test_memory_is_seen_as_an_array() -> None:
    """Memory at an address is an array of so many float64 or int64."""
    assert _summed(np.array([100.0, 1.5, 2.5]), np.array([100, 3, 4])) == 11.0
