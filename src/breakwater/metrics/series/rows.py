"""What a store knows of each row apart from its datapoints: 17 bytes, in columns.

A row belongs to one series at a time. Its generation grows when that series retires, so that
handles made of row and generation tell whom they were given out for.
"""

import mmap
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Handles = NDArray[np.int64]

ROW_BITS: Final = 32
ROW_MASK: Final = (1 << ROW_BITS) - 1
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)
_NOT_SILENT: Final = np.iinfo(np.int32).max

_T = TypeVar("_T", bound="np.generic[Any]")


def reserved(count: int, kind: type[_T]) -> NDArray[_T]:
    """Zeros that take memory only where they are touched, a page at a time, and never move."""
    size = max(count, 1) * np.dtype(kind).itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), dtype=kind)


class RowTable:
    """Rows of a store, up to `limit`, and who may have them; changed by the writer only.

    Columns by row: generation int32; serial int64, what the log calls the series; last int32,
    the newest block that holds a value; kind uint8, one of `kinds`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self._free: Rows = np.empty(0, dtype=np.int64)
        self._resting: list[tuple[int, Rows]] = []
        self._reserve(limit)

    def _reserve(self, size: int) -> None:
        self.generation = reserved(size, np.int32)
        self.serial = reserved(size, np.int64)
        self.last = reserved(size, np.int32)
        self.kind = reserved(size, np.uint8)

    @property
    def capacity(self) -> int:
        """Rows the columns have; as many as `limit`, or as a former store had."""
        return len(self.generation)

    @property
    def in_use(self) -> int:
        """Rows of series, resting rows included."""
        return self.count - len(self._free)

    @property
    def room(self) -> int:
        """How many more rows could be taken."""
        return max(self.limit - self.count, 0) + len(self._free)

    @property
    def size_bytes(self) -> int:
        """Memory that is really in use."""
        columns = (self.generation, self.serial, self.last, self.kind)
        return self.count * sum(column.itemsize for column in columns) + self._free.nbytes

    def handles(self, rows: Rows) -> Handles:
        """What stands for the series that have these rows now; -1 stays -1."""
        generations = self.generation[rows].astype(np.int64)
        return np.where(rows < 0, rows, (generations << ROW_BITS) | rows)

    def is_fresh(self, handles: Handles) -> NDArray[np.bool_]:
        """Which handles still stand for the series they were given out for."""
        rows = handles & ROW_MASK
        is_row = rows < len(self.generation)
        generations = self.generation[np.where(is_row, rows, 0)]
        fresh: NDArray[np.bool_] = is_row & (generations == handles >> ROW_BITS)
        return fresh

    def offered(self, count: int) -> Rows:
        """The rows that would be taken next, at most `count` of them; the smallest free ones."""
        reused = self._free[-1 : -count - 1 : -1] if count else self._free[:0]
        more = min(count - len(reused), self.limit - self.count)
        if more <= 0:
            return reused.copy()
        return np.concatenate([reused, np.arange(self.count, self.count + more)])

    def take(self, rows: Rows) -> None:
        """The first of the rows `offered` have got an owner."""
        reused = min(len(rows), len(self._free))
        self._free = self._free[: len(self._free) - reused]
        self.count += len(rows) - reused

    def rest(self, rows: Rows, block: int) -> None:
        """The series of these rows are gone; others may have them once `block` is not newest."""
        self.generation[rows] += 1
        self.serial[rows] = 0
        self.last[rows] = _NOT_SILENT
        self._resting.append((block, rows))

    def release(self, newest: int) -> None:
        """Free the rows that have rested for a block."""
        ready = [rows for block, rows in self._resting if block < newest]
        if ready:
            self._resting = [each for each in self._resting if each[0] >= newest]
            free = np.concatenate([self._free, *ready])
            self._free = np.sort(free)[::-1].copy()

    def rewind(self, newest: int) -> None:
        """No block after `newest` ever was: nobody has a value there, or rests until it ends."""
        last = self.last[: self.count]
        last[(last > newest) & (last != _NOT_SILENT)] = newest
        self._resting = [(min(block, newest), rows) for block, rows in self._resting]

    def silent(self, oldest: int) -> Rows:
        """Rows of series without a value in block `oldest` or a newer one."""
        return np.flatnonzero(self.last[: self.count] < oldest)

    def restore(self, rows: Rows, serials: Handles, last: NDArray[np.int64]) -> None:
        """Take over rows, ascending, into a table that is still empty."""
        self.count = int(rows[-1]) + 1 if len(rows) else 0
        if self.count > len(self.generation):
            self._reserve(self.count)
        is_free = np.ones(self.count, dtype=np.bool_)
        is_free[rows] = False
        self._free = np.flatnonzero(is_free)[::-1].copy()
        self.last[self._free] = _NOT_SILENT
        self.serial[rows] = serials
        self.last[rows] = last
