"""What can be said of a line only when all of its points have been seen.

Both kinds of record take a line stretch by stretch and come to exactly the same numbers however
it is cut, because every sum is made in the order of the points.
"""

from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.grid.window import Window

Array = NDArray[np.float64]
LineKey = tuple[tuple[str, str], ...]

_COUNT, _LEAST, _GREATEST, _LAST, _TOTAL, _TRUE = range(6)
_COLUMNS: Final = {"min": _LEAST, "max": _GREATEST, "last": _LAST, "total": _TOTAL}
_EMPTY: Final = np.array([0.0, np.inf, -np.inf, np.nan, 0.0, 0.0])
MOST_KEPT: Final = 5_000_000
"""Values of state that one expression may keep: 40 MB."""


def load_running() -> ModuleType:
    """The compiled loops over time; numba is imported when they are first needed."""
    from breakwater.metrics.evaluation import running  # noqa: PLC0415 - numba costs 0.6 s to import

    return running


class Summary:
    """Statistics of lines; a line that was never seen has none."""

    def __init__(self) -> None:
        self._rows: dict[LineKey, int] = {}
        self._stats = np.empty((0, len(_EMPTY)))

    def take(self, keys: list[LineKey], values: Array) -> None:
        """Add a stretch of lines, float64 [lines, points]."""
        rows = places(self._rows, keys)
        if len(self._rows) > len(self._stats):
            fresh = np.tile(_EMPTY, (len(self._rows) - len(self._stats), 1))
            self._stats = np.concatenate([self._stats, fresh])
        load_running().summarise(np.ascontiguousarray(values), rows, self._stats)

    def of(self, key: LineKey, statistic: str) -> float:
        """A statistic of one line; NaN when it never had a value, but 0 for its count."""
        row = self._rows.get(key)
        stats = _EMPTY if row is None else self._stats[row]
        if statistic == "count":
            return float(stats[_COUNT])
        if not stats[_COUNT]:
            return float("nan")
        if statistic == "avg":
            return float(stats[_TOTAL] / stats[_COUNT])
        return float(stats[_COLUMNS[statistic]])

    def is_ever_true(self, key: LineKey) -> bool:
        """Whether the line was true (not zero, not missing) at any point."""
        row = self._rows.get(key)
        return row is not None and bool(self._stats[row, _TRUE])


class Intervals:
    """Lines consolidated: one value for each interval of `multiple` points.

    Intervals lie on the grid of their own length and may begin before the window or end after
    it; points outside it count as missing.
    """

    def __init__(self, whole: Window, multiple: int) -> None:
        self._multiple = multiple
        self._first = self._number(whole.first_ms // whole.step_ms)
        last = self._number(whole.first_ms // whole.step_ms + whole.points - 1)
        self._width = last - self._first + 1
        self._rows: dict[LineKey, int] = {}
        self._folds = np.empty((0, self._width, 4))

    def take(self, keys: list[LineKey], values: Array, window: Window) -> None:
        """Add a stretch of lines, float64 [lines, points]."""
        rows = places(self._rows, keys)
        if len(self._rows) * self._width * 4 > MOST_KEPT:
            size = len(self._rows) * self._width * 4
            raise QueryLimitError("values of intervals", size, MOST_KEPT)
        if len(self._rows) > len(self._folds):
            fresh = np.zeros((len(self._rows) - len(self._folds), self._width, 4))
            fresh[:, :, _LEAST], fresh[:, :, _GREATEST] = np.inf, -np.inf
            self._folds = np.concatenate([self._folds, fresh])
        owners = self._owners(window)
        load_running().fold_intervals(np.ascontiguousarray(values), rows, owners, self._folds)

    def values(
        self, keys: list[LineKey], window: Window, function: str, is_gauge: NDArray[np.bool_]
    ) -> Array:
        """The value of the interval each point lies in, float64 [lines, points]."""
        rows = [self._rows[key] for key in keys]
        folds = self._folds[rows][:, self._owners(window)]
        counts = folds[:, :, _COUNT]
        column = {"min": _LEAST, "max": _GREATEST}.get(function, 3)
        values = np.array(folds[:, :, column])
        if function == "avg":
            values /= np.where(is_gauge[:, np.newaxis], np.maximum(counts, 1), self._multiple)
        return np.where(counts > 0, values, np.nan)

    def _owners(self, window: Window) -> NDArray[np.int64]:
        first = window.first_ms // window.step_ms
        points = np.arange(first, first + window.points)
        return -(-points // self._multiple) - self._first

    def _number(self, point: int) -> int:
        return -(-point // self._multiple)


def places(rows: dict[LineKey, int], keys: list[LineKey]) -> NDArray[np.int64]:
    """The row of each line; lines not known yet get the next ones."""
    return np.array([rows.setdefault(key, len(rows)) for key in keys], dtype=np.int64)
