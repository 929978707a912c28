"""Kinds of series, and how a datapoint joins what its slot already holds.

Plain numbers, because compiled loops and columns of bytes carry them.
"""

from typing import Final

RATE: Final = 0
COUNTER: Final = 1
GAUGE: Final = 2
SUM: Final = 3
MAX: Final = 4

KIND_TAG: Final = "atlas.dstype"
"""The tag that says what kind a series is; without it, or with another value, it is a rate."""

KINDS: Final = {"rate": RATE, "counter": COUNTER, "gauge": GAUGE, "sum": SUM, "max": MAX}

REPLACE: Final = 0
ADD: Final = 1
MAXIMUM: Final = 2
FILL: Final = 3
"""What `SeriesStore.fold` does with a value: put it in the place of what is there, add it to
that, keep the greater, or store it only where nothing is yet."""
