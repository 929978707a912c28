"""Spans: what the compiled loops are told of the blocks in memory, and what they may do to rows.

A span is a stretch of slots of all rows that lies in one place. A table of spans is int64 [n, 9],
a line each: FIRST slot, number of SLOTS, where they are AT in the stored row, ROWS there are, the
addresses of DATA, OFFSETS and BASES, the SHIFT that gives a row's group, and the STRIDE: slots of
a stored row. A span whose OFFSETS are 0 holds plain float64.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.int64]

FIRST: Final = 0
SLOTS: Final = 1
AT: Final = 2
ROWS: Final = 3
DATA: Final = 4
OFFSETS: Final = 5
BASES: Final = 6
SHIFT: Final = 7
STRIDE: Final = 8
WIDTH: Final = 9

ADD: Final = 0
COUNT: Final = 1
LEAST: Final = 2
GREATEST: Final = 3
COPY: Final = 4
FOLDS: Final = {"sum": ADD, "count": COUNT, "min": LEAST, "max": GREATEST}


def address_of(array: NDArray[Any]) -> int:
    """Where the first item of an array lies."""
    return int(array.ctypes.data)


def plain_column(
    values: NDArray[Any], kind: type[np.int64 | np.float64]
) -> NDArray[Any]:  # Any: of `kind`
    """A column as compiled loops take it: together in memory, and not read-only."""
    if values.dtype == kind and values.flags.carray:
        return values
    return np.array(values, dtype=kind)


def plain_span(values: NDArray[np.float64], first: int = 0) -> list[int]:
    """The span of an array [rows, slots] in memory; whoever uses it keeps the array."""
    rows, slots = values.shape
    return [first, slots, 0, rows, address_of(values), 0, 0, 0, slots]
