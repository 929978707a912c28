"""Which series of one store are rolled up into which series of the next.

A target is what a series is without the tags that are dropped; it owns up to five series of the
coarser store, one for each of KINDS. Rows are mapped once, when their series is new: the cost of
a pass is that of the new targets, about 20 us each, and a look at every row.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.classes.policy import AGGREGATE, KINDS
from breakwater.metrics.selection.query import Query
from breakwater.metrics.series.index import Idents
from breakwater.metrics.series.kinds import KIND_TAG
from breakwater.metrics.series.rows import ROW_MASK, Handles, Rows
from breakwater.metrics.store.series_store import SeriesStore

Ordinals = NDArray[np.int32]

NOT_KEPT: Final = -1
"""In the place of a target: the class has no room for it."""

_LINES_AT_ONCE: Final = 250_000
_TARGETS_AT_ONCE: Final = 2_000
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)
_FEWEST: Final = 1024

_T = TypeVar("_T", bound=np.signedinteger[Any])


class Targets:
    """The targets of one class, each known by an ordinal; `handles` int64 [5, n], -1 for none."""

    def __init__(self, store: SeriesStore) -> None:
        self._store = store
        self.count = 0
        self.refused = 0
        self.handles: Handles = np.full((len(KINDS), _FEWEST), -1, dtype=np.int64)
        self._by_row: Ordinals = np.full(_FEWEST, NOT_KEPT, dtype=np.int32)

    def ordinals(self, tags: Sequence[Mapping[str, str]]) -> Ordinals:
        """The ordinal of each target, made when it is new; NOT_KEPT where there is no room.

        The targets are all different. About 15 us each, most of it to resolve their series.
        """
        found = np.full(len(tags), NOT_KEPT, dtype=np.int32)
        for kinds, positions in _by_kinds(tags).items():
            wanted = [{**tags[at], AGGREGATE: kind} for kind in kinds for at in positions]
            handles = self._store.resolve_all(wanted).handles.reshape(len(kinds), -1)
            has_room = (handles >= 0).all(axis=0)
            self.refused += int((~has_room).sum())
            places = [KINDS.index(kind) for kind in kinds]
            found[np.array(positions)[has_room]] = self._entered(handles[:, has_room], places)
        return found

    def forget(self) -> None:
        """Begin anew, because a series of a target was retired."""
        self.count = 0
        self._by_row[:] = NOT_KEPT

    @property
    def size_bytes(self) -> int:
        """Memory of the columns."""
        return int(self.handles.nbytes + self._by_row.nbytes)

    def _entered(self, handles: Handles, places: list[int]) -> Ordinals:
        """Ordinals of targets by the handles of their series, of which sums are the first."""
        if not handles.shape[1]:
            return np.empty(0, dtype=np.int32)
        rows = handles[0] & ROW_MASK
        if int(rows.max()) >= len(self._by_row):
            self._by_row = _larger(self._by_row, int(rows.max()) + 1)
        ordinals: Ordinals = self._by_row[rows]
        # An ordinal whose sums were retired belongs to nobody any more.
        is_new = (ordinals == NOT_KEPT) | (self.handles[0, ordinals] != handles[0])
        fresh = np.arange(self.count, self.count + int(is_new.sum()), dtype=np.int32)
        self.count += len(fresh)
        while self.count > self.handles.shape[1]:
            more = np.full_like(self.handles, -1)
            self.handles = np.concatenate([self.handles, more], axis=1)
        ordinals[is_new] = fresh
        self._by_row[rows] = ordinals
        self.handles[:, ordinals] = -1
        self.handles[np.array(places)[:, np.newaxis], ordinals] = handles
        return ordinals


class RowMap:
    """The target of each row of a source that `query` matches; by one thread only.

    `dropped` are the keys that targets lack. `rows` ascend and `ordinals` belong to them, when
    `update` has come to its end.
    """

    def __init__(
        self, source: SeriesStore, query: Query, dropped: frozenset[str], targets: Targets
    ) -> None:
        self._source = source
        self._query = query
        self._dropped = dropped
        self._targets = targets
        self._serials = np.zeros(_FEWEST, dtype=np.int64)
        self._ordinals = np.full(_FEWEST, NOT_KEPT, dtype=np.int32)
        self.rows: Rows = np.empty(0, dtype=np.int64)
        self.ordinals: Ordinals = np.empty(0, dtype=np.int32)

    def update(self) -> Iterator[None]:
        """Map the rows that are new, yielding after each piece of the work."""
        rows = self._source.index.rows(self._query)
        if len(rows) and int(rows[-1]) >= len(self._serials):
            self._serials = _larger(self._serials, int(rows[-1]) + 1, fill=0)
            self._ordinals = _larger(self._ordinals, int(rows[-1]) + 1)
        serials = self._source.serials(rows)
        is_new = serials != self._serials[rows]
        fresh, new_serials = rows[is_new], serials[is_new]
        for start in range(0, len(fresh), _LINES_AT_ONCE):
            taken = slice(start, start + _LINES_AT_ONCE)
            yield from self._map(fresh[taken])
            self._serials[fresh[taken]] = new_serials[taken]
        ordinals = self._ordinals[rows]
        is_kept = ordinals != NOT_KEPT
        self.rows, self.ordinals = rows[is_kept], ordinals[is_kept]

    def forget(self) -> None:
        """Map every row again at the next update."""
        self._serials[:] = 0

    @property
    def size_bytes(self) -> int:
        """Memory of the columns."""
        columns = (self._serials, self._ordinals, self.rows, self.ordinals)
        return sum(column.nbytes for column in columns)

    def _map(self, rows: Rows) -> Iterator[None]:
        """Find the ordinals of rows; series that come to the same target are resolved once."""
        index = self._source.index
        lines = index.lines(rows)
        for key in self._dropped:
            codes = index.codes(rows, key)
            lines[(lines == codes[:, np.newaxis]) & (lines >= 0)] = -1
        first, inverse = _distinct(lines)
        ordinals = np.full(len(first), NOT_KEPT, dtype=np.int32)
        for start in range(0, len(first), _TARGETS_AT_ONCE):
            places = np.arange(start, min(start + _TARGETS_AT_ONCE, len(first)))
            tags = index.tags_of_lines(lines[first[places]])
            # A row whose series has left this moment has no name, and no value to be rolled up.
            is_named = np.array(["name" in each for each in tags], dtype=np.bool_)
            named = [each for each in tags if "name" in each]
            ordinals[places[is_named]] = self._targets.ordinals(named)
            yield
        self._ordinals[rows] = ordinals[inverse]


def kinds_of(tags: Mapping[str, str]) -> tuple[str, ...]:
    """What is kept of a target: buckets of percentiles are only ever added up.

    Of gauges also the share of steps that had a value, by which they are averaged over time.
    """
    is_gauge = tags.get(KIND_TAG) == "gauge"
    if "percentile" in tags:
        return ("sum", "steps") if is_gauge else ("sum",)
    return KINDS if is_gauge else KINDS[:4]


def _by_kinds(tags: Sequence[Mapping[str, str]]) -> dict[tuple[str, ...], list[int]]:
    """Positions of targets by what is kept of them."""
    found: dict[tuple[str, ...], list[int]] = {}
    for position, each in enumerate(tags):
        found.setdefault(kinds_of(each), []).append(position)
    return found


def _distinct(lines: Idents) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each different line comes first, and for each line which of those it is.

    lines: int32 [n, width], ids and -1 in any order; sorted in place.
    """
    lines.sort(axis=1)
    hashes = np.zeros(len(lines), dtype=np.uint64)
    for column in range(lines.shape[1]):
        hashes = (hashes ^ lines[:, column].astype(np.uint64)) * _MIXER
        hashes ^= hashes >> np.uint64(29)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    if not (lines[first][inverse] == lines).all():  # two lines with the same hash
        _, first, inverse = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def _larger(column: NDArray[_T], size: int, *, fill: int = NOT_KEPT) -> NDArray[_T]:
    larger = np.full(max(size, 2 * len(column)), fill, dtype=column.dtype)
    larger[: len(column)] = column
    return larger
