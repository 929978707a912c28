"""Decimal text of a number to the nearest double, exactly.

A few digits and a small power of ten are one exact multiplication or division (Clinger, "How to
read floating point numbers accurately", 1990). The rest is a 128-bit product with a rounded power
of five (Lemire, "Number parsing at a gigabyte per second", 2021), for powers of ten from -60 to 60;
beyond those, and where that product cannot decide, the answer is that it is not known.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import (
    float_of,
    high_product,
    inlined,
    leading_zeros,
    load_byte,
    loop,
)

_LEAST: Final = -60
_MOST: Final = 60
_MOST_DIGITS: Final = 19
_EXACT: Final = np.uint64(1 << 53)


def _powers_of_five() -> NDArray[np.uint64]:
    """The 128 highest bits of 5**q, q from -60 to 60: [121, 2], the upper half first."""
    found = np.empty((_MOST - _LEAST + 1, 2), dtype=np.uint64)
    for power in range(_LEAST, _MOST + 1):
        bits = _reciprocal(5**-power) if power < 0 else _left_aligned(5**power)
        found[power - _LEAST] = bits >> 64, bits & (2**64 - 1)
    return found


def _left_aligned(number: int) -> int:
    length = number.bit_length()
    return number << (128 - length) if length <= 128 else number >> (length - 128)


def _reciprocal(number: int) -> int:
    """The highest 128 bits of 1 / number: rounded up while 1 / number needs it to decide, else cut.

    Up to 5**27 the product of a double's bits and these is as good as exact when they are rounded
    up; that is what the method is proven for.
    """
    bits = 2 ** (2 * number.bit_length() + 128) // number + 1
    cut: int = bits >> (bits.bit_length() - 128)
    return cut + 1 if number <= 5**27 else cut


_FIVES: Final = _powers_of_five()
_TENS: Final = np.array([float(10**power) for power in range(23)])


@inlined
def digits_at(
    address: int, at: int, size: int, mantissa: np.uint64, seen: int
) -> tuple[np.uint64, int, int]:
    """Digits from `at` on, joined to the mantissa; and how many of it are significant, and where.

    More than 19 significant digits do not fit; the mantissa then means nothing.
    """
    while at < size:
        digit = load_byte(address + at) - 48
        if digit < 0 or digit > 9:
            break
        mantissa = mantissa * np.uint64(10) + np.uint64(digit)
        seen += 1 if mantissa != np.uint64(0) else 0
        at += 1
    return mantissa, seen, at


@loop
def _exponent_at(address: int, at: int, size: int) -> tuple[np.int64, int]:
    """The exponent after an `e`, and where it ends; -1 when there is none or it is very long."""
    sign = load_byte(address + at) if at < size else 0
    at += 1 if sign == 43 or sign == 45 else 0  # noqa: PLR1714 - numba would make a set
    power, _, end = digits_at(address, at, size, np.uint64(0), 0)
    if end == at or end > at + 4:
        return np.int64(0), -1
    return -np.int64(power) if sign == 45 else np.int64(power), end


@loop
def number_at(  # noqa: PLR0911 - one for each way a text can be no number
    address: int, at: int, size: int
) -> tuple[float, int]:
    """The JSON number at `at` as a double, and where it ends; -1 when that is not known here."""
    is_negative = at < size and load_byte(address + at) == 45
    at += 1 if is_negative else 0
    first = at
    mantissa, seen, at = digits_at(address, at, size, np.uint64(0), 0)
    if at == first or (at > first + 1 and load_byte(address + first) == 48):
        return 0.0, -1
    power = 0
    whole_end = at
    if at < size and load_byte(address + at) == 46:
        mantissa, seen, at = digits_at(address, at + 1, size, mantissa, seen)
        power = whole_end + 1 - at
        if not power:
            return 0.0, -1
    if at < size and load_byte(address + at) | 32 == 101:
        scale, at = _exponent_at(address, at + 1, size)
        if at < 0:
            return 0.0, -1
        power += int(scale)
    if seen > _MOST_DIGITS:
        return 0.0, -1
    is_whole = at == whole_end
    value = float(mantissa) if is_whole else _double(mantissa, power)
    if value < 0.0:
        return 0.0, -1
    if is_whole and value == 0.0:
        return 0.0, at  # a whole number has no zero below zero
    return (-value if is_negative else value), at


@loop
def _double(mantissa: np.uint64, power: int) -> float:
    """The double nearest to mantissa * 10**power; below 0 when that is not known here."""
    if mantissa == np.uint64(0):
        return 0.0
    if mantissa <= _EXACT and -22 <= power <= 22:
        ten = float(_TENS[abs(power)])
        return float(mantissa) * ten if power >= 0 else float(mantissa) / ten
    if power < _LEAST or power > _MOST:
        return -1.0
    return _rounded(mantissa, power)


@loop
def _rounded(mantissa: np.uint64, power: int) -> float:
    """The same by a product of 128 bits, for a mantissa that is not 0 and a power in the table."""
    shift = leading_zeros(mantissa)
    aligned = mantissa << np.uint64(shift)
    upper, lower = _FIVES[power - _LEAST, 0], _FIVES[power - _LEAST, 1]
    low, high = aligned * upper, high_product(aligned, upper)
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more = low + high_product(aligned, lower)
        high += np.uint64(1) if more < low else np.uint64(0)
        low = more
        if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (power < -27 or power > 55):
            return -1.0
    top = np.int64(high >> np.uint64(63))
    bits = high >> np.uint64(top + 9)
    binary = ((217706 * power) >> 16) + 63 + top - shift + 1023
    if (
        low <= np.uint64(1)
        and -4 <= power <= 23
        and bits & np.uint64(3) == np.uint64(1)
        and bits << np.uint64(top + 9) == high
    ):
        bits &= ~np.uint64(1)  # exactly half-way: to even
    bits = (bits + (bits & np.uint64(1))) >> np.uint64(1)
    if bits >= np.uint64(1 << 53):
        bits = np.uint64(1 << 52)
        binary += 1
    return float_of((bits & np.uint64((1 << 52) - 1)) | np.uint64(binary) << np.uint64(52))
