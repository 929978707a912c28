"""A line as a row of small bars, for terminals: `▁▂▄█▆ ▃`."""

import itertools
import math
from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 32) -> str:
    """Means of equal parts of a line as bars, at most `width` of them; a gap is a blank.

    Bars begin at zero where the line comes near it, else at its least value.
    """
    count = min(width, len(values))
    if count == 0:
        return ""
    ends = [place * len(values) // count for place in range(count + 1)]
    means = [_mean(values[first:last]) for first, last in itertools.pairwise(ends)]
    there = [mean for mean in means if not math.isnan(mean)]
    if not there:
        return " " * count
    low, high = min(there), max(there)
    if 0 <= low <= 0.5 * high:
        low = 0.0
    return "".join(_bar(mean, low, high) for mean in means)


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if math.isfinite(value)]
    return sum(there) / len(there) if there else math.nan


def _bar(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return " "
    share = (value - low) / (high - low) if high > low else 0.0
    return _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)]
