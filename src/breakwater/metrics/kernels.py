"""The loops over datapoints, compiled by numba; only this module and `running` import it.

Compilation is cached on disk beside this file, so it is paid once a machine; `warm_up` pays it
before the first query does. Every loop releases the GIL. Inner loops have no branches, so that
they run at the speed of memory: a group-by sum of 1 M series x 60 slots reads its 480 MB in about
the time an array copy takes (benchmarks/metrics_engine.py).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(  # noqa: PLR0917 - numba has no keyword-only arguments
    data: Floats,
    rows: Ints,
    groups: Ints,
    first: int,
    last: int,
    total: Floats,
    seen: Floats,
    at: int,
) -> None:
    """Add slots [first, last) of each row to its group's total, and count the values seen."""
    for i in range(rows.size):
        source = data[rows[i], first:last]
        into = total[groups[i], at : at + last - first]
        count = seen[groups[i], at : at + last - first]
        for j in range(source.size):
            value = source[j]
            is_value = value == value  # noqa: PLR0124 - NaN is the one value unequal to itself
            into[j] += value if is_value else 0.0
            count[j] += 1.0 if is_value else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def least_of_rows(  # noqa: PLR0917 - numba has no keyword-only arguments
    data: Floats, rows: Ints, groups: Ints, first: int, last: int, least: Floats, at: int
) -> None:
    """Lower each group's least value (+inf before any) to that of its rows."""
    for i in range(rows.size):
        source = data[rows[i], first:last]
        into = least[groups[i], at : at + last - first]
        for j in range(source.size):
            value = source[j]
            into[j] = value if value < into[j] else into[j]  # noqa: FURB136 - false for NaN


@njit(cache=True, nogil=True, error_model="numpy")
def greatest_of_rows(  # noqa: PLR0917 - numba has no keyword-only arguments
    data: Floats, rows: Ints, groups: Ints, first: int, last: int, greatest: Floats, at: int
) -> None:
    """Raise each group's greatest value (-inf before any) to that of its rows."""
    for i in range(rows.size):
        source = data[rows[i], first:last]
        into = greatest[groups[i], at : at + last - first]
        for j in range(source.size):
            value = source[j]
            into[j] = value if value > into[j] else into[j]  # noqa: FURB136 - false for NaN


@njit(cache=True, nogil=True, error_model="numpy")
def copy_rows(  # noqa: PLR0917 - numba has no keyword-only arguments
    data: Floats, rows: Ints, first: int, last: int, out: Floats, out_rows: Ints, at: int
) -> None:
    """Copy slots [first, last) of each row to its place in `out`."""
    for i in range(rows.size):
        source = data[rows[i], first:last]
        into = out[out_rows[i], at : at + last - first]
        for j in range(source.size):
            into[j] = source[j]


@njit(cache=True, nogil=True, error_model="numpy")
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
    data = np.zeros((1, 2))
    rows = np.zeros(1, dtype=np.int64)
    out, seen = np.zeros((1, 2)), np.zeros((1, 2))
    add_rows(data, rows, rows, 0, 2, out, seen, 0)
    least_of_rows(data, rows, rows, 0, 2, out, 0)
    greatest_of_rows(data, rows, rows, 0, 2, out, 0)
    copy_rows(data, rows, 0, 2, out, rows, 0)
    percentile_points(data, np.ones(1), np.full(1, 50.0), np.zeros((1, 2)))
