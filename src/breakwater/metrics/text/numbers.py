"""Doubles as text, compiled: the shortest digits that read back as the same double, as `repr`.

A graph of a thousand lines is 180,000 numbers; making Python floats of them and text of those
takes longer than the query. Here a whole table becomes bytes in one call. Most values of real
metrics are whole numbers or have few decimals, which one division finds out; the rest go by the
method of Giulietti, "The Schubfach way to render doubles" (2020): three products of 64 x 128 bits
and no loop. Imported when first needed, because numba is; `warm_up` pays for the compilation.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import (
    address_of,
    bits_of,
    high_product,
    inlined,
    leading_zeros,
    loop,
    store_byte,
    store_word,
    trailing_zeros,
)
from breakwater.metrics.store.parallel import both_halves

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

_LEAST_POWER: Final = -292
_MOST_POWER: Final = 324
WIDEST: Final = 24
"""Characters of the longest double: `-2.2250738585072014e-308`."""
SLACK: Final = 32
"""Bytes behind the end of the text that may be overwritten."""


def _powers_of_ten() -> NDArray[np.uint64]:
    """10**k as 128 bits with the highest one set, rounded up; high and low half, uint64 [n, 2]."""
    halves = []
    for k in range(_LEAST_POWER, _MOST_POWER + 1):
        if k >= 0:
            whole = 10**k
            shift = 128 - whole.bit_length()
            bits = whole << shift if shift >= 0 else -((-whole) >> -shift)
        else:
            whole = 10**-k
            # 2**(127 + bits) / 10**-k lies in [2**127, 2**128) for the exponent of 10**k
            bits = -(-(1 << (127 + whole.bit_length())) // whole)
        halves.append((bits >> 64, bits & (2**64 - 1)))
    return np.array(halves, dtype=np.uint64)


_POWERS: Final = _powers_of_ten()
_SIGNIFICAND: Final = np.uint64((1 << 52) - 1)
_HIDDEN: Final = np.uint64(1 << 52)
_ONE: Final = np.uint64(1)
_TWO: Final = np.uint64(2)
_TEN: Final = np.uint64(10)
_HUNDRED: Final = np.uint64(100)
_FOUR_DIGITS: Final = np.uint64(10_000)
_EIGHT_DIGITS: Final = np.uint64(100_000_000)
_TENS: Final = np.array([10**n for n in range(20)], dtype=np.uint64)
_FORTY: Final = np.uint64(40)
_FOUR: Final = np.uint64(4)
_NONE: Final = np.uint64(0)
_MILLION: Final = 1e6
_MILLION_WHOLE: Final = np.uint64(1_000_000)
_LEAST_MILLIONTHS: Final = 1e-4
_MOST_MILLIONTHS: Final = 1e8
_MOST_WHOLE: Final = 1e15
_POINT_ZERO: Final = np.uint64(0x302E)
_LAST_BYTE: Final = np.uint64(1 << 56)
_ZEROS: Final = np.uint64(0x3030303030303030)
_ZERO_POINT_ZEROS: Final = np.uint64(0x3030303030302E30)


@inlined
def _signed(number: np.uint64 | int) -> int:
    """The number as a signed one: mixed with an unsigned one it would become a double."""
    return np.int64(number)  # type: ignore[return-value]  # compiled, the two are the same


@inlined
def _rounded_to_odd(high: np.uint64, low: np.uint64, factor: np.uint64) -> np.uint64:
    """The top 64 bits of high:low times factor; the last bit is set when anything follows."""
    middle = high * factor
    top = high_product(high, factor)
    total = middle + high_product(low, factor)
    if total < middle:
        top += _ONE
    return top | _ONE if total > _ONE else top


@inlined
def _shortest(bits: np.uint64) -> tuple[np.uint64, int]:
    """Digits and exponent of the shortest decimal next to a positive finite double."""
    fraction = bits & _SIGNIFICAND
    biased = _signed(bits >> np.uint64(52)) & 0x7FF
    is_narrow = fraction == _NONE and biased > 1
    if biased != 0:
        significand, exponent = fraction | _HIDDEN, biased - 1075
    else:
        significand, exponent = fraction, -1074
    is_odd = significand & _ONE
    centre = significand << _TWO
    left = centre - (_ONE if is_narrow else _TWO)
    right = centre + _TWO
    power = (exponent * 1262611 - (524031 if is_narrow else 0)) >> 22
    shift = np.uint64(exponent + ((-power * 1741647) >> 19) + 1)
    high, low = _POWERS[-power - _LEAST_POWER, 0], _POWERS[-power - _LEAST_POWER, 1]
    least = _rounded_to_odd(high, low, left << shift) + is_odd
    value = _rounded_to_odd(high, low, centre << shift)
    most = _rounded_to_odd(high, low, right << shift) - is_odd
    whole = value >> _TWO
    tens = whole // _TEN
    is_low_in = least <= _FORTY * tens
    is_high_in = _FORTY * tens + _FORTY <= most
    is_shorter = whole >= _TEN and is_low_in != is_high_in
    shorter = tens + np.uint64(is_high_in)
    is_low_in = least <= _FOUR * whole
    is_high_in = _FOUR * whole + _FOUR <= most
    middle = _FOUR * whole + _TWO
    is_up = value > middle or (value == middle and whole & _ONE != _NONE)
    longer = whole + np.uint64(is_high_in if is_low_in != is_high_in else is_up)
    return (shorter, power + 1) if is_shorter else (longer, power)


@inlined
def _length(digits: np.uint64) -> int:
    """How many digits a number below 10**17 has."""
    binary = _signed(bits_of(np.float64(digits)) >> np.uint64(52)) - 1022
    tens = (binary * 1233) >> 12
    return tens if digits < _TENS[tens] else tens + 1


@inlined
def _eight_digits(number: np.uint64) -> np.uint64:
    """The digits of a number below 10**8 as eight bytes, the first one lowest.

    Four digits, then two, then one are split off in all parts of the word at once.
    """
    upper = number // _FOUR_DIGITS
    fours = upper | ((number - upper * _FOUR_DIGITS) << np.uint64(32))
    tops = ((fours * np.uint64(10486)) >> np.uint64(20)) & np.uint64(0x7F0000007F)
    pairs = ((fours - _HUNDRED * tops) << np.uint64(16)) + tops
    tens = ((pairs * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    return tens + ((pairs - _TEN * tens) << np.uint64(8)) + _ZEROS


@inlined
def _put_digits(at: int, digits: np.uint64, length: int, point: int) -> int:
    """Write digits, a point after the first `point` of them; returns where they end.

    They are made 17, of which the first stands alone, so that no loop has to wait for another.
    Up to 8 bytes behind the end are overwritten. 0 <= point <= 17, 0 for none.
    """
    padded = digits * _TENS[17 - length]
    nine = padded // _EIGHT_DIGITS
    first = nine // _EIGHT_DIGITS
    middle = _eight_digits(nine - first * _EIGHT_DIGITS)
    last = _eight_digits(padded - nine * _EIGHT_DIGITS)
    head = (middle << np.uint64(8)) | (first + np.uint64(48))
    if 0 < point < 8:
        store_word(at + 10, last)
        store_word(at + 2, middle)
        before = (_ONE << np.uint64(8 * point)) - _ONE
        dot = np.uint64(46) << np.uint64(8 * point)
        store_word(at, (head & before) | dot | ((head & ~before) << np.uint64(8)))
        return at + length + 1
    store_word(at + 9, last)
    store_word(at + 1, middle)
    store_byte(at, first + np.uint64(48))
    if point == 0:
        return at + length
    if point == 8:
        store_byte(at + 9, middle >> np.uint64(56))
        store_word(at + 10, last)
    else:
        store_word(at + point + 1, last >> np.uint64(8 * (point - 9)))
    store_byte(at + point, np.uint64(46))
    return at + length + 1


@inlined
def _put_fixed(at: int, digits: np.uint64, length: int, point: int) -> int:
    """Write digits without a power of ten, -4 < point <= 16; returns where they end."""
    if point <= 0:
        store_word(at, _ZERO_POINT_ZEROS)
        return _put_digits(at + 2 - point, digits, length, 0)
    if point < length:
        return _put_digits(at, digits, length, point)
    _put_digits(at, digits, length, 0)
    store_byte(at + point, np.uint64(46))
    store_byte(at + point + 1, np.uint64(48))
    return at + point + 2


@inlined
def _put_power(at: int, digits: np.uint64, length: int, power: int) -> int:
    """Write digits as d.ddde±xx; returns where it ends."""
    at = _put_digits(at, digits, length, 1 if length > 1 else 0)
    store_byte(at, np.uint64(101))
    store_byte(at + 1, np.uint64(45 if power < 0 else 43))
    size = np.uint64(abs(power))
    if size < _TEN:
        store_byte(at + 2, np.uint64(48))
        at += 1
    return _put_digits(at + 2, size, _length(size), 0)


@inlined
def _decimal(bits: np.uint64) -> tuple[np.uint64, int]:
    """Digits, the last of which is no zero, and exponent of a positive finite double."""
    digits, exponent = _shortest(bits)
    while digits % _FOUR_DIGITS == _NONE:
        digits //= _FOUR_DIGITS
        exponent += 4
    while digits % _TEN == _NONE:
        digits //= _TEN
        exponent += 1
    return digits, exponent


@inlined
def _put_whole(at: int, number: np.uint64) -> int:
    """Write a whole number below 10**8; returns where it ends. Up to 8 bytes are overwritten."""
    digits = _eight_digits(number)
    skipped = trailing_zeros((digits ^ _ZEROS) | _LAST_BYTE) >> 3
    store_word(at, digits >> np.uint64(8 * skipped))
    return at + 8 - skipped


@inlined
def _put_millionths(at: int, number: np.uint64) -> int:
    """Write a number of millionths below 10**14 as a decimal; returns where it ends."""
    whole = number // _MILLION_WHOLE
    at = _put_whole(at, whole)
    digits = _eight_digits((number - whole * _MILLION_WHOLE) * _HUNDRED)
    store_word(at, (digits << np.uint64(8)) | np.uint64(46))
    return at + 9 - (leading_zeros((digits ^ _ZEROS) | _ONE) >> 3)


@loop
def _put_decimal(at: int, bits: np.uint64) -> int:
    """Write a positive finite double by its shortest digits; returns where it ends."""
    digits, exponent = _decimal(bits)
    length = _length(digits)
    point = length + exponent
    if -4 < point <= 16:
        return _put_fixed(at, digits, length, point)
    return _put_power(at, digits, length, point - 1)


@inlined
def _put_number(at: int, value: float) -> int:
    """Write a finite double as `repr` does; returns where it ends."""
    bits = bits_of(value)
    if bits >> np.uint64(63) != _NONE:
        store_byte(at, np.uint64(45))
        at += 1
        value = -value
        bits &= np.uint64((1 << 63) - 1)
    if bits == _NONE:
        store_word(at, _ZERO_POINT_ZEROS)
        return at + 3
    if _LEAST_MILLIONTHS <= value < _MOST_MILLIONTHS:
        whole = np.int64(value)
        if np.float64(whole) == value:
            at = _put_whole(at, np.uint64(whole))
            store_word(at, _POINT_ZERO)
            return at + 2
        millionths = np.int64(value * _MILLION + 0.5)
        if np.float64(millionths) / _MILLION == value:
            return _put_millionths(at, np.uint64(millionths))
    elif value < _MOST_WHOLE:
        whole = np.int64(value)
        if np.float64(whole) == value:
            digits = np.uint64(whole)
            length = _length(digits)
            return _put_fixed(at, digits, length, length)
    return _put_decimal(at, bits)


@inlined
def _put_name(at: int, value: float, names: Bytes) -> int:
    """Write what stands for NaN or an infinity; returns where it ends."""
    name = 0 if np.isnan(value) else (1 if value > 0.0 else 2)
    for place in range(names.shape[1]):
        if names[name, place] == 0:
            break
        store_byte(at, np.uint64(names[name, place]))
        at += 1
    return at


@inlined
def _put_mark(at: int, mark: int) -> int:
    """Write a byte unless it is zero; returns where it ends."""
    if mark == 0:
        return at
    store_byte(at, np.uint64(mark))
    return at + 1


@loop
def put_table(  # noqa: PLR0917 - numba has no keyword-only arguments
    values: Floats,
    by_column: bool,  # noqa: FBT001 - the same
    first: int,
    last: int,
    names: Bytes,
    frame: Bytes,
    out: Bytes,
) -> int:
    """Write lists of a table as `[1.0,2.0],[3.0,NaN]`; returns how many bytes of `out` they take.

    values: float64 [rows, columns]; by_column writes each column as a list, else each row. first,
    last: the lists to write, without the last.
    names: what stands for NaN, infinity and minus infinity, uint8 [3, at most 11], zero-padded.
    frame: what opens a list, parts its numbers, closes it, and parts the lists, uint8 [4]; zero
    for nothing. out: uint8, at least WIDEST + 1 bytes a number, 3 a list and SLACK.
    """
    numbers = values.shape[0] if by_column else values.shape[1]
    start = at = address_of(out)
    for i in range(first, last):
        at = _put_mark(at, frame[3] if i > first else 0)
        at = _put_mark(at, frame[0])
        for j in range(numbers):
            at = _put_mark(at, frame[1] if j > 0 else 0)
            value = values[j, i] if by_column else values[i, j]
            at = _put_number(at, value) if np.isfinite(value) else _put_name(at, value, names)
        at = _put_mark(at, frame[2])
    return at - start


_WORTH_A_THREAD: Final = 20_000
"""Numbers from which on another thread is asked to help, which takes the time of some thousand."""

_NAMES: Final = {
    "quoted": ('"NaN"', '"Infinity"', '"-Infinity"'),
    "bare": ("NaN", "Infinity", "-Infinity"),
}


def _names(texts: tuple[str, ...]) -> Bytes:
    padded = [list(text.encode().ljust(11, b"\0")) for text in texts]
    return np.array(padded, dtype=np.uint8)


_NAME_BYTES: Final = {style: _names(texts) for style, texts in _NAMES.items()}


def table_parts(
    values: Floats, *, by_column: bool = False, names: str = "quoted", frame: str = "[,],"
) -> list[memoryview]:
    """`table_text` in pieces that follow each other: a large table is made on several cores."""
    values = np.ascontiguousarray(values)
    numbers, lists = values.shape if by_column else values.shape[::-1]

    def part(first: int, last: int) -> memoryview:
        count = last - first
        out = np.empty(count * (numbers * (WIDEST + 1) + 3) + SLACK, np.uint8)
        size = put_table(values, by_column, first, last, _NAME_BYTES[names], _marks(frame), out)
        return out[:size].data

    if values.size < _WORTH_A_THREAD or lists < 2:
        return [part(0, lists)]
    first, second = both_halves(lambda: part(0, lists // 2), lambda: part(lists // 2, lists))
    between = frame[3].strip().encode()
    return [first, memoryview(between), second]


def table_text(
    values: Floats, *, by_column: bool = False, names: str = "quoted", frame: str = "[,],"
) -> bytes:
    """A table as text: `[1.0,2.0],[3.0,"NaN"]`, each list a row or a column of it.

    values: float64 [rows, columns]. names: `quoted` or `bare`, how NaN and the infinities are
    written. frame: what opens a list, parts its numbers, closes it, and parts lists; a blank for
    nothing. 16 to 35 ns a number.
    """
    parts = table_parts(values, by_column=by_column, names=names, frame=frame)
    return b"".join(parts)


@lru_cache(16)
def _marks(frame: str) -> Bytes:
    return np.frombuffer(frame.replace(" ", "\0").encode(), np.uint8)


def warm_up() -> None:
    """Compile the kernel, or load it from the cache on disk."""
    table_text(np.zeros((1, 1)))
