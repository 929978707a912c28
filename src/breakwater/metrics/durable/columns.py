"""Columns of the log packed: serials, slots and values of many series at one time or a few.

Unlike the rows of `packing`, a column mixes values of all kinds, and it is on disk: what is laid
down here is drawn in docs/formats/metrics-log.md. Columns are cut into chunks of 128 numbers.
Serials and slots are kept by their steps, which in a batch that comes again and again are all 1;
each value is kept as a whole number above the least of its sort, where a sort is a divisor that
it fits exactly, or as the bits of its float64.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import Number, bit_length, bits_of, float_of, load_word, loop, store_word

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK: Final = 128
MOST_NUMBERS_A_BYTE: Final = _CHUNK
_EXACT: Final = 2.0**52
_AS_IS: Final = 4
_SORTS: Final = 5
_DIVISORS: Final = np.array([1.0, 60.0, 100.0, 1000.0])
_WIDEST: Final = 56
_CHUNK_BYTES: Final = 2048
"""More than any chunk takes."""


class DamagedColumnError(ValueError):
    """A column that does not end where it should; never leaves this room."""


def pack_numbers(numbers: Ints) -> memoryview:
    """A column of integers, packed."""
    room = np.zeros((len(numbers) // _CHUNK + 2) * _CHUNK_BYTES, dtype=np.uint8)
    size = _pack_numbers(np.ascontiguousarray(numbers), room.ctypes.data)
    return memoryview(room[:size].tobytes())


def unpack_numbers(packed: memoryview, count: int) -> Ints:
    """The integers of a column; raises DamagedColumnError."""
    room, numbers = _room(packed), np.empty(count, dtype=np.int64)
    _check(_unpack_numbers(room.ctypes.data, len(packed), numbers), packed)
    return numbers


def pack_values(values: Floats) -> memoryview:
    """A column of values, packed; what comes back is the same bit for bit."""
    room = np.zeros((len(values) // _CHUNK + 2) * _CHUNK_BYTES, dtype=np.uint8)
    size = _pack_values(np.ascontiguousarray(values), room.ctypes.data)
    return memoryview(room[:size].tobytes())


def unpack_values(packed: memoryview, count: int) -> Floats:
    """The values of a column; raises DamagedColumnError."""
    room, values = _room(packed), np.empty(count)
    _check(_unpack_values(room.ctypes.data, len(packed), values), packed)
    return values


def _room(packed: memoryview) -> Bytes:
    """A copy that may be read beyond its end by a chunk."""
    room = np.zeros(len(packed) + _CHUNK_BYTES, dtype=np.uint8)
    room[: len(packed)] = packed
    return room


def _check(size: int, packed: memoryview) -> None:
    if size != len(packed):
        raise DamagedColumnError(f"a column of {len(packed)} bytes ends at {size}")


@loop
def _put_varint(at: Number, number: Number) -> Number:
    """A signed number, seven bits a byte, its sign in the lowest; returns where it ends."""
    rest = np.uint64(number << 1) ^ np.uint64(number >> 63)
    while rest > np.uint64(127):
        store_word(at, rest & np.uint64(127) | np.uint64(128))
        rest >>= np.uint64(7)
        at += 1
    store_word(at, rest)
    return at + 1


@loop
def _varint(at: Number) -> Any:  # Any: numba's tuple of where it ends and what it says
    rest, shift = np.uint64(0), 0
    while shift < 64:
        byte = load_word(at) & np.uint64(255)
        rest |= (byte & np.uint64(127)) << np.uint64(shift)
        at += 1
        shift += 7
        if byte < np.uint64(128):
            break
    return at, np.int64(rest >> np.uint64(1)) ^ -np.int64(rest & np.uint64(1))


@loop
def _put_bits(at: Number, bit: Number, word: Number) -> None:
    """Lay down a number of at most 56 bits, where the memory is zero."""
    place = at + (bit >> 3)
    store_word(place, load_word(place) | np.uint64(word) << np.uint64(bit & 7))


@loop
def _bits(at: Number, bit: Number, width: Number) -> Number:
    """A number of at most 56 bits."""
    ones = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    word: Number = np.int64(load_word(at + (bit >> 3)) >> np.uint64(bit & 7) & ones)
    return word


@loop
def _pack_numbers(numbers: Ints, address: Number) -> Number:
    at = address
    former = 0
    for start in range(0, numbers.size, _CHUNK):
        stop = min(start + _CHUNK, numbers.size)
        at = _put_varint(at, numbers[start] - former)
        least = most = numbers[start + 1] - numbers[start] if stop > start + 1 else 0
        for i in range(start + 1, stop):
            step = numbers[i] - numbers[i - 1]
            least, most = min(least, step), max(most, step)
        width = bit_length(np.uint64(most) - np.uint64(least))
        at = _put_varint(at, least)
        store_word(at, np.uint64(width))
        at += 1
        bit = 0
        for i in range(start + 1, stop):
            more = np.uint64(numbers[i] - numbers[i - 1]) - np.uint64(least)
            low = min(width, 32)
            _put_bits(at, bit, np.int64(more & np.uint64(0xFFFFFFFF)))
            _put_bits(at, bit + low, np.int64(more >> np.uint64(32)))
            bit += width
        at += (bit + 7) >> 3
        former = numbers[stop - 1]
    return at - address


@loop
def _unpack_numbers(address: Number, size: Number, numbers: Ints) -> Number:
    at = address
    former = 0
    for start in range(0, numbers.size, _CHUNK):
        stop = min(start + _CHUNK, numbers.size)
        at, first = _varint(at)
        at, least = _varint(at)
        width = min(_bits(at, 0, 8), 64)
        at += 1
        if at - address > size:
            return -1
        former += first
        numbers[start] = former
        bit = 0
        for i in range(start + 1, stop):
            low = min(width, 32)
            more = _bits(at, bit, low) | _bits(at, bit + low, width - low) << 32
            former += least + more
            numbers[i] = former
            bit += width
        at += (bit + 7) >> 3
    return at - address


@loop
def _number_of(
    value: float, sort: Number
) -> Any:  # Any: numba's tuple of whether it fits, and what
    divisor = float(_DIVISORS[sort])
    scaled = np.rint(value * divisor)
    if not abs(scaled) < _EXACT:
        return False, 0
    number = np.int64(scaled)
    return bits_of(number / divisor) == bits_of(value), number


@loop
def _pack_values(values: Floats, address: Number) -> Number:
    at = address
    sorts = np.empty(_CHUNK, dtype=np.int64)
    numbers = np.empty(_CHUNK, dtype=np.int64)
    least, most = np.empty(_SORTS, dtype=np.int64), np.empty(_SORTS, dtype=np.int64)
    place = np.empty(_SORTS, dtype=np.int64)
    for start in range(0, values.size, _CHUNK):
        count = min(_CHUNK, values.size - start)
        place[:] = -1
        for i in range(count):
            value = values[start + i]
            sort, number = _AS_IS, np.int64(bits_of(value))
            for tried in range(_AS_IS):
                fits, scaled = _number_of(value, tried)
                if fits:
                    sort, number = tried, scaled
                    break
            sorts[i], numbers[i] = sort, number
            if place[sort] < 0:
                place[sort] = 0
                least[sort] = most[sort] = number
            least[sort], most[sort] = min(least[sort], number), max(most[sort], number)
        at = _put_chunk(at, count, sorts, numbers, least, most, place)
    return at - address


@loop
def _put_chunk(  # noqa: PLR0917 - numba has no keyword-only arguments
    at: Number, count: Number, sorts: Ints, numbers: Ints, least: Ints, most: Ints, place: Ints
) -> Number:
    head, used = at, 0
    at += 1
    for sort in range(_SORTS):
        if place[sort] < 0:
            continue
        place[sort] = used
        used += 1
        store_word(at, np.uint64(sort))
        at += 1
        if sort != _AS_IS:
            most[sort] = bit_length(np.uint64(most[sort]) - np.uint64(least[sort]))
            store_word(at, np.uint64(most[sort]))
            at = _put_varint(at + 1, least[sort])
    store_word(head, load_word(head) & ~np.uint64(255) | np.uint64(used))
    tag, bit = bit_length(np.uint64(used - 1)), 0
    for i in range(count):
        _put_bits(at, bit, place[sorts[i]])
        bit += tag
    at += (bit + 7) >> 3
    bit = 0
    for i in range(count):
        sort = sorts[i]
        if sort == _AS_IS:
            word = np.uint64(numbers[i])
            _put_bits(at, bit, np.int64(word & np.uint64(0xFFFFFFFF)))
            _put_bits(at, bit + 32, np.int64(word >> np.uint64(32)))
            bit += 64
        else:
            _put_bits(at, bit, numbers[i] - least[sort])
            bit += most[sort]
    return at + ((bit + 7) >> 3)


@loop
def _unpack_values(address: Number, size: Number, values: Floats) -> Number:
    at = address
    sorts = np.empty(_SORTS, dtype=np.int64)
    least, width = np.empty(_SORTS, dtype=np.int64), np.empty(_SORTS, dtype=np.int64)
    for start in range(0, values.size, _CHUNK):
        count = min(_CHUNK, values.size - start)
        used = _bits(at, 0, 8)
        at += 1
        if used < 1 or used > _SORTS:
            return -1
        for k in range(used):
            sorts[k] = _bits(at, 0, 8)
            at += 1
            if sorts[k] > _AS_IS:
                return -1
            if sorts[k] != _AS_IS:
                width[k] = min(_bits(at, 0, 8), _WIDEST)
                at, least[k] = _varint(at + 1)
        if at - address > size:
            return -1
        tag = bit_length(np.uint64(used - 1))
        tags, bit = at, 0
        at += (count * tag + 7) >> 3
        for i in range(count):
            k = min(_bits(tags, i * tag, tag), used - 1)
            if sorts[k] == _AS_IS:
                word = _bits(at, bit, 32) | _bits(at, bit + 32, 32) << 32
                values[start + i] = float_of(np.uint64(word))
                bit += 64
            else:
                number = least[k] + _bits(at, bit, width[k])
                values[start + i] = number / _DIVISORS[sorts[k]]
                bit += width[k]
        at += (bit + 7) >> 3
    return at - address


def warm_up() -> None:
    """Compile every loop, or load it from the cache."""
    numbers, values = np.arange(3), np.array([1.0, 0.1])
    unpack_numbers(pack_numbers(numbers), 3)
    unpack_values(pack_values(values), 2)
