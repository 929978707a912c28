"""Where a value stands between the two ends of an axis, for every kind of scale.

All scales take negative values: the curve is mirrored at zero. Logarithmic ones are linear
between minus and plus their `knee`, a power of ten near the smallest value shown, so that zero
has a place.
"""

import math
from typing import Final

import msgspec
import numpy as np

from breakwater.render.chart import Values
from breakwater.render.plot.model import ScaleName

_MOST_DECADES: Final = 15
LARGEST: Final = 1e300
"""Values beyond take part in no scale; sums and differences would leave the numbers."""


class ValueScale(msgspec.Struct, frozen=True, kw_only=True):
    """A scale from `low` to `high`, low < high; `knee` counts for logarithmic ones only."""

    kind: ScaleName
    low: float
    high: float
    knee: float = 1.0

    def shares(self, values: Values) -> Values:
        """0 at the low end to 1 at the high end, beyond them outside; NaN where not finite."""
        low, high = self._bent(np.array([self.low, self.high]))
        kept = np.where(np.abs(values) < LARGEST, values, np.nan)
        shares: Values = (self._bent(kept) - low) / (high - low)
        return shares

    def share(self, value: float) -> float:
        """`shares` of one value."""
        return float(self.shares(np.array([value], dtype=np.float64))[0])

    def values(self, shares: Values) -> Values:
        """The values at those shares: what `shares` undoes."""
        low, high = self._bent(np.array([self.low, self.high]))
        return self._unbent(low + shares * (high - low))

    def _bent(self, values: Values) -> Values:
        if self.kind == "linear":
            return values
        size, sign = np.abs(values), np.sign(values)
        if self.kind == "pow2":
            return sign * np.square(size / self._unit)
        if self.kind == "sqrt":
            return sign * np.sqrt(size)
        size = size / self.knee
        above = np.log10(np.maximum(size, 1.0))
        if self.kind == "log-linear":
            decade = np.floor(above + 1e-12)
            above = decade + (np.maximum(size, 1.0) / 10.0**decade - 1.0) / 9.0
        return sign * np.where(size < 1.0, size, 1.0 + above)

    def _unbent(self, bent: Values) -> Values:
        if self.kind == "linear":
            return bent
        size, sign = np.abs(bent), np.sign(bent)
        if self.kind == "pow2":
            return sign * np.sqrt(size) * self._unit
        if self.kind == "sqrt":
            return sign * np.square(size)
        above = np.maximum(size - 1.0, 0.0)
        if self.kind == "log-linear":
            decade = np.floor(above + 1e-12)
            raised = 10.0**decade * (1.0 + 9.0 * (above - decade))
        else:
            raised = 10.0**above
        return sign * self.knee * np.where(size < 1.0, size, raised)

    @property
    def _unit(self) -> float:
        return max(abs(self.low), abs(self.high))


def knee_of(smallest: float, largest: float) -> float:
    """The power of ten at or below `smallest`, at most 15 decades below `largest`."""
    if not smallest > 0:
        return 1.0
    smallest = max(smallest, largest * 10.0**-_MOST_DECADES, 1e-290)
    return 10.0 ** math.floor(math.log10(smallest) + 1e-9)
