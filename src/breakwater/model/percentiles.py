"""The 276 fixed buckets that make percentiles of many instances mergeable.

Bucket bounds grow by a third of the last power of four, so a value is known to about 1/3 of its
magnitude at worst and counts of equal buckets may simply be added. Layout: Netflix Spectator,
`PercentileBuckets`. Timers are counted in nanoseconds, distribution summaries in their own unit.
"""

from typing import Final

_INT64_MAX: Final = (1 << 63) - 1


def _bounds() -> tuple[int, ...]:
    bounds = [1, 2, 3]
    for exponent in range(2, 64, 2):
        low = 1 << exponent
        width = low // 3
        bounds.extend(range(low, (low << 2) - width, width))
    return (*bounds[: _COUNT - 1], _INT64_MAX)


_COUNT: Final = 276
UPPER_BOUNDS: Final = _bounds()
"""276 exclusive upper bounds, ascending; the last is the largest signed 64-bit integer."""


def bucket_of(value: int) -> int:
    """Index of the bucket that holds `value`; zero and below fall into bucket 0."""
    if value <= 4:
        return max(value, 0)
    exponent = (value.bit_length() - 1) & ~1
    steps = (value - (1 << exponent)) // ((1 << exponent) // 3)
    # The last part of each power of four is narrower than a step: what is beyond the ninth step
    # already counts in the next power's first bucket, here as in Spectator.
    first = 4 if exponent == 2 else 6 + 9 * (exponent // 2 - 1)
    return min(first + steps, _COUNT - 1)


def timer_tag(seconds: float) -> str:
    """The `percentile` tag value of a timer record, for example `T00A2`."""
    return f"T{bucket_of(int(seconds * 1e9)):04X}"


def distribution_tag(amount: float) -> str:
    """The `percentile` tag value of a distribution-summary record, for example `D0012`."""
    return f"D{bucket_of(int(amount)):04X}"
