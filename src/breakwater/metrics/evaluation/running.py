"""The loops over time of words with state, compiled by numba: state in, state out.

Each takes lines [lines, points] and changes them in place, with the memory of each line: `ring`
[lines, n], the last n points or what is needed of them, and `state` [lines, k], which starts as
`memory` says. What a point comes to depends only on the points before it, never on how they were
cut into stretches. The arithmetic is that of Netflix Atlas (its `Online*` algorithms).
"""

import math

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import loop

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TRUE = 1e-12
_FAR = 15


@loop
def delay(values: Floats, ring: Floats, state: Floats) -> None:
    """The point n points ago. State: position."""
    n = ring.shape[1]
    for i in range(values.shape[0]):
        at = int(state[i, 0])
        for j in range(values.shape[1]):
            value = values[i, j]
            values[i, j] = ring[i, at]
            ring[i, at] = value
            at = (at + 1) % n
        state[i, 0] = at


@loop
def rolling_count(values: Floats, ring: Floats, state: Floats) -> None:
    """How many of the last n points are true. State: position, count."""
    n = ring.shape[1]
    for i in range(values.shape[0]):
        at, count = int(state[i, 0]), state[i, 1]
        for j in range(values.shape[1]):
            value = values[i, j]
            count += 1.0 if abs(value) >= _TRUE else 0.0
            count -= 1.0 if abs(ring[i, at]) >= _TRUE else 0.0
            ring[i, at] = value
            values[i, j] = count
            at = (at + 1) % n
        state[i, 0], state[i, 1] = at, count


@loop
def _exponent(value: float) -> int:
    if value != value:  # noqa: PLR0124 - NaN is the one value unequal to itself
        return 1024
    return 0 if value == 0.0 else math.frexp(value)[1] - 1


@loop
def _ring_sum(ring: Floats) -> float:
    total = np.nan
    for value in ring:
        if value == value:  # noqa: PLR0124 - as above
            total = value if total != total else total + value  # noqa: PLR0124 - as above
    return total


@loop
def rolling_sum(values: Floats, ring: Floats, state: Floats, least: int, is_mean: bool) -> None:  # noqa: FBT001 - numba has no keyword-only arguments
    """Sum or mean of the last n points where `least` of them have a value.

    State: position, sum, count. A sum that changes by a factor of 2**15 or more is made anew from
    the points, so that a huge value leaves nothing behind when it leaves the window.
    """
    n = ring.shape[1]
    for i in range(values.shape[0]):
        at, total, count = int(state[i, 0]), state[i, 1], state[i, 2]
        for j in range(values.shape[1]):
            value, gone = values[i, j], ring[i, at]
            ring[i, at] = value
            at = (at + 1) % n
            is_value, was_value = value == value, gone == gone  # noqa: PLR0124 - as above
            if is_value or was_value:
                change = (0.0 if not was_value else -gone) + (0.0 if not is_value else value)
                changed = change if total != total else total + change  # noqa: PLR0124 - as above
                if abs(_exponent(total) - _exponent(changed)) < _FAR:
                    total = changed
                else:
                    total = _ring_sum(ring[i])
                count += (1.0 if is_value else 0.0) - (1.0 if was_value else 0.0)
            if count < least:
                values[i, j] = np.nan
            else:
                values[i, j] = total / count if is_mean else total
        state[i, 0], state[i, 1], state[i, 2] = at, total, count


@loop
def trend(values: Floats, ring: Floats, state: Floats) -> None:
    """Mean of the last n points, missing ones as 0. State: position, sum, missing, seen."""
    n = ring.shape[1]
    for i in range(values.shape[0]):
        at, total, missing, seen = int(state[i, 0]), state[i, 1], state[i, 2], state[i, 3]
        for j in range(values.shape[1]):
            value, gone = values[i, j], ring[i, at]
            ring[i, at] = value
            at = (at + 1) % n
            seen += 1.0
            if gone != gone:  # noqa: PLR0124 - as above
                missing -= 1.0
            else:
                total -= gone
            if value != value:  # noqa: PLR0124 - as above
                missing += 1.0
            else:
                total += value
            values[i, j] = np.nan if seen < n or missing == n else total / n
        state[i, 0], state[i, 1], state[i, 2], state[i, 3] = at, total, missing, seen


@loop
def rolling_extreme(values: Floats, ring: Floats, state: Floats, sign: float) -> None:
    """Least (sign 1) or greatest (sign -1) of the last n points, missing ones passed over.

    The ring is a queue of the points that can still become the answer, [lines, 2, n]: values
    that ascend and when they came. State: head, size, points seen.
    """
    n = ring.shape[1] // 2
    for i in range(values.shape[0]):
        head, size, now = int(state[i, 0]), int(state[i, 1]), state[i, 2]
        for j in range(values.shape[1]):
            value = values[i, j] * sign
            if size and ring[i, n + head] <= now - n:
                ring[i, head] = np.nan
                head = (head + 1) % n
                size -= 1
            if value == value:  # noqa: PLR0124 - as above
                while size and ring[i, (head + size - 1) % n] >= value:
                    ring[i, (head + size - 1) % n] = np.nan
                    size -= 1
                place = (head + size) % n
                ring[i, place], ring[i, n + place] = value, now
                size += 1
            values[i, j] = ring[i, head] * sign if size else np.nan
            now += 1.0
        state[i, 0], state[i, 1], state[i, 2] = head, size, now


