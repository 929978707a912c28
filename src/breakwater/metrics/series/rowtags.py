"""Rows as sorted lines of pair ids, and the way back from a line to its row.

The lines are one table; the way back is a table of row numbers with open addressing, which needs
no copy of any line: about 8 bytes a row, whatever its tags. Searching and entering are compiled.
"""

from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.series.rows import Rows, reserved

Idents = NDArray[np.int32]

_FEWEST: Final = 1024
_CHUNK: Final = 4096
_WIDTH: Final = 4
_NONE: Final = np.empty(0, dtype=np.int64)


class RowTags:
    """Which pairs a row carries: `table` int32 [rows, width], ids ascending, then -1."""

    def __init__(self) -> None:
        self.table = np.empty((0, _WIDTH), dtype=np.int32)
        self._ready = 0
        self._places = np.full(_FEWEST, -1, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Memory of the lines and of the way back to them."""
        return int(self._ready * self.table.shape[1] * 4 + self._places.nbytes)

    def find(self, lines: Idents) -> Rows:
        """The row of each line of ids [n, any width], -1 where there is none."""
        return self.enter(lines, _NONE)[0]

    def enter(self, lines: Idents, fresh: Rows) -> tuple[Rows, int]:
        """Rows of lines; the lines without one get the rows `fresh`, in order, while they last.

        Returns the rows, -1 where `fresh` was used up, and how many of `fresh` were taken.
        """
        if len(fresh):
            self._fit(int(fresh.max()) + 1, lines.shape[1])
            self._widen(self._count + len(fresh))
        width = self.table.shape[1]
        padded = np.full((len(lines), width), -1, dtype=np.int32)
        if lines.shape[1] <= width:
            padded[:, : lines.shape[1]] = lines
            is_too_wide = None
        else:
            padded[:] = -np.sort(-lines, axis=1)[:, :width]
            is_too_wide = (lines >= 0).sum(axis=1) > width
        found = np.empty(len(lines), dtype=np.int64)
        used = load_folding().enter_rows(padded, fresh, self.table, self._places, found)
        self._count += used
        if is_too_wide is not None:
            found[is_too_wide] = -1
        return found, used

    def forget(self, rows: Rows) -> None:
        """Take rows out, each of which has a line."""
        load_folding().forget_rows(rows, self.table, self._places)
        self._count -= len(rows)

    def restore(self, rows: Rows, lines: Idents) -> None:
        """Take over the lines [n, width] of rows, ascending, into a table that is still empty."""
        self._fit(int(rows[-1]) + 1, lines.shape[1])
        self._widen(len(rows))
        self.table[rows, : lines.shape[1]] = lines
        load_folding().place_rows(rows, self.table, self._places)
        self._count = len(rows)

    def _fit(self, rows: int, width: int) -> None:
        """Make room for `rows` rows and `width` ids a row; new lines hold none."""
        capacity, columns = self.table.shape
        if rows > capacity or width > columns:
            wanted = (
                max(capacity, 1 << max(rows - 1, _CHUNK - 1).bit_length()),
                max(columns, width),
            )
            larger = reserved(wanted[0] * wanted[1], np.int32).reshape(wanted)
            larger[: self._ready, :columns] = self.table[: self._ready]
            larger[: self._ready, columns:] = -1
            self.table = larger  # readers may still hold the former one, which stays as it was
        if rows > self._ready:
            ready = min(max(rows, self._ready + _CHUNK), len(self.table))
            self.table[self._ready : ready] = -1
            self._ready = ready

    def _widen(self, count: int) -> None:
        """Keep a third of the places free."""
        size = len(self._places)
        while 3 * count > 2 * size:
            size *= 2
        if size != len(self._places):
            rows = self._places[self._places >= 0].astype(np.int64)
            self._places = np.full(size, -1, dtype=np.int32)
            load_folding().place_rows(rows, self.table, self._places)


def load_folding() -> ModuleType:
    """The compiled loops; numba is imported when they are first needed."""
    from breakwater.metrics.series import folding  # noqa: PLC0415 - numba costs 0.6 s to import

    return folding
