"""The loops that read datapoints, compiled by numba.

`warm_up` pays for compilation before the first query does. Inner loops have no branches, so that
they run at the speed of memory: a group-by sum of 1 M series x 60 slots reads its 480 MB in about
the time an array copy takes (benchmarks/metrics_engine.py).
"""

from math import isnan

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import Number, address_of, floats_at, load_number, loop, prefetch
from breakwater.metrics.store.packing import EMPTY, unpack_row
from breakwater.metrics.store.spans import (
    ADD,
    AT,
    BASES,
    COPY,
    COUNT,
    DATA,
    FIRST,
    LEAST,
    OFFSETS,
    ROWS,
    SHIFT,
    SLOTS,
    STRIDE,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SPARSE = 4
_AHEAD = 8


@loop
def _combine(how: int, source: int, is_whole: bool, line: int, size: int) -> None:  # noqa: FBT001
    """Fold values at one address into a line at another; NaN there is a slot that saw none yet."""
    values = floats_at(source, size)
    into = floats_at(line, size)
    if how == ADD and is_whole:
        for j in range(size):
            into[j] = _or_zero(into[j]) + values[j]
    elif how == ADD:
        for j in range(size):
            value, old = values[j], into[j]
            into[j] = old if isnan(value) else _or_zero(old) + value
    elif how == COUNT:
        for j in range(size):
            old = into[j]
            into[j] = old if isnan(values[j]) else _or_zero(old) + 1.0
    elif how == COPY:
        for j in range(size):
            into[j] = values[j]
    else:
        _combine_extremes(how, values, into)


@loop
def _combine_extremes(how: int, values: Floats, into: Floats) -> None:
    """Lower each least value, or raise each greatest, to these values."""
    if how == LEAST:
        for j in range(into.size):
            value, old = values[j], into[j]
            into[j] = old if old <= value or isnan(value) else value
    else:
        for j in range(into.size):
            value, old = values[j], into[j]
            into[j] = old if old >= value or isnan(value) else value


@loop
def _or_zero(value: float) -> float:
    return 0.0 if isnan(value) else value


@loop
def _place(data: int, offsets: int, bases: int, shift: int, row: int) -> Number:
    """Where a packed row begins; 0 when it holds no value."""
    offset = load_number(offsets + 2 * row) & EMPTY
    if offset == EMPTY:
        return 0
    return data + load_number(bases + 8 * (row >> shift)) + offset


@loop
def fold_spans(  # noqa: PLR0917 - numba has no keyword-only arguments
    how: int, spans: Ints, rows: Ints, lines: Ints, first: int, last: int, origin: int, out: Floats
) -> None:
    """Fold slots [first, last] of rows into their lines, from blocks as they are in memory.

    spans: int64 [n, 9], see `spans`; lines: for each row its line of `out`, whose first slot is
    `origin`. Nothing is checked: rows ascend, and lines are those of `out`, which holds NaN where
    nothing was folded yet. Every slot takes its rows in the order given, so an answer does not
    depend on how a window was cut.
    """
    widest = 1
    for s in range(spans.shape[0]):
        widest = max(widest, spans[s, STRIDE])
    # Threads fold at the same time: nothing of theirs may lie in one line of the cache.
    room = np.empty(3 * widest + 32)
    spare = address_of(room) + 128
    values = spare + 16 * widest
    points, target = out.shape[1], address_of(out)
    count = rows.size
    is_sparse = count > 0 and rows[count - 1] - rows[0] > _SPARSE * count
    for s in range(spans.shape[0]):
        low = max(first - spans[s, FIRST], 0)
        size = min(last + 1 - spans[s, FIRST], spans[s, SLOTS]) - low
        if size <= 0:
            continue
        at = spans[s, FIRST] + low - origin
        low += spans[s, AT]
        stride, held, data = spans[s, STRIDE], spans[s, ROWS], spans[s, DATA]
        offsets, bases, shift = spans[s, OFFSETS], spans[s, BASES], spans[s, SHIFT]
        for i in range(count):
            row = rows[i]
            if row >= held:
                continue
            line = target + 8 * (lines[i] * points + at)
            if offsets == 0:
                if is_sparse and i + _AHEAD < count:
                    prefetch(data + 8 * (rows[i + _AHEAD] * stride + low))
                _combine(how, data + 8 * (row * stride + low), False, line, size)
                continue
            if is_sparse and i + 2 * _AHEAD < count:
                prefetch(offsets + 2 * rows[i + 2 * _AHEAD])
                ahead = _place(data, offsets, bases, shift, min(rows[i + _AHEAD], held - 1))
                prefetch(ahead)
                prefetch(ahead + 64)
            place = _place(data, offsets, bases, shift, row)
            if place:
                is_whole = unpack_row(place, stride, low, low + size, spare, values)
                _combine(how, values, is_whole, line, size)
    room[0] = 0.0  # it is in use up to here, though only by its address


@loop
def consolidate(  # noqa: PLR0917 - numba has no keyword-only arguments
    values: Floats,
    multiple: int,
    how: int,
    is_average: bool,  # noqa: FBT001 - as above
    by_count: Flags,
    out: Floats,
) -> None:
    """Make each `multiple` datapoints of a line one, [lines, n * multiple] to [lines, n].

    NaN only where there was no value at all. An average divides by `multiple`, or by the number
    of values where the line says so.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            folded, seen = np.nan, 0
            for k in range(j * multiple, (j + 1) * multiple):
                value = values[i, k]
                if isnan(value):
                    continue
                if seen == 0:
                    folded = 0.0 + value if how == ADD else value
                elif how == ADD:
                    folded += value
                elif how == LEAST:
                    folded = min(folded, value)
                else:
                    folded = max(folded, value)
                seen += 1
            if is_average:
                folded /= seen if by_count[i] else multiple
            out[i, j] = folded


@loop
def percentile_points(counts: Floats, bounds: Floats, percents: Floats, out: Floats) -> None:
    """Percentiles of bucket counts by linear interpolation inside a bucket.

    counts: [buckets, points]; bounds: upper bound of each bucket, [buckets]; percents ascending,
    [k]; out: [k, points]. A point whose counts are all zero gives 0.
    """
    buckets, points = counts.shape
    for point in range(points):
        total = 0.0
        for bucket in range(buckets):
            total += counts[bucket, point]
        asked = 0
        before = 0.0
        percent_before = 0.0
        bound_before = 0.0
        for bucket in range(buckets):
            if asked == percents.size or total == 0.0:
                break
            after = before + counts[bucket, point]
            percent_after = 100.0 * (after / total)  # exactly 100 after the last one hit
            while asked < percents.size and percent_after >= percents[asked]:
                share = (percents[asked] - percent_before) / (percent_after - percent_before)
                if share != share:  # noqa: PLR0124 - 0/0: the percentile 0 of an empty bucket
                    share = 0.0
                out[asked, point] = share * (bounds[bucket] - bound_before) + bound_before
                asked += 1
            before = after
            percent_before = percent_after
            bound_before = bounds[bucket]
        while asked < percents.size:
            out[asked, point] = bound_before if total > 0.0 else 0.0
            asked += 1


def warm_up() -> None:
    """Compile every kernel, or load it from the cache."""
    out = np.full((1, 2), np.nan)
    rows = np.zeros(1, dtype=np.int64)
    spans = np.array([[0, 2, 0, 1, out.ctypes.data, 0, 0, 0, 2]])
    fold_spans(COUNT, spans, rows, rows, 0, 1, 0, out)
    consolidate(out, 2, ADD, True, np.zeros(1, dtype=np.bool_), np.empty((1, 1)))
    percentile_points(out, np.ones(1), np.full(1, 50.0), np.zeros((1, 2)))
