"""Where the samples of a Prometheus remote write request are: a walk over its protobuf wire form.

A sample belongs to the labels of its series, which lie side by side in every encoder's output and
are taken as one span of bytes, unread. Unknown fields are passed over, as protobuf asks.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import address_of, float_of, inlined, load_byte, load_word, loop

TOO_MANY: Final = -2
"""There are more samples than there is room for."""
MALFORMED: Final = -3
"""Not a protobuf message of this kind."""
SCATTERED: Final = -4
"""The labels of a series do not lie side by side."""

SERIES, SAMPLES_LESS, EXEMPLARS, HISTOGRAMS, METADATA, PLACE = 0, 1, 2, 3, 4, 5
"""Places of the tally: how many of each there were, and where the reading ended."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


@inlined
def _varint(address: int, at: int, end: int) -> tuple[np.uint64, int]:
    """The number at `at`, and where it ends; MALFORMED when it does not."""
    number = np.uint64(0)
    shift = 0
    while at < end and shift < 70:
        byte = load_byte(address + at)
        number |= np.uint64(byte & 0x7F) << np.uint64(shift) if shift < 64 else np.uint64(0)
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7
    return number, MALFORMED


@inlined
def _field(address: int, at: int, end: int) -> tuple[int, int, int, int]:
    """The field at `at`: its number times 8 plus its wire type, where its value begins and ends.

    For a field of bytes the value begins behind their count. The last of the four is where the
    next field begins, which is the end of this one; MALFORMED when it does not fit.
    """
    key, begin = _varint(address, at, end)
    if begin < 0 or key >> np.uint64(3) == np.uint64(0):
        return 0, 0, 0, MALFORMED
    wire = np.int64(key & np.uint64(7))
    stop: int = MALFORMED
    if wire == _DELIMITED:
        length, begin = _varint(address, begin, end)
        if begin >= 0 and length <= np.uint64(end - begin):
            stop = begin + int(np.int64(length))
    elif wire == _VARINT:
        _, stop = _varint(address, begin, end)
    elif wire == _FIXED64:
        stop = begin + 8
    elif wire == _FIXED32:
        stop = begin + 4
    if stop < 0 or stop > end:
        return 0, 0, 0, MALFORMED
    return int(np.int64(key & np.uint64(0xFFFFFFFF))), begin, stop, stop


@inlined
def _sample(address: int, at: int, end: int) -> tuple[float, np.int64, int]:
    """Value and stamp of the sample between `at` and `end`; the last is MALFORMED or `end`."""
    value, stamp = 0.0, np.int64(0)
    while at < end:
        key, begin, stop, at = _field(address, at, end)
        if at < 0:
            return value, stamp, MALFORMED
        if key == 1 << 3 | _FIXED64:
            value = float_of(load_word(address + begin))
        elif key == 2 << 3 | _VARINT:
            number, _ = _varint(address, begin, stop)
            stamp = np.int64(number)
    return value, stamp, end


@loop
def _series(  # noqa: PLR0917 - numba has no keyword-only arguments
    address: int,
    at: int,
    end: int,
    spans: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
    n: int,
    tally: NDArray[np.int64],
) -> int:
    """Read the series between `at` and `end` into places from `n` on; the next one, or why not."""
    first, labels_begin, labels_end = n, -1, -1
    while at < end:
        before = at
        key, begin, stop, at = _field(address, at, end)
        if at < 0:
            tally[PLACE] = before
            return MALFORMED
        if key == 1 << 3 | _DELIMITED:
            if labels_end != before and labels_end >= 0:
                tally[PLACE] = before
                return SCATTERED
            labels_begin = before if labels_begin < 0 else labels_begin
            labels_end = stop
        elif key == 2 << 3 | _DELIMITED:
            if n >= stamps.size:
                return TOO_MANY
            values[n], stamps[n], stop = _sample(address, begin, stop)
            if stop < 0:
                tally[PLACE] = before
                return MALFORMED
            n += 1
        tally[EXEMPLARS] += key == 3 << 3 | _DELIMITED
        tally[HISTOGRAMS] += key == 4 << 3 | _DELIMITED
    spans[first:n, 0] = max(labels_begin, 0)
    spans[first:n, 1] = max(labels_end, 0)
    tally[SAMPLES_LESS] += n == first
    return n


@loop
def scan_write_request(
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
    tally: NDArray[np.int64],
) -> int:
    """Read a whole WriteRequest; the number of its samples, TOO_MANY, MALFORMED or SCATTERED.

    For each sample: where the labels of its series begin and end, spans [n, 2]; stamps in ms;
    values. tally [6] counts what is in there beside samples, and says where it is not readable.
    """
    address, end = address_of(data), data.size
    at = n = 0
    while at < end:
        before = at
        key, begin, stop, at = _field(address, at, end)
        if at < 0:
            tally[PLACE] = before
            return MALFORMED
        if key == 1 << 3 | _DELIMITED:
            tally[SERIES] += 1
            n = _series(address, begin, stop, spans, stamps, values, n, tally)
            if n < 0:
                return n
        tally[METADATA] += key == 3 << 3 | _DELIMITED
    return n


@loop
def split_labels(
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    labels: NDArray[np.int64],
    counts: NDArray[np.int64],
    most: int,
) -> int:
    """Where the label messages of each series begin and end, labels [n, 2]; how many in all.

    counts [n] says how many each series has, and is MALFORMED where there is something else, or
    more than `most`; labels has half as many places as the spans have bytes, or more.
    """
    address = address_of(data)
    found = 0
    for n in range(spans.shape[0]):
        at, end = spans[n, 0], spans[n, 1]
        first = found
        while at < end and load_byte(address + at) == 1 << 3 | _DELIMITED:
            length, begin = _varint(address, at + 1, end)
            if begin < 0 or length > np.uint64(end - begin):
                break
            at = begin + np.int64(length)
            labels[found, 0] = begin
            labels[found, 1] = at
            found += 1
        counts[n] = found - first
        if at < end or found - first > most:
            counts[n], found = MALFORMED, first
    return found
