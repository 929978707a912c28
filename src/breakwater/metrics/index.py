"""Which rows carry which tags: an inverted index that is never rebuilt.

For every (key, value) pair there is a bitmap of the rows that carry it, and for every row the ids
of its pairs. A new series is visible in the next query and a retired one leaves at once, so the
cost of change is the tags of one series, not the size of the index. ANDs of bitmaps over a
million rows take microseconds; patterns run once per distinct value, not once per series.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.language.query import (
    And,
    Compare,
    Equal,
    Everything,
    HasKey,
    In,
    Not,
    Or,
    Query,
    Regex,
    ValueQuery,
)

Rows = NDArray[np.int64]


class IndexImage(NamedTuple):
    """An index as it was at one moment: `rows` ascend, and `table` has one line for each.

    A line holds the ids of the row's pairs, ascending, then -1; an id is a place in `pairs`.
    """

    rows: Rows
    table: NDArray[np.int32]
    pairs: list[tuple[str, str]]


_GROWTH = 4096
_LOGGED = 2000
_LAST = "\U0010ffff"
_UNCHECKED = 4096

Check = Callable[[], None]
"""Called in the middle of long work; raises when it is to end."""


def go_on() -> None:
    """Let the work take its time."""


class _Key:
    """All values of one key."""

    __slots__ = ("_changes", "_ordered", "ident", "name", "rows", "values")

    def __init__(self, name: str, ident: int) -> None:
        self.name = name
        self.ident = ident
        self.values: dict[str, tuple[int, BitMap]] = {}
        self.rows = BitMap()
        self._changes = 0
        self._ordered: tuple[int, list[str]] = (0, [])

    def ordered(self) -> list[str]:
        """The values, sorted; kept until the set of values changes.

        The writer may add a value while a reader sorts: what was sorted is kept under the count
        of changes read before, so that it is not taken for the present set later on.
        """
        changes = self._changes
        sorted_at, ordered = self._ordered
        if sorted_at != changes:
            ordered = sorted(self.values)
            self._ordered = (changes, ordered)
        return ordered

    def changed(self) -> None:
        """A value came or went."""
        self._changes += 1


class TagIndex:
    """Tags of rows, both ways round.

    One writer; readers in other threads see each series either with all its tags or not at all
    in a result that is read after `add` has returned. Memory: about 4 bytes a tag and row, plus
    the bitmaps, plus each distinct pair once.
    """

    def __init__(self, *, max_values_per_regex: int = 200_000) -> None:
        self._max_values = max_values_per_regex
        self._keys: dict[str, _Key] = {}
        self._key_ids = 0
        self._pairs: list[tuple[str, str]] = []
        self._pair_key = np.full(_GROWTH, -1, dtype=np.int32)
        self._free_pairs: list[int] = []
        self._table = np.full((_GROWTH, 12), -1, dtype=np.int32)
        self._rows = BitMap()
        self._row_by_pairs: dict[bytes, int] = {}
        self._log: list[int] = []
        self._forgotten = 0
        self.removals = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def additions(self) -> int:
        """How many rows were ever added; with `added_since` it tells what is new."""
        return self._forgotten + len(self._log)

    @property
    def key_count(self) -> int:
        """Distinct keys in use."""
        return len(self._keys)

    @property
    def pair_count(self) -> int:
        """Distinct (key, value) pairs in use."""
        return len(self._pairs) - len(self._free_pairs)

    @property
    def size_bytes(self) -> int:
        """Bytes of the row table."""
        return int(self._table.nbytes + self._pair_key.nbytes)

    def added_since(self, position: int) -> list[int]:
        """Rows added after `additions` was `position`, which must be less than 2000 ago."""
        return self._log[max(position - self._forgotten, 0) :]

    @property
    def rows_in_use(self) -> BitMap:
        """Every row that was added and not removed; must not be changed."""
        return self._rows

    def row_of(self, tags: Mapping[str, str]) -> int | None:
        """The row that carries exactly `tags`."""
        keys, idents = self._keys, []
        for key, value in tags.items():
            entry = keys.get(key)
            found = None if entry is None else entry.values.get(value)
            if found is None:
                return None
            idents.append(found[0])
        idents.sort()
        return self._row_by_pairs.get(_identity(idents))

    def add(self, row: int, tags: Mapping[str, str]) -> None:
        """Enter a row that carries exactly `tags`."""
        idents: list[int] = []
        bitmaps: list[BitMap] = []
        for key, value in tags.items():
            entry = self._keys.get(key) or self._new_key(key)
            ident, carriers = entry.values.get(value) or self._new_value(entry, value)
            idents.append(ident)
            bitmaps += (carriers, entry.rows)
        idents.sort()
        identity = _identity(idents)
        self._fit(row, len(idents))
        self._table[row, : len(idents)] = np.frombuffer(identity, dtype=np.int32)
        self._row_by_pairs[identity] = row
        for bitmap in bitmaps:  # after the table: a row that readers find has its place there
            bitmap.add(row)
        self._rows.add(row)
        self._log.append(row)
        if len(self._log) > 2 * _LOGGED:
            del self._log[:_LOGGED]
            self._forgotten += _LOGGED

    def remove(self, row: int) -> None:
        """Take a row out; keys and values nobody carries any more disappear."""
        self._rows.discard(row)
        del self._row_by_pairs[_identity([int(i) for i in self._table[row] if i >= 0])]
        for ident in self._table[row]:
            if ident < 0:
                break
            key, value = self._pairs[ident]
            entry = self._keys[key]
            rows = entry.values[value][1]
            rows.discard(row)
            entry.rows.discard(row)
            if not rows:
                self._drop_value(entry, value, int(ident))
        self._table[row] = -1
        self.removals += 1

    def image(self) -> IndexImage:
        """A copy of everything; by the writer only. About 50 ns a row."""
        rows = np.array(self._rows.to_array(), dtype=np.int64)
        table = self._table[rows]
        is_used = (table >= 0).any(axis=0)
        return IndexImage(rows, table[:, is_used], list(self._pairs))

    def restore(self, image: IndexImage) -> None:
        """Take over an image, into an index that is still empty. About 3 us a row."""
        rows, table = image.rows, np.ascontiguousarray(image.table, dtype=np.int32)
        if not len(rows):
            return
        self._fit(int(rows[-1]), table.shape[1])
        self._table[rows, : table.shape[1]] = table
        self._rows = _bitmap(rows)
        self._restore_pairs(image)
        raw, width = table.tobytes(), 4 * table.shape[1]
        used = (4 * (table >= 0).sum(axis=1)).tolist()
        self._row_by_pairs = {
            raw[start : start + size]: row
            for start, size, row in zip(range(0, len(raw), width), used, rows.tolist(), strict=True)
        }

    def _restore_pairs(self, image: IndexImage) -> None:
        """Fill keys, values and their bitmaps; pairs that no row carries are free ones."""
        rows, table, pairs = image
        self._pairs = list(pairs)
        self._pair_key = np.full(max(len(pairs), _GROWTH), -1, dtype=np.int32)
        carried = table.ravel()
        owners = np.repeat(rows, table.shape[1])[carried >= 0]
        carried = carried[carried >= 0]
        order = np.argsort(carried, kind="stable")
        idents, starts = np.unique(carried[order], return_index=True)
        members = array("I", owners[order].astype(np.uint32).tobytes())
        bounds = [*starts.tolist(), len(members)]
        for place, ident in enumerate(idents.tolist()):
            key, value = pairs[ident]
            entry = self._keys.get(key) or self._new_key(key)
            carriers = BitMap(members[bounds[place] : bounds[place + 1]])
            entry.values[value] = (ident, carriers)
            entry.changed()
            self._pair_key[ident] = entry.ident
        for entry in self._keys.values():
            entry.rows = _bitmap(np.sort(owners[self._pair_key[carried] == entry.ident]))
        is_free = np.ones(len(pairs), dtype=np.bool_)
        is_free[idents] = False
        self._free_pairs = np.flatnonzero(is_free).tolist()

    def tags_of(self, row: int) -> dict[str, str]:
        """The tags of one row."""
        return dict(self._pairs[ident] for ident in self._table[row] if ident >= 0)

    def rows_of(self, query: Query, check: Check = go_on) -> BitMap:
        """The rows that match; the bitmap may be the index's own, so it must not be changed.

        `check` is called every few milliseconds; what it raises ends the search.
        """
        check()
        match query:
            case Everything():
                found = self._rows
            case And(left, right):
                found = self._intersection(left, right, check)
            case Or(left, right):
                found = self.rows_of(left, check) | self.rows_of(right, check)
            case Not(inner):
                found = self._rows - self.rows_of(inner, check)
            case HasKey(key):
                entry = self._keys.get(key)
                found = BitMap() if entry is None else entry.rows
            case ValueQuery():
                found = self._rows_by_value(query, check)
            case _:
                found = BitMap()
        return found

    def rows(self, query: Query, check: Check = go_on) -> Rows:
        """The rows that match, ascending, int64 [n]."""
        found = self.rows_of(query, check)
        return np.array(found.to_array(), dtype=np.int64)

    def codes(self, rows: Rows, key: str) -> NDArray[np.int32]:
        """For each row the id of its pair of `key`, or -1 when it lacks the key; int32 [n]."""
        entry = self._keys.get(key)
        if entry is None:
            return np.full(len(rows), -1, dtype=np.int32)
        carried = self._table[rows]
        is_key = (self._pair_key[carried] == entry.ident) & (carried >= 0)
        column = is_key.argmax(axis=1)
        positions = np.arange(len(rows))
        codes: NDArray[np.int32] = np.where(
            is_key[positions, column], carried[positions, column], np.int32(-1)
        )
        return codes

    def value_of(self, code: int) -> str:
        """The value behind a code of `codes`."""
        return self._pairs[code][1]

    def keys(self, query: Query | None = None, check: Check = go_on) -> list[str]:
        """Keys in use among the rows that match, sorted."""
        if query is None:
            return sorted(self._keys)
        rows = self.rows_of(query, check)
        return sorted(k for k, entry in list(self._keys.items()) if entry.rows.intersect(rows))

    def values(self, key: str, query: Query | None = None, check: Check = go_on) -> list[str]:
        """Values of `key` among the rows that match, sorted."""
        entry = self._keys.get(key)
        if entry is None:
            return []
        if query is None:
            return list(entry.ordered())
        rows = self.rows_of(query, check)
        return [
            value
            for value in entry.ordered()
            if (found := entry.values.get(value)) is not None and found[1].intersect(rows)
        ]

    def count(self, key: str, value: str) -> int:
        """How many rows carry the pair."""
        entry = self._keys.get(key)
        found = None if entry is None else entry.values.get(value)
        return 0 if found is None else len(found[1])

    def _intersection(self, left: Query, right: Query, check: Check) -> BitMap:
        if isinstance(left, Not):
            left, right = right, left
        first = self.rows_of(left, check)
        if not first:
            return first
        if isinstance(right, Not):
            return first - self.rows_of(right.query, check)
        return first & self.rows_of(right, check)

    def _rows_by_value(self, query: ValueQuery, check: Check) -> BitMap:
        entry = self._keys.get(query.key)
        if entry is None:
            return BitMap()
        if isinstance(query, Equal):
            return _rows_with(entry, query.value)
        if isinstance(query, In):
            return BitMap.union(BitMap(), *(_rows_with(entry, v) for v in query.values))
        if isinstance(query, Compare):
            values = _compared(entry.ordered(), query)
        else:
            values = self._accepted(entry, query, check)
        if len(values) == len(entry.values):
            return entry.rows
        return BitMap.union(BitMap(), *(_rows_with(entry, value) for value in values))

    def _accepted(self, entry: _Key, query: ValueQuery, check: Check) -> list[str]:
        ordered = entry.ordered()
        if not isinstance(query, Regex):
            return [value for value in ordered if query.accepts(value)]
        prefix, is_all = query.pattern.prefix()
        if prefix:
            first = bisect_left(ordered, prefix)
            ordered = ordered[first : bisect_left(ordered, prefix + _LAST, lo=first)]
        if is_all:
            return ordered
        if len(ordered) > self._max_values:
            raise QueryLimitError(
                f"values of '{entry.name}' to match a pattern with", len(ordered), self._max_values
            )
        accepted: list[str] = []
        for start in range(0, len(ordered), _UNCHECKED):
            check()
            part = ordered[start : start + _UNCHECKED]
            accepted += [value for value in part if query.accepts(value)]
        return accepted

    def _new_key(self, key: str) -> _Key:
        entry = self._keys[key] = _Key(key, self._key_ids)
        self._key_ids += 1
        return entry

    def _new_value(self, entry: _Key, value: str) -> tuple[int, BitMap]:
        if self._free_pairs:
            ident = self._free_pairs.pop()
            self._pairs[ident] = (entry.name, value)
        else:
            ident = len(self._pairs)
            self._pairs.append((entry.name, value))
        if ident >= len(self._pair_key):
            self._pair_key = np.concatenate([self._pair_key, np.full_like(self._pair_key, -1)])
        self._pair_key[ident] = entry.ident
        found = entry.values[value] = (ident, BitMap())
        entry.changed()
        return found

    def _drop_value(self, entry: _Key, value: str, ident: int) -> None:
        del entry.values[value]
        entry.changed()
        self._pair_key[ident] = -1
        self._free_pairs.append(ident)
        if not entry.values:
            del self._keys[entry.name]

    def _fit(self, row: int, width: int) -> None:
        rows, columns = self._table.shape
        if row < rows and width <= columns:
            return
        larger = np.full(
            (
                max(rows + max(rows // 2, _GROWTH), row + 1) if row >= rows else rows,
                max(columns, width),
            ),
            -1,
            dtype=np.int32,
        )
        larger[:rows, :columns] = self._table
        self._table = larger


def _bitmap(rows: Rows) -> BitMap:
    return BitMap(array("I", rows.astype(np.uint32).tobytes()))


def _identity(idents: list[int]) -> bytes:
    return array("i", idents).tobytes()


def _rows_with(entry: _Key, value: str) -> BitMap:
    found = entry.values.get(value)
    return BitMap() if found is None else found[1]


def _compared(ordered: list[str], query: Compare) -> list[str]:
    if query.word == "lt":
        return ordered[: bisect_left(ordered, query.value)]
    if query.word == "le":
        return ordered[: bisect_right(ordered, query.value)]
    if query.word == "gt":
        return ordered[bisect_right(ordered, query.value) :]
    return ordered[bisect_left(ordered, query.value) :]
