"""New series as a table: what a store tells whoever keeps its record."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SeriesTable(NamedTuple):
    """New series as the log names them: serials from `first_serial` on, in the order of `lines`.

    lines: int32 [n, most tags of one], places in `pairs`, then -1.
    """

    first_serial: int
    last_slot: int
    pairs: list[tuple[str, str]]
    lines: NDArray[np.int32]
