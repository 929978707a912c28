"""Keyed hashes of byte spans, and an open-addressing table from hash to handle.

The hash is multilinear (Lemire and Kaser, "Strongly universal string hashing is fast", 2014): the
sum of each word of the span times a secret 128-bit key of its own, and its length likewise; the
upper 64 bits are kept, of two such sums with separate keys. For whoever does not know the keys any
two different spans agree with a probability of about 2**-128.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import (
    Number,
    address_of,
    high_product,
    inlined,
    load_byte,
    load_word,
    loop,
    prefetch,
)

UNKNOWN: Final = -2
"""What stands for the handle of a span that is not in the table."""
EMPTY: Final = np.uint64(2**64 - 1)
_AHEAD: Final = 16
"""How many look-ups ahead the place is fetched where a search will begin: most are far apart."""
_ENTRY_BYTES: Final = 24
_FIXED: Final = 4
"""Keys that are not for words of the span: constant, length, and the two words of the seed."""

Words = NDArray[np.uint64]


@inlined
def _add(
    low: np.uint64, high: np.uint64, word: np.uint64, key_low: np.uint64, key_high: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """A 128-bit sum with the product of a word and a 128-bit key added."""
    product = word * key_low
    added = low + product
    carry = np.uint64(1) if added < product else np.uint64(0)
    return added, high + high_product(word, key_low) + word * key_high + carry


@inlined
def _last_word(address: int, at: int, end: int) -> np.uint64:
    """The fewer than eight bytes from `at` to `end` as a word."""
    word = np.uint64(0)
    for place in range(end - at):
        word |= np.uint64(load_byte(address + at + place)) << np.uint64(8 * place)
    return word


@loop
def hash_spans(
    data: NDArray[np.uint8], spans: NDArray[np.int64], seed: Words, keys: Words, out: Words
) -> None:
    """Hash each span of the data into out [n, 2]; all zeros for a span that is too long.

    seed [2] is what else the spans depend on. keys [words + 4, 4] are secret; as many words of
    eight bytes a span may have. About 0.2 ns a byte.
    """
    address, size = address_of(data), data.size
    base = np.empty(4, dtype=np.uint64)
    for lane in range(2):
        low, high = keys[0, 2 * lane], keys[0, 2 * lane + 1]
        for place in range(2):
            low, high = _add(
                low, high, seed[place], keys[2 + place, 2 * lane], keys[2 + place, 2 * lane + 1]
            )
        base[2 * lane], base[2 * lane + 1] = low, high
    most = 8 * (keys.shape[0] - _FIXED)
    for n in range(spans.shape[0]):
        at, end = spans[n, 0], spans[n, 1]
        if at < 0 or end > size or end - at > most:
            out[n, 0] = out[n, 1] = np.uint64(0)
            continue
        length = np.uint64(end - at)
        low, high = _add(base[0], base[1], length, keys[1, 0], keys[1, 1])
        other_low, other_high = _add(base[2], base[3], length, keys[1, 2], keys[1, 3])
        place = _FIXED
        while at < end:
            word = load_word(address + at) if at + 8 <= end else _last_word(address, at, end)
            low, high = _add(low, high, word, keys[place, 0], keys[place, 1])
            other_low, other_high = _add(
                other_low, other_high, word, keys[place, 2], keys[place, 3]
            )
            at += 8
            place += 1
        out[n, 0], out[n, 1] = high, other_high


@inlined
def _fetch(address: Number) -> None:
    """Have an entry brought near, which may lie across two lines of the cache."""
    prefetch(address)
    prefetch(address + _ENTRY_BYTES - 8)


@loop
def find(table: Words, hashes: Words, handles: NDArray[np.int64]) -> int:
    """Look hashes up into `handles`; UNKNOWN where there is none. Returns how many those are.

    table [capacity, 3] holds hash, hash, handle; the capacity is a power of two, and at least one
    place is empty.
    """
    mask = np.uint64(table.shape[0] - 1)
    start, count = address_of(table), hashes.shape[0]
    unknown = 0
    for n in range(count):
        if n + _AHEAD < count:
            _fetch(start + _ENTRY_BYTES * np.int64(hashes[n + _AHEAD, 0] & mask))
        one, other = hashes[n, 0], hashes[n, 1]
        place = one & mask
        while table[place, 2] != EMPTY and (table[place, 0] != one or table[place, 1] != other):
            place = (place + np.uint64(1)) & mask
        if table[place, 2] == EMPTY:
            handles[n] = UNKNOWN
            unknown += 1
        else:
            handles[n] = np.int64(table[place, 2])
    return unknown


@loop
def put(table: Words, hashes: Words, handles: NDArray[np.int64]) -> int:
    """Enter handles under hashes, or replace them. Returns how many places more are taken.

    Entries whose handle is negative are passed over. There must be room for all of them.
    """
    mask = np.uint64(table.shape[0] - 1)
    start, count = address_of(table), hashes.shape[0]
    added = 0
    for n in range(count):
        if n + _AHEAD < count:
            _fetch(start + _ENTRY_BYTES * np.int64(hashes[n + _AHEAD, 0] & mask))
        if handles[n] < 0:
            continue
        one, other = hashes[n, 0], hashes[n, 1]
        place = one & mask
        while table[place, 2] != EMPTY and (table[place, 0] != one or table[place, 1] != other):
            place = (place + np.uint64(1)) & mask
        added += 1 if table[place, 2] == EMPTY else 0
        table[place, 0], table[place, 1] = one, other
        table[place, 2] = np.uint64(handles[n])
    return added
