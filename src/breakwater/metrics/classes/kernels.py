"""Consolidation of many series into one for each target, and of many steps into one.

What is kept adds up, over series, over steps and over classes: the sum and the count of all values
of the source, and the number of its steps that had any. The average over time of a rate is the sum
divided by all steps there are, that of a gauge by those that had a value; both as the language
defines them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import loop

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_UNITS: Final = np.array([1.0, 100.0, 60.0, 1000.0, 3600.0, 1e6])
_ERROR: Final = 1e-11
_EXACT: Final = 2.0**52


@loop
def _snapped(total: float) -> float:
    """The whole number of hundredths, sixtieths and so on that a sum of such was to be.

    Sums of fractions miss it by rounding errors; without them it packs into fewer bits. The
    change is below one part in 10**11.
    """
    for place in range(_UNITS.size):
        scaled = total * _UNITS[place]
        number = np.rint(scaled)
        if abs(scaled - number) <= _ERROR * abs(scaled) and abs(number) < _EXACT:
            return float(number / _UNITS[place])
    return total


@loop
def roll_rows(values: Floats, starts: Ints, multiple: int, out: Floats) -> None:
    """Roll up plain series: values [rows, n * multiple], rows of a target next to each other.

    starts: [targets + 1], where the rows of each target begin. out: [targets, 5, n], filled here in
    the order of KINDS, NaN where a target had no value at all. One pass over the values, about 2 ns
    each.
    """
    points = values.shape[1]
    steps = points // multiple
    is_seen = np.empty(points, dtype=np.uint8)
    for target in range(starts.size - 1):
        lines = out[target]
        lines[0:2] = 0.0
        lines[2] = np.inf
        lines[3] = -np.inf
        lines[4] = 0.0
        is_seen[:] = 0
        for row in range(starts[target], starts[target + 1]):
            source = values[row]
            for step in range(steps):
                total, count = 0.0, 0.0
                least, greatest = np.inf, -np.inf
                for point in range(step * multiple, (step + 1) * multiple):
                    value = source[point]
                    if value == value:  # noqa: PLR0124 - NaN is the one value unequal to itself
                        total += value
                        count += 1.0
                        least = min(least, value)
                        greatest = max(greatest, value)
                        is_seen[point] = 1
                lines[0, step] += total
                lines[1, step] += count
                lines[2, step] = min(lines[2, step], least)
                lines[3, step] = max(lines[3, step], greatest)
        for step in range(steps):
            if lines[1, step] == 0.0:
                lines[:, step] = np.nan
                continue
            lines[0, step] = _snapped(lines[0, step])
            for point in range(step * multiple, (step + 1) * multiple):
                lines[4, step] += is_seen[point]


@loop
def snap(values: Floats) -> None:
    """Take rounding errors out of sums, in place; see `_snapped`."""
    for i in range(values.size):
        values[i] = _snapped(values[i])


def warm_up() -> None:
    """Compile the loops, or load them from the cache."""
    snap(np.zeros(1))
    roll_rows(np.zeros((1, 2)), np.array([0, 1]), 2, np.empty((1, 5, 1)))
