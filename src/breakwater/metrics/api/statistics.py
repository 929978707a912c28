"""The numbers of a line as legends, sorting and `stats.json` give them."""

import numpy as np
from numpy.typing import NDArray

from breakwater.render import LineStatistics


def statistics_of(values: NDArray[np.float64]) -> LineStatistics:
    """Statistics of the values that are there; NaN, and a count of 0, where none is."""
    there = values[~np.isnan(values)]
    if not len(there):
        nothing = float("nan")
        return LineStatistics(
            min=nothing, max=nothing, avg=nothing, last=nothing, total=nothing, count=0
        )
    with np.errstate(all="ignore"):  # huge values add up to infinity, infinities to nothing
        total = float(there.sum())
    return LineStatistics(
        min=float(there.min()),
        max=float(there.max()),
        avg=total / len(there),
        last=float(there[-1]),
        total=total,
        count=len(there),
    )
