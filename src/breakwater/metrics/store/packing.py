"""Rows of values packed so that each can be read alone, and read fast.

A row is a stretch of one series. Most values people measure are whole numbers in some unit: events
a second are a count divided by the step, prices have two decimals. Such a row is kept as the whole
numbers, each as many bits wide as the row needs, above the least of them or above a common
growth; what fits no divisor is kept by the bits of its float64. What is read is bit for bit what
was packed; a NaN of any kind means no value.

A packed row, in memory only and little-endian:

    u16 head      divisor 5 bits | width 6 | size of base 3 | is delta 1 | has gaps 1
    base          least number, or the first when delta; 0 to 6 or 8 bytes, signed
    u8 n, growth  when delta: least step from one number to the next, n bytes, signed
    u8 shift      when by bits: how far the bits were shifted right
    mask          when gaps: a bit for each slot, 1 where there is a value
    numbers       `width` bits each, lowest bit first

After the last row there are SPARE_BYTES, so that a number may be read as a whole word.

The loops go by addresses: arrays that are cut and handed on count references, which costs more
than reading a short row.
"""

from math import isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import (
    Number,
    bit_length,
    bits_of,
    float_of,
    floats_at,
    load_number,
    load_word,
    loop,
    numbers_at,
    ones_in,
    store_word,
    trailing_zeros,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EXACT: Final = 2.0**52
BY_BITS: Final = 30
EMPTY_SORT: Final = 31
_AS_IS: Final = 31
_WIDEST: Final = 56
"""A number of so many bits is in one word wherever in its first byte it begins."""
_EIGHT_BYTES: Final = 7
"""The code of the size 8; sizes up to 6 are their own."""
_IS_DELTA: Final = 1 << 14
_HAS_GAPS: Final = 1 << 15
EMPTY: Final = 0xFFFF
"""The offset of a row without a value."""
SPARE_BYTES: Final = 16

DIVISORS: Final = np.array(
    [1 / 4096, 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 100, 300, 600, 1000, 3600, 1e4, 1e5, 1e6]
)
"""Tried in this order; a row fits when value == number / divisor for all of its values."""


def longest_row(slots: int) -> int:
    """Bytes no packed row of so many slots is longer than."""
    return 2 + 8 + 9 + 1 + -(-slots // 8) + 8 * slots


def group_shift(slots: int) -> int:
    """Rows of a group as a power of two: as many as offsets of 16 bits reach, at most 32."""
    shift = 5
    while shift and longest_row(slots) << shift >= EMPTY:
        shift -= 1
    return shift


@loop
def pack_rows(  # noqa: PLR0917 - numba has no keyword-only arguments
    rows: Floats,
    address: Number,
    begin: Number,
    shift: Number,
    offsets: NDArray[np.uint16],
    bases: Ints,
) -> Number:
    """Pack rows [n, slots] one after the other at `address`; returns how many bytes they take.

    There must be room for the longest of each, and SPARE_BYTES. `begin` is where `address` lies
    in what is being made; offsets [n] and bases [n >> shift] get the places of the rows in that.
    """
    kept = np.empty(rows.shape[1] + 1)
    numbers = np.empty(rows.shape[1], dtype=np.int64)
    at = address
    group = 0
    for i in range(rows.shape[0]):
        if i & ((1 << shift) - 1) == 0:
            group = at
            bases[i >> shift] = begin + at - address
        end = _pack_row(rows[i], kept, numbers, at)
        offsets[i] = EMPTY if end == at else at - group
        at = end
    return at - address


@loop
def _pack_row(row: Floats, kept: Floats, numbers: Ints, start: Number) -> Number:
    """Pack a row at an address; returns where it ends, `start` itself when it has no value."""
    count = _keep_values(row, kept)
    if count == 0:
        return start
    head, shift = _find_numbers(kept, count, numbers)
    width, base, growth, flags = _find_width(numbers, count, head != BY_BITS)
    if width > _WIDEST:
        head, width, base, flags = _AS_IS, 0, 0, 0
    if count < row.size:
        flags |= _HAS_GAPS
    at = _store_head(start, head | width << 5 | flags, base, growth)
    if head == BY_BITS:
        store_word(at, np.uint64(shift))
        at += 1
    if count < row.size:
        at = _store_mask(at, row)
    if head == _AS_IS:
        return _store_values(at, kept, count)
    if flags & _IS_DELTA:
        for j in range(count - 1, 0, -1):
            numbers[j] -= numbers[j - 1]
        return _store_numbers(at, numbers, growth, 1, count, width)
    return _store_numbers(at, numbers, base, 0, count, width)


@loop
def _keep_values(row: Floats, kept: Floats) -> Number:
    """The values of a row without its gaps; returns how many there are."""
    count = 0
    for j in range(row.size):
        kept[count] = row[j]
        count += 0 if isnan(row[j]) else 1
    return count


@loop
def _find_numbers(kept: Floats, count: Number, numbers: Ints) -> tuple[Number, Number]:
    """The divisor and the numbers of values, or their bits, and how far those were shifted."""
    place = _find_divisor(kept, count, numbers)
    if place >= 0:
        return place, 0
    ones = np.uint64(0)
    for j in range(count):
        numbers[j] = np.int64(bits_of(kept[j]))
        ones |= np.uint64(numbers[j])
    shift = min(trailing_zeros(ones), 63)
    for j in range(count):
        numbers[j] >>= shift
    return BY_BITS, shift


@loop
def _find_divisor(kept: Floats, count: Number, numbers: Ints) -> Number:
    """The first divisor all values fit, with their numbers; -1 when there is none."""
    for place in range(DIVISORS.size):
        divisor = DIVISORS[place]
        fits = True
        for j in range(count):
            scaled = np.rint(kept[j] * divisor)
            if not abs(scaled) < _EXACT:
                fits = False
                break
            number = np.int64(scaled)
            if bits_of(number / divisor) != bits_of(kept[j]):
                fits = False
                break
            numbers[j] = number
        if fits:
            return place
    return -1


@loop
def _find_width(
    numbers: Ints,
    count: Number,
    may_grow: bool,  # noqa: FBT001 - numba
) -> tuple[Number, Number, Number, Number]:
    """Width, base, growth and flags with which numbers take the least room."""
    least = most = numbers[0]
    growth = top = numbers[1] - numbers[0] if count > 1 else 0
    for j in range(1, count):
        number, step = numbers[j], numbers[j] - numbers[j - 1]
        least, most = min(least, number), max(most, number)
        growth, top = min(growth, step), max(top, step)
    width = bit_length(np.uint64(most) - np.uint64(least))
    if may_grow and count > 2:  # two numbers grow by one step, which saves nothing
        narrow = bit_length(np.uint64(top) - np.uint64(growth))
        extra = 1 + _size_of(growth) + _size_of(numbers[0]) - _size_of(least)
        if extra * 8 + (count - 1) * narrow < count * width:
            return narrow, numbers[0], growth, _IS_DELTA
    return width, least, 0, 0


@loop
def _size_of(number: Number) -> Number:
    """Bytes of a signed number: 0 to 6, or 8."""
    if number == 0:
        return 0
    size = (bit_length(np.uint64(number ^ (number >> 63))) + 8) >> 3
    return 8 if size == _EIGHT_BYTES else size


@loop
def _store_head(at: Number, word: Number, base: Number, growth: Number) -> Number:
    """Lay down what comes first; returns where it ends."""
    size = _size_of(base)
    store_word(at, np.uint64(word | min(size, _EIGHT_BYTES) << 11))
    store_word(at + 2, np.uint64(base))
    at += 2 + size
    if word & _IS_DELTA:
        size = _size_of(growth)
        store_word(at, np.uint64(size))
        store_word(at + 1, np.uint64(growth))
        at += 1 + size
    return at


@loop
def _store_mask(at: Number, row: Floats) -> Number:
    """Lay down which slots have a value; returns where the mask ends."""
    for first in range(0, row.size, 8):
        byte = 0
        for j in range(first, min(first + 8, row.size)):
            byte |= (1 if row[j] == row[j] else 0) << (j - first)
        store_word(at, np.uint64(byte))
        at += 1
    return at


@loop
def _store_values(at: Number, kept: Floats, count: Number) -> Number:
    """Lay down values as they are; returns where they end."""
    for j in range(count):
        store_word(at + 8 * j, bits_of(kept[j]))
    return at + 8 * count


@loop
def _store_numbers(  # noqa: PLR0917 - numba has no keyword-only arguments
    at: Number, numbers: Ints, base: Number, first: Number, count: Number, width: Number
) -> Number:
    """Lay down numbers[first:count] - base, `width` bits each; returns where they end."""
    stop = at + (((count - first) * width + 7) >> 3)
    for place in range(at, stop + 8, 8):
        store_word(place, np.uint64(0))
    bit = 0
    for j in range(first, count):
        place = at + (bit >> 3)
        word = np.uint64(numbers[j] - base) << np.uint64(bit & 7)
        store_word(place, load_word(place) | word)
        bit += width
    return stop


@loop
def unpack_row(  # noqa: PLR0917 - numba has no keyword-only arguments
    address: Number, slots: Number, first: Number, last: Number, room: Number, values: Number
) -> Number:
    """Slots [first, last) of the packed row at an address, as float64 at the address `values`.

    room: address of room for 2 * slots words. Returns whether no slot of the row is empty.
    """
    word = load_number(address)
    size = word >> 11 & 7
    if size == _EIGHT_BYTES:
        size = 8
    base, growth, shift = _signed(address + 2, size), 0, 0
    at = address + 2 + size
    if word & _IS_DELTA:
        size = load_number(at) & 255
        growth = _signed(at + 1, size)
        at += 1 + size
    if word & 31 == BY_BITS:
        shift = load_number(at) & 255
        at += 1
    if not word & _HAS_GAPS:
        _load_row((at, word, base, growth, shift), first, last, room, values)
        return True
    mask = at
    at += (slots + 7) >> 3
    before, until, spare = _counted(mask, first), _counted(mask, last), room + 8 * slots
    _load_row((at, word, base, growth, shift), before, until, room, spare)
    into = floats_at(values, last - first)
    for j in range(last - first):
        there = load_number(mask + ((first + j) >> 3)) >> ((first + j) & 7) & 1
        value = float_of(load_word(spare))
        into[j] = value if there else np.nan
        spare += 8 * there
    return False


@loop
def _signed(address: Number, size: Number) -> Number:
    """A signed number of so many bytes."""
    if size == 0:
        return 0
    word = load_word(address) << np.uint64(64 - 8 * size)
    return np.int64(word) >> (64 - 8 * size)


@loop
def _counted(mask: Number, last: Number) -> Number:
    """How many of the slots [0, last) have a value."""
    count = 0
    for at in range(0, last, 64):
        word = load_word(mask + (at >> 3))
        if last - at < 64:
            word &= (np.uint64(1) << np.uint64(last - at)) - np.uint64(1)
        count += ones_in(word)
    return count


@loop
def _load_row(
    row: tuple[Number, Number, Number, Number, Number],
    first: Number,
    last: Number,
    room: Number,
    values: Number,
) -> None:
    """Values [first, last) of those that are there, as float64 at the address `values`.

    row: where its numbers begin, its head, base, growth and shift.
    """
    address, word, base, growth, shift = row
    head, width, count = word & 31, word >> 5 & 63, last - first
    into = floats_at(values, count)
    if head == _AS_IS:
        for j in range(count):
            into[j] = float_of(load_word(address + 8 * (first + j)))
        return
    if word & _IS_DELTA:
        _load_growing(address, width, base, growth, numbers_at(room, last))
        room += 8 * first
    else:
        _load_numbers(address, width, base, first, numbers_at(room, count))
    numbers = numbers_at(room, count)
    if head == BY_BITS:
        for j in range(count):
            into[j] = float_of(np.uint64(numbers[j] << shift))
        return
    divisor = DIVISORS[head]
    if divisor == 1.0:
        for j in range(count):
            into[j] = numbers[j]
    else:
        for j in range(count):
            into[j] = numbers[j] / divisor


@loop
def _load_numbers(
    address: Number, width: Number, base: Number, first: Number, numbers: Ints
) -> None:
    """Numbers from the one called `first` on, each above `base`."""
    ones = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    bit = first * width
    for j in range(numbers.size):
        word = load_word(address + (bit >> 3)) >> np.uint64(bit & 7)
        numbers[j] = base + np.int64(word & ones)
        bit += width


@loop
def _load_growing(
    address: Number, width: Number, base: Number, growth: Number, numbers: Ints
) -> None:
    """Numbers that begin at `base`, each above the former by `growth` and what was laid down."""
    ones = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    bit = 0
    number = base
    for j in range(numbers.size):
        numbers[j] = number
        word = load_word(address + (bit >> 3)) >> np.uint64(bit & 7)
        number += growth + np.int64(word & ones)
        bit += width


@loop
def split_rows(rows: Floats, sorts: NDArray[np.uint16], numbers: Ints, counts: Ints) -> None:
    """What rows [n, slots] are kept by on disk: the sort of each, and the numbers of its values.

    sorts: the place of a divisor in DIVISORS, or BY_BITS, or EMPTY_SORT. numbers [n, slots]: of a
    row with a divisor, gaps left out; counts: how many values each row has.
    """
    kept = np.empty(rows.shape[1] + 1)
    for i in range(rows.shape[0]):
        counts[i] = _keep_values(rows[i], kept)
        place = EMPTY_SORT
        if counts[i]:
            place = _find_divisor(kept, counts[i], numbers[i])
        sorts[i] = BY_BITS if place < 0 else place


@loop
def take_numbers(numbers: Ints, counts: Ints, rows: Ints, firsts: Ints, steps: Ints) -> None:
    """The first number of each of some rows, and the step to each further one, row by row."""
    at = 0
    for i in range(rows.size):
        row = rows[i]
        firsts[i] = numbers[row, 0]
        for j in range(1, counts[row]):
            steps[at] = numbers[row, j] - numbers[row, j - 1]
            at += 1


@loop
def put_numbers(  # noqa: PLR0917 - numba has no keyword-only arguments
    rows: Ints, divisor: float, firsts: Ints, steps: Ints, there: NDArray[np.bool_], values: Floats
) -> None:
    """Give some rows back their values, where they have one, from what `take_numbers` took."""
    at = 0
    for i in range(rows.size):
        row = rows[i]
        number, is_first = firsts[i], True
        for j in range(values.shape[1]):
            if there[row, j]:
                if not is_first:
                    number += steps[at]
                    at += 1
                is_first = False
                values[row, j] = number / divisor


def warm_up() -> None:
    """Compile every loop, or load it from the cache; reading is compiled with `kernels`."""
    rows = np.ones((1, 2))
    sorts, numbers = np.empty(1, dtype=np.uint16), np.empty((1, 2), dtype=np.int64)
    counts, first, steps = np.empty(1, np.int64), np.empty(1, np.int64), np.empty(1, np.int64)
    chosen = np.zeros(1, dtype=np.int64)
    room = np.empty(1024, dtype=np.uint8)
    pack_rows(rows, room.ctypes.data, 0, 5, sorts, counts)
    split_rows(rows, sorts, numbers, counts)
    take_numbers(numbers, counts, chosen, first, steps)
    put_numbers(chosen, DIVISORS[0], first, steps, np.ones((1, 2), dtype=np.bool_), rows)