@loop
def _smooth(  # noqa: PLR0917 - numba has no keyword-only arguments
    state: Floats, at: int, value: float, training: int, alpha: float, beta: float
) -> float:
    """One step of double exponential smoothing; state from `at`: seen, level, slope."""
    level = state[at + 1]
    expected = level if state[at] >= training else np.nan
    if value == value:  # noqa: PLR0124 - as above
        if state[at] == 0.0:
            state[at + 1], state[at + 2] = value, 0.0
        else:
            smoothed = alpha * value + (1 - alpha) * (level + state[at + 2])
            state[at + 2] = beta * (smoothed - level) + (1 - beta) * state[at + 2]
            state[at + 1] = smoothed
        state[at] += 1.0
    return expected


@loop
def des(values: Floats, state: Floats, training: int, alpha: float, beta: float) -> None:
    """What smoothing expected before it saw each point. State: seen, level, slope."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] = _smooth(state[i], 0, values[i, j], training, alpha, beta)


@loop
def sdes(values: Floats, state: Floats, training: int, alpha: float, beta: float) -> None:
    """Two smoothings that take turns: one is used while the other is trained.

    State: points to pass over, points seen, which is used, then three values of each.
    """
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            if state[i, 0] > 0.0:
                state[i, 0] -= 1.0
                value = np.nan
            first = _smooth(state[i], 3, value, training, alpha, beta)
            second = _smooth(state[i], 6, value, training, alpha, beta)
            values[i, j] = first if state[i, 2] == 0.0 else second
            state[i, 1] += 1.0
            if state[i, 1] % training == 0.0:
                at = 3 if state[i, 2] == 0.0 else 6
                state[i, at], state[i, at + 1], state[i, at + 2] = 0.0, np.nan, np.nan
                state[i, 2] = 1.0 - state[i, 2]


@loop
def integral(values: Floats, state: Floats) -> None:
    """The sum of all points so far. State: that sum, NaN before any."""
    for i in range(values.shape[0]):
        total = state[i, 0]
        for j in range(values.shape[1]):
            value = values[i, j]
            if value == value:  # noqa: PLR0124 - as above
                total = value if total != total else total + value  # noqa: PLR0124 - as above
            values[i, j] = total
        state[i, 0] = total


@loop
def derivative(values: Floats, state: Floats) -> None:
    """The change from the point before. State: that point."""
    for i in range(values.shape[0]):
        before = state[i, 0]
        for j in range(values.shape[1]):
            value = values[i, j]
            values[i, j] = value - before
            before = value
        state[i, 0] = before


@loop
def cumulative_max(values: Floats, state: Floats) -> None:
    """The greatest of all points so far. State: that point, NaN before any."""
    for i in range(values.shape[0]):
        most = state[i, 0]
        for j in range(values.shape[1]):
            value = values[i, j]
            if value == value and not most >= value:  # noqa: PLR0124 - as above
                most = value
            values[i, j] = most
        state[i, 0] = most


@loop
def summarise(values: Floats, rows: Ints, stats: Floats) -> None:
    """Count, least, greatest, last, total and whether ever true, [rows, 6], point by point."""
    for i in range(values.shape[0]):
        into = stats[rows[i]]
        for j in range(values.shape[1]):
            value = values[i, j]
            if value == value:  # noqa: PLR0124 - as above
                into[0] += 1.0
                into[1] = min(into[1], value)
                into[2] = max(into[2], value)
                into[3] = value
                into[4] += value
                into[5] = 1.0 if abs(value) >= _TRUE else into[5]


@loop
def fold_intervals(values: Floats, rows: Ints, owners: Ints, folds: Floats) -> None:
    """Count, least, greatest and total of each interval, [rows, intervals, 4], point by point."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            if value == value:  # noqa: PLR0124 - as above
                into = folds[rows[i], owners[j]]
                into[0] += 1.0
                into[1] = min(into[1], value)
                into[2] = max(into[2], value)
                into[3] += value


def warm_up() -> None:
    """Compile every loop, or load it from the cache."""
    values, ring, state = np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 9))
    rows = np.zeros(1, dtype=np.int64)
    delay(values, ring, state)
    rolling_count(values, ring, state)
    rolling_sum(values, ring, state, 1, False)
    trend(values, ring, state)
    rolling_extreme(values, ring, state, 1.0)
    des(values, state, 1, 0.5, 0.5)
    sdes(values, state, 1, 0.5, 0.5)
    integral(values, state)
    derivative(values, state)
    cumulative_max(values, state)
    summarise(values, rows, np.zeros((1, 6)))
    fold_intervals(values, rows, np.zeros(2, dtype=np.int64), np.zeros((1, 1, 4)))
