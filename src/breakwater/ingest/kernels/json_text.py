"""Where the metrics of a publish payload are, for payloads in the shape that clients send.

That shape: an object with `metrics` and at most `tags`; each metric an object with `tags`,
`timestamp` (whole) and `value` (a number or "NaN"), in any order, and no key twice; tags are
objects of at most 256 strings; all strings ASCII without escapes; white space anywhere. Every
other payload, a broken one too, is `UNUSUAL`: the general decoder then says what it is. So what is
found here is what the general decoder would find.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import address_of, inlined, load_byte, load_word, loop, trailing_zeros
from breakwater.ingest.kernels.decimal import digits_at, number_at

UNUSUAL: Final = -1

_ONES: Final = np.uint64(0x0101010101010101)
_HIGH: Final = np.uint64(0x8080808080808080)
_QUOTES: Final = np.uint64(0x2222222222222222)
_BACKSLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES: Final = np.uint64(0x2020202020202020)

_QUOTE, _COMMA, _COLON, _MINUS = 0x22, 0x2C, 0x3A, 0x2D
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = 0x7B, 0x7D, 0x5B, 0x5D
_MOST_DIGITS: Final = 18
_MOST_PAIRS: Final = 256
"""Tags of one metric that are read here; far fewer are allowed."""
_SPACE_SET: Final = 1 << 32 | 1 << 13 | 1 << 10 | 1 << 9


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text.ljust(8, b"\0"), "little"))


_TAGS, _VALUE, _METRICS, _TIMESTAM = (
    _word(b"tags"),
    _word(b"value"),
    _word(b"metrics"),
    _word(b"timestam"),
)
_NAN: Final = _word(b'"NaN"')
_FOUR, _FIVE, _SEVEN = np.uint64(2**32 - 1), np.uint64(2**40 - 1), np.uint64(2**56 - 1)
IS_TAGS, IS_VALUE, IS_TIMESTAMP, IS_METRICS = 1, 2, 4, 8


@inlined
def _symbol(address: int, at: int, size: int) -> tuple[int, int]:
    """The first byte from `at` on that is no white space, and its place; 0 at the end."""
    while at < size:
        byte = load_byte(address + at)
        if byte > 32 or not (_SPACE_SET >> byte) & 1:
            return byte, at
        at += 1
    return 0, at


@loop
def _string_end(address: int, at: int, size: int) -> int:
    """Where the string that starts at `at`, behind its quote, has its other quote; or UNUSUAL."""
    while at + 8 <= size:
        word = load_word(address + at)
        quotes = word ^ _QUOTES
        backslashes = word ^ _BACKSLASHES
        special = (quotes - _ONES) & ~quotes
        special |= (backslashes - _ONES) & ~backslashes
        special |= (word - _SPACES) & ~word
        special = (special | word) & _HIGH
        if special != np.uint64(0):
            at += trailing_zeros(special) >> 3
            return at if load_byte(address + at) == _QUOTE else UNUSUAL
        at += 8
    while at < size:
        byte = load_byte(address + at)
        if byte == _QUOTE:
            return at
        if byte < 32 or byte >= 128 or byte == 0x5C:
            return UNUSUAL
        at += 1
    return UNUSUAL


@inlined
def _pair_end(address: int, at: int, size: int) -> int:
    """Where a pair of strings ends, of which the first opens at `at`; or UNUSUAL."""
    at = _string_end(address, at + 1, size)
    if at < 0:
        return UNUSUAL
    symbol, at = _symbol(address, at + 1, size)
    if symbol != _COLON:
        return UNUSUAL
    symbol, at = _symbol(address, at + 1, size)
    if symbol != _QUOTE:
        return UNUSUAL
    at = _string_end(address, at + 1, size)
    return at + 1 if at >= 0 else UNUSUAL


@loop
def _tags_end(address: int, at: int, size: int) -> int:
    """Where an object of strings ends that opens at `at`; or UNUSUAL."""
    symbol, at = _symbol(address, at + 1, size)
    if symbol == _CLOSE:
        return at + 1
    while symbol == _QUOTE:
        at = _pair_end(address, at, size)
        if at < 0:
            return UNUSUAL
        symbol, at = _symbol(address, at, size)
        if symbol == _CLOSE:
            return at + 1
        if symbol != _COMMA:
            return UNUSUAL
        symbol, at = _symbol(address, at + 1, size)
    return UNUSUAL


@inlined
def _same(address: int, former: int, at: int, most: int) -> int:
    """How many bytes from `at` on are those from `former` on; at most `most`, which are there."""
    same = 0
    while same + 8 <= most:
        other = load_word(address + former + same) ^ load_word(address + at + same)
        if other != np.uint64(0):
            return same + (trailing_zeros(other) >> 3)
        same += 8
    while same < most and load_byte(address + former + same) == load_byte(address + at + same):
        same += 1
    return same


@inlined
def _passed_over(address: int, at: int, size: int, keys: NDArray[np.int64], k: int) -> int:
    """How many pairs from `at` on are those of the former object from its k-th on.

    They are moved to where they are now in `keys`, and so is the end when all the rest is the same.
    """
    count = keys[-1]
    former, shift = keys[k], at - keys[k]
    rest = keys[count] - former
    same = _same(address, former, at, min(rest, size - at))
    first = k
    while k + 1 < count and keys[k + 1] - former < same:
        keys[k] += shift
        k += 1
    if same == rest:
        keys[k] += shift
        keys[count] += shift
        k = count
    elif k > first:
        keys[k] += shift
    return k - first


@loop
def _tags_beside(address: int, at: int, size: int, keys: NDArray[np.int64]) -> int:
    """Where an object of strings ends that opens at `at`; or UNUSUAL.

    keys: where each key begins of a former object and, behind them, where it ends; the last number
    says how many they are. Becomes that of this object. Metrics beside each other have most of
    their pairs in common, so what is the same as before is passed over, and only other pairs are
    read.
    """
    k = 0
    symbol, at = _symbol(address, at + 1, size)
    while symbol == _QUOTE and k + 2 < keys.size:
        if k < keys[-1]:
            passed = _passed_over(address, at, size, keys, k)
            k += passed
            at = keys[k] if passed else at
            if passed and k == keys[-1]:
                return at
        keys[k] = at
        k += 1
        at = _pair_end(address, at, size)
        if at < 0:
            return UNUSUAL
        symbol, at = _symbol(address, at, size)
        if symbol != _COMMA:
            break
        symbol, at = _symbol(address, at + 1, size)
        if symbol != _QUOTE:
            return UNUSUAL
    if symbol != _CLOSE:
        return UNUSUAL
    keys[k] = at + 1
    keys[-1] = k
    return at + 1


@inlined
def _key(address: int, at: int, size: int) -> tuple[int, int]:
    """Which key stands in the quotes that open at `at`, and where its value begins; or UNUSUAL."""
    end = _string_end(address, at + 1, size)
    length = end - at - 1
    if end < 0 or at + 10 > size:
        return 0, UNUSUAL
    word = load_word(address + at + 1)
    found = 0
    if length == 4 and word & _FOUR == _TAGS:
        found = IS_TAGS
    elif length == 5 and word & _FIVE == _VALUE:
        found = IS_VALUE
    elif length == 9 and word == _TIMESTAM and load_byte(address + at + 9) == 0x70:
        found = IS_TIMESTAMP
    elif length == 7 and word & _SEVEN == _METRICS:
        found = IS_METRICS
    symbol, at = _symbol(address, end + 1, size)
    if not found or symbol != _COLON:
        return 0, UNUSUAL
    _, at = _symbol(address, at + 1, size)
    return found, at


@inlined
def _value_at(address: int, at: int, size: int) -> tuple[float, int]:
    """The value of a metric at `at`, and where it ends; or UNUSUAL."""
    if at + 8 <= size and load_word(address + at) & _FIVE == _NAN:
        return np.nan, at + 5
    return number_at(address, at, size)


@inlined
def _stamp_at(address: int, at: int, size: int) -> tuple[np.int64, int]:
    """The whole number at `at`, and where it ends; or UNUSUAL."""
    is_negative = at < size and load_byte(address + at) == _MINUS
    at += 1 if is_negative else 0
    number, _, end = digits_at(address, at, size, np.uint64(0), 0)
    digits = end - at
    if digits < 1 or digits > _MOST_DIGITS or (digits > 1 and load_byte(address + at) == 0x30):
        return np.int64(0), UNUSUAL
    return (-np.int64(number) if is_negative else np.int64(number)), end


@loop
def _metric(  # noqa: PLR0917 - numba has no keyword-only arguments
    address: int,
    at: int,
    size: int,
    spans: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
    n: int,
    keys: NDArray[np.int64],
) -> int:
    """Read the metric that opens at `at` into place `n`; where it ends, or UNUSUAL.

    keys: of the tags of the former metric, as `_tags_beside` has them.
    """
    seen = 0
    symbol, at = _symbol(address, at + 1, size)
    while symbol == _QUOTE:
        key, at = _key(address, at, size)
        if at < 0 or seen & key or at >= size:
            return UNUSUAL
        seen |= key
        if key == IS_TAGS and load_byte(address + at) == _OPEN:
            spans[n, 0] = at
            at = _tags_beside(address, at, size, keys)
            spans[n, 1] = at
        elif key == IS_TIMESTAMP:
            stamps[n], at = _stamp_at(address, at, size)
        elif key == IS_VALUE:
            values[n], at = _value_at(address, at, size)
        else:
            return UNUSUAL
        if at < 0:
            return UNUSUAL
        symbol, at = _symbol(address, at, size)
        if symbol == _CLOSE:
            return at + 1 if seen == IS_TAGS | IS_TIMESTAMP | IS_VALUE else UNUSUAL
        if symbol != _COMMA:
            return UNUSUAL
        symbol, at = _symbol(address, at + 1, size)
    return UNUSUAL


@loop
def _metrics(  # noqa: PLR0917 - numba has no keyword-only arguments
    address: int,
    at: int,
    size: int,
    spans: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
) -> tuple[int, int]:
    """Read the list of metrics that opens at `at`: how many there are, and its end or UNUSUAL."""
    n = 0
    keys = np.zeros(_MOST_PAIRS + 2, dtype=np.int64)
    symbol, at = _symbol(address, at + 1, size)
    if symbol == _CLOSE_LIST:
        return 0, at + 1
    while symbol == _OPEN and n < stamps.size:
        at = _metric(address, at, size, spans, stamps, values, n, keys)
        if at < 0:
            return 0, UNUSUAL
        n += 1
        symbol, at = _symbol(address, at, size)
        if symbol == _CLOSE_LIST:
            return n, at + 1
        if symbol != _COMMA:
            return 0, UNUSUAL
        symbol, at = _symbol(address, at + 1, size)
    return 0, UNUSUAL


@loop
def scan_publish(  # noqa: PLR0911 - one for each way it can be unusual
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
    common: NDArray[np.int64],
) -> int:
    """Read a whole payload; the number of its metrics, or UNUSUAL.

    For each metric: where its tags begin and end, spans [n, 2]; stamps in ms; values. common [2]
    says where the common tags are, and is left as it is when there are none. About 1 ns a byte.
    """
    address, size = address_of(data), data.size
    seen = n = 0
    symbol, at = _symbol(address, 0, size)
    if symbol != _OPEN:
        return UNUSUAL
    symbol, at = _symbol(address, at + 1, size)
    while symbol == _QUOTE:
        key, at = _key(address, at, size)
        if at < 0 or seen & key or at >= size:
            return UNUSUAL
        seen |= key
        if key == IS_METRICS and load_byte(address + at) == _OPEN_LIST:
            n, at = _metrics(address, at, size, spans, stamps, values)
        elif key == IS_TAGS and load_byte(address + at) == _OPEN:
            common[0] = at
            at = _tags_end(address, at, size)
            common[1] = at
        else:
            return UNUSUAL
        if at < 0:
            return UNUSUAL
        symbol, at = _symbol(address, at, size)
        if symbol == _CLOSE:
            symbol, at = _symbol(address, at + 1, size)
            return n if at >= size and seen & IS_METRICS else UNUSUAL
        if symbol != _COMMA:
            return UNUSUAL
        symbol, at = _symbol(address, at + 1, size)
    return UNUSUAL


@loop
def _pairs_of(
    address: int, at: int, size: int, pairs: NDArray[np.int64], found: int
) -> tuple[int, int]:
    """The pairs of the object of strings that opens at `at`, from place `found` on.

    Returns the place behind the last and where the object ends; or UNUSUAL.
    """
    symbol, at = _symbol(address, at, size)
    if symbol != _OPEN:
        return found, UNUSUAL
    symbol, at = _symbol(address, at + 1, size)
    while symbol == _QUOTE:
        pairs[found, 0] = at
        at = _pair_end(address, at, size)
        if at < 0:
            return found, UNUSUAL
        pairs[found, 1] = at
        found += 1
        symbol, at = _symbol(address, at, size)
        if symbol != _COMMA:
            break
        symbol, at = _symbol(address, at + 1, size)
        if symbol != _QUOTE:
            return found, UNUSUAL
    return found, at + 1 if symbol == _CLOSE else UNUSUAL


@loop
def split_tags(
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    pairs: NDArray[np.int64],
    counts: NDArray[np.int64],
    most: int,
) -> int:
    """Where the pairs of each object of strings begin and end, pairs [n, 2]; how many in all.

    counts [n] says how many each object has, and is UNUSUAL where it is not in the shape that
    `scan_publish` reads or has more than `most`; pairs has a fifth as many places as the spans have
    bytes, or more.
    """
    address = address_of(data)
    found = 0
    for n in range(spans.shape[0]):
        first = found
        found, end = _pairs_of(address, spans[n, 0], spans[n, 1], pairs, first)
        counts[n] = found - first
        if end != spans[n, 1] or found - first > most:
            counts[n], found = UNUSUAL, first
    return found
