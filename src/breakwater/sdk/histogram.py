"""Latency histograms that cost about a tenth of a microsecond a value and merge by adding.

A bucket is named by the upper sixteen bits of the value as an IEEE 754 single: sign, exponent and
seven bits of mantissa, hence 128 buckets an octave over the whole range of a float and a relative
error of at most 1/256. Whole batches are bucketed by `array` and counted in C; nothing is
configured and nothing has a range to run out of. Count, sum, minimum and maximum are exact.
"""

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from breakwater.model.ranks import percentiles_of

_UPPER: Final = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
_WORD: Final = struct.Struct("I")
_SINGLE: Final = struct.Struct("f")


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """What a histogram held at one moment, in seconds; percentiles interpolate within a bucket.

    buckets: how many values by bucket, see `bounds_s`. min_s and max_s are 0 when count is.
    """

    count: int = 0
    sum_s: float = 0.0
    min_s: float = 0.0
    max_s: float = 0.0
    buckets: dict[int, int] = {}

    @property
    def mean_s(self) -> float:
        """Sum by count, 0 when there is none."""
        return self.sum_s / self.count if self.count else 0.0

    def percentile_s(self, percent: float) -> float:
        """The value below which `percent` (0 to 100) of the values lie; 0 when there is none."""
        return self.percentiles_s((percent,))[0]

    def percentiles_s(self, percents: Sequence[float]) -> list[float]:
        """`percentile_s` of each, which must ascend, in one pass over the buckets."""
        keys = sorted(self.buckets)
        counts = [self.buckets[key] for key in keys]
        values_s = percentiles_of(counts, lambda place: bounds_s(keys[place]), percents)
        return [min(max(value_s, self.min_s), self.max_s) for value_s in values_s]


class Histogram:
    """A histogram that is being filled; not locked, its owner is."""

    __slots__ = ("_buckets", "count", "max_s", "min_s", "sum_s")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.sum_s = 0.0
        self.min_s = float("inf")
        self.max_s = 0.0

    def add(self, seconds: Sequence[float]) -> None:
        """Take in a batch of values of at least 0; about 100 ns each."""
        if not seconds:
            return
        words = memoryview(array("f", seconds)).cast("B").cast("H")
        self._buckets.update(words[_UPPER].tolist())
        self.count += len(seconds)
        self.sum_s += sum(seconds)
        self.min_s = min(self.min_s, min(seconds))  # noqa: PLW3301 - the inner one runs in C
        self.max_s = max(self.max_s, max(seconds))  # noqa: PLW3301 - the inner one runs in C

    def snapshot(self) -> Latencies:
        """What it holds now."""
        return Latencies(
            count=self.count,
            sum_s=self.sum_s,
            min_s=self.min_s if self.count else 0.0,
            max_s=self.max_s,
            buckets=dict(self._buckets),
        )


def merged(parts: Iterable["Latencies | Histogram"]) -> Latencies:
    """All of them as one: of several buckets of time, commands or machines."""
    taken = [part.snapshot() if isinstance(part, Histogram) else part for part in parts]
    filled = [part for part in taken if part.count]
    buckets: Counter[int] = Counter()
    for part in filled:
        buckets.update(part.buckets)
    return Latencies(
        count=sum(part.count for part in filled),
        sum_s=sum(part.sum_s for part in filled),
        min_s=min((part.min_s for part in filled), default=0.0),
        max_s=max((part.max_s for part in filled), default=0.0),
        buckets=dict(buckets),
    )


def bounds_s(bucket: int) -> tuple[float, float]:
    """The least value of a bucket, and of the one above it."""
    return _value(bucket << 16), _value((bucket + 1) << 16)


def bucket_of(seconds: float) -> int:
    """The bucket a value falls into."""
    return int(_WORD.unpack(_SINGLE.pack(seconds))[0]) >> 16


def _value(word: int) -> float:
    return float(_SINGLE.unpack(_WORD.pack(word))[0])
