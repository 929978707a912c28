"""Percentiles of values of which only the number in each bucket is known."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

Bounds = Callable[[int], tuple[float, float]]
"""Lower and upper bound of the bucket in this place."""


def percentiles_of(
    counts: Sequence[float], bounds: Bounds, percents: Sequence[float]
) -> list[float]:
    """The value below which each share lies (percents ascend), interpolated within its bucket.

    counts: of the buckets in ascending order; zeros where there are none.
    """
    reached = list(accumulate(counts))
    total = reached[-1] if reached else 0.0
    if not total:
        return [0.0] * len(percents)
    found = []
    for percent in percents:
        rank = percent / 100.0 * total
        place = min(bisect_left(reached, rank), len(reached) - 1)
        below = reached[place - 1] if place else 0.0
        low, high = bounds(place)
        share = max(0.0, rank - below) / counts[place] if counts[place] else 1.0
        found.append(low + (high - low) * min(share, 1.0))
    return found
