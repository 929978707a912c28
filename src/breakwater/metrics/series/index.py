"""Which rows carry which tags: an inverted index that is never rebuilt.

For every (key, value) pair there are the rows that carry it, and for every row the ids of its
pairs. A new series is visible in the next query and a retired one leaves at once, so the cost of
change is the tags of the series that change, not the size of the index. ANDs of bitmaps over a
million rows take microseconds; patterns run once per distinct value, not once per series.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.selection.query import (
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
from breakwater.metrics.series.pairs import UNKNOWN, Key, Pairs, bitmap_of
from breakwater.metrics.series.rows import Rows
from breakwater.metrics.series.rowtags import RowTags
from breakwater.metrics.series.table import TagTable, distinct

Idents = NDArray[np.int32]


class IndexImage(NamedTuple):
    """An index as it was at one moment: `rows` ascend, and `table` has one line for each.

    A line holds the ids of the row's pairs, ascending, then -1; an id is a place in `pairs`.
    """

    rows: Rows
    table: Idents
    pairs: list[tuple[str, str]]


class Changes(NamedTuple):
    """What happened to an index between two positions: rows that came, and rows that went."""

    added: Rows
    removed: Rows


_MOST_CHANGES: Final = 4096
_MOST_CHANGED: Final = 1 << 20
_LAST = "\U0010ffff"
_UNCHECKED = 4096
_DENSE: Final = 16
_NO_ROWS: Final = np.empty(0, dtype=np.int64)

Check = Callable[[], None]
"""Called in the middle of long work; raises when it is to end."""

Lines = Callable[[Rows | None, bool], Idents]
"""Pair ids of the series at some positions, or of all; whether to make new pairs."""


def go_on() -> None:
    """Let the work take its time."""


class _History(NamedTuple):
    """Changes by position; the first `forgotten` are not kept any more."""

    forgotten: int
    changes: list[Changes]


class TagIndex:
    """Tags of rows, both ways round.

    One writer; readers in other threads see each series either with all its tags or not at all
    in a result that is read after `add` has returned. Memory: about 4 bytes a tag and row for the
    tags of rows and 2 for the rows of tags, 8 bytes a row, and each distinct pair once, some 200
    bytes.
    """

    def __init__(self, *, max_values_per_regex: int = 200_000) -> None:
        self._max_values = max_values_per_regex
        self._pairs = Pairs()
        self._row_tags = RowTags()
        self._rows = BitMap()
        self._history = _History(0, [])
        self._changed = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def key_count(self) -> int:
        """Distinct keys in use."""
        return len(self._pairs.keys)

    @property
    def pair_count(self) -> int:
        """Distinct (key, value) pairs in use."""
        return len(self._pairs)

    @property
    def size_bytes(self) -> int:
        """Bytes of the tables, which are most of it; bitmaps and strings are not counted."""
        return self._row_tags.size_bytes + self._pairs.size_bytes

    @property
    def position(self) -> int:
        """How often rows came or went; with `changed_since` it tells what is new."""
        forgotten, changes = self._history
        return forgotten + len(changes)

    def changed_since(self, position: int) -> Changes | None:
        """Rows that came and went after `position`; None when that is too long ago to be known.

        A row may be in both, and then it may carry other tags than it did.
        """
        forgotten, changes = self._history
        if position < forgotten:
            return None
        recent = changes[position - forgotten :]
        if not recent:
            return Changes(_NO_ROWS, _NO_ROWS)
        return Changes(
            np.concatenate([each.added for each in recent]),
            np.concatenate([each.removed for each in recent]),
        )

    @property
    def rows_in_use(self) -> BitMap:
        """Every row that was added and not removed; must not be changed."""
        return self._rows

    def row_of(self, tags: Mapping[str, str]) -> int | None:
        """The row that carries exactly `tags`."""
        found = int(self.rows_of_all([tags])[0])
        return None if found < 0 else found

    def rows_of_all(self, tags: Sequence[Mapping[str, str]]) -> Rows:
        """The row that carries exactly each of these tags, -1 where there is none; int64 [n]."""
        return self._found(self._pairs.lines(tags))

    def add(self, row: int, tags: Mapping[str, str]) -> None:
        """Enter a row that carries exactly `tags`, which no other row does."""
        self.add_all([tags], np.array([row]))

    def add_all(self, tags: Sequence[Mapping[str, str]], fresh: Rows) -> tuple[Rows, Rows]:
        """Enter many series, of which some may have a row already, or come twice.

        fresh: rows nobody has, int64 [m], to be taken in order by those that have none. Returns
        the row of each series, -1 where `fresh` was used up, and the rows that were taken. About
        2 us a series.
        """

        def lines(positions: Rows | None, makes_new: bool) -> Idents:  # noqa: FBT001 - `Lines`
            chosen = tags if positions is None else [tags[i] for i in positions.tolist()]
            return self._pairs.lines(chosen, makes_new=makes_new)

        return self._enter(len(tags), lines, fresh)

    def add_table(self, table: TagTable, fresh: Rows) -> tuple[Rows, Rows]:
        """As `add_all`, for tags that come as a table."""

        def lines(positions: Rows | None, makes_new: bool) -> Idents:  # noqa: FBT001 - `Lines`
            chosen = table.lines if positions is None else table.lines[positions]
            used = distinct(chosen, len(table.pairs))
            known = np.full(len(table.pairs) + 1, -1, dtype=np.int32)  # the last one stands for -1
            pairs = [table.pairs[place] for place in used.tolist()]
            known[used] = self._pairs.numbers(pairs, makes_new=makes_new)
            return known[chosen]

        return self._enter(len(table.lines), lines, fresh)

    def tag_table(self, rows: Rows) -> TagTable:
        """The tags of some rows as a table; by the writer only."""
        lines = self._row_tags.table[rows]
        used = distinct(lines, self._pairs.most)
        local = _places_of(used, lines)
        tags = self._pairs.table_of(used)
        return TagTable(tags, local[:, (local >= 0).any(axis=0)])

    def remove(self, row: int) -> None:
        """Take a row out; keys and values nobody carries any more disappear."""
        self.remove_all(np.array([row]))

    def remove_all(self, rows: Rows) -> None:
        """Take rows out, int64 [n], each of which is in. About 1 us a row."""
        lines = self._row_tags.table[rows]
        self._rows -= bitmap_of(np.sort(rows))
        self._row_tags.forget(rows)
        self._pairs.leave(rows, lines)
        self._note(Changes(_NO_ROWS, rows))

    def release(self) -> None:
        """Ids of pairs that disappeared before the last call may be used again."""
        self._pairs.release()

    def image(self) -> IndexImage:
        """A copy of everything; by the writer only. About 50 ns a row."""
        rows = np.array(self._rows.to_array(), dtype=np.int64)
        table = self._row_tags.table[rows]
        is_used = (table >= 0).any(axis=0)
        return IndexImage(rows, table[:, is_used], self._pairs.table())

    def restore(self, image: IndexImage) -> None:
        """Take over an image, into an index that is still empty. About 1 us a row."""
        rows, table = image.rows, np.ascontiguousarray(image.table, dtype=np.int32)
        if not len(rows):
            return
        self._row_tags.restore(rows, table)
        self._pairs.restore(image.pairs, rows, table)
        self._rows = bitmap_of(rows)

    def tags_of(self, row: int) -> dict[str, str]:
        """The tags of one row."""
        line = self._row_tags.table[row]
        return self._pairs.tags(line[line >= 0])

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
                entry = self._pairs.keys.get(key)
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

    def codes(self, rows: Rows, key: str) -> Idents:
        """For each row the id of its pair of `key`, or -1 when it lacks the key; int32 [n]."""
        entry = self._pairs.keys.get(key)
        codes = np.full(len(rows), -1, dtype=np.int32)
        if entry is None:
            return codes
        table = self._row_tags.table
        for column in range(table.shape[1]):  # faster than all at once, in a fraction of the room
            carried = table[rows, column]
            is_key = (carried >= 0) & (self._pairs.key_idents(carried) == entry.ident)
            np.copyto(codes, carried, where=is_key)
        return codes

    def lines(self, rows: Rows) -> Idents:
        """The ids of the pairs of each row, as in `codes`; int32 [n, width], then -1."""
        return self._row_tags.table[rows]

    def tags_of_lines(self, lines: Idents) -> list[dict[str, str]]:
        """The tags of lines as `lines` gives them, without pairs that have left meanwhile."""
        used, places = np.unique(lines, return_inverse=True)
        pairs = self._pairs.table_of(np.maximum(used, 0))
        # A number of no pair, and one whose key has left, stand for nothing.
        known = [
            pair if ident >= 0 and pair[0] else None
            for ident, pair in zip(used, pairs, strict=True)
        ]
        rows: NDArray[np.intp] = places.reshape(lines.shape)
        return [
            dict(pair for place in line if (pair := known[place]) is not None)
            for line in rows.tolist()
        ]

    def value_of(self, code: int) -> str:
        """The value behind a code of `codes`."""
        return self._pairs.value(code)

    def keys(self, query: Query | None = None, check: Check = go_on) -> list[str]:
        """Keys in use among the rows that match, sorted."""
        keys = self._pairs.keys
        if query is None:
            return sorted(keys)
        rows = self.rows_of(query, check)
        return sorted(name for name, key in list(keys.items()) if key.rows.intersect(rows))

    def values(self, key: str, query: Query | None = None, check: Check = go_on) -> list[str]:
        """Values of `key` among the rows that match, sorted."""
        entry = self._pairs.keys.get(key)
        if entry is None:
            return []
        if query is None:
            return list(entry.ordered())
        rows = self.rows_of(query, check)
        return [value for value in entry.ordered() if self._with(entry, value).intersect(rows)]

    def key_sizes(self) -> list[tuple[str, int, int]]:
        """Every key with how many values it has and how many rows carry it."""
        keys = list(self._pairs.keys.items())
        return [(name, len(key.values), len(key.rows)) for name, key in keys]

    def value_sizes(self, key: str) -> dict[str, int]:
        """How many rows carry each value of a key."""
        entry = self._pairs.keys.get(key)
        values = [] if entry is None else list(entry.values.items())
        return {value: len(self._pairs.rows(ident)) for value, ident in values}

    def count(self, key: str, value: str) -> int:
        """How many rows carry the pair."""
        entry = self._pairs.keys.get(key)
        ident = None if entry is None else entry.values.get(value)
        return 0 if ident is None else self._pairs.carriers(ident)

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
        entry = self._pairs.keys.get(query.key)
        if entry is None:
            return BitMap()
        if isinstance(query, Equal):
            return self._with(entry, query.value)
        if isinstance(query, In):
            values = list(query.values)
        elif isinstance(query, Compare):
            values = _compared(entry.ordered(), query)
        else:
            values = self._accepted(entry, query, check)
        if len(values) == len(entry.values) and not isinstance(query, In):
            return entry.rows
        found = map(entry.values.get, values)
        return self._pairs.union([ident for ident in found if ident is not None])

    def _with(self, entry: Key, value: str) -> BitMap:
        ident = entry.values.get(value)
        return BitMap() if ident is None else self._pairs.rows(ident)

    def _accepted(self, entry: Key, query: ValueQuery, check: Check) -> list[str]:
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

    def _found(self, lines: Idents) -> Rows:
        found = self._row_tags.find(lines)
        found[(lines == UNKNOWN).any(axis=1)] = -1
        return found

    def _enter(self, count: int, lines: Lines, fresh: Rows) -> tuple[Rows, Rows]:
        """Rows of `count` series; no pair is made for a series that gets none."""
        found = np.full(count, -1, dtype=np.int64)
        missing = np.arange(count)
        used = 0
        if len(fresh) < count:
            found = self._found(lines(None, False))
            missing = np.flatnonzero(found < 0)
        while len(missing) and used < len(fresh):
            taken, missing = np.split(missing, [len(fresh) - used])
            new = lines(taken if len(taken) < count else None, True)
            found[taken], took = self._row_tags.enter(new, fresh[used:])
            used += took
        if len(missing):  # they may be the same as some that have got a row just now
            found[missing] = self._found(lines(missing, False))
        added = fresh[:used]
        if used:
            self._pairs.carry(added, self._row_tags.table[added])
            self._rows |= bitmap_of(np.sort(added))
            self._note(Changes(added, _NO_ROWS))
        return found, added

    def _note(self, change: Changes) -> None:
        """Remember a change; in one assignment, for readers in other threads."""
        forgotten, changes = self._history
        changes.append(change)
        self._changed += len(change.added) + len(change.removed)
        if len(changes) > _MOST_CHANGES or self._changed > _MOST_CHANGED:
            gone = len(changes) // 2 + 1
            kept = changes[gone:]
            self._changed = sum(len(each.added) + len(each.removed) for each in kept)
            self._history = _History(forgotten + gone, kept)


def _places_of(used: Idents, lines: Idents) -> Idents:
    """Where each number of the lines is in `used`, which ascends and has them all; -1 stays -1."""
    if len(used) and int(used[-1]) < _DENSE * lines.size:
        places = np.full(int(used[-1]) + 2, -1, dtype=np.int32)  # the last one stands for -1
        places[used] = np.arange(len(used))
        return places[lines]
    found = np.searchsorted(used, lines).astype(np.int32)
    return np.where(lines < 0, np.int32(-1), found)


def _compared(ordered: list[str], query: Compare) -> list[str]:
    if query.word == "lt":
        return ordered[: bisect_left(ordered, query.value)]
    if query.word == "le":
        return ordered[: bisect_right(ordered, query.value)]
    if query.word == "gt":
        return ordered[bisect_right(ordered, query.value) :]
    return ordered[bisect_left(ordered, query.value) :]
