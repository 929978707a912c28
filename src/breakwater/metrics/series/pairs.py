"""Every (key, value) pair in use, once, and the rows that carry it.

A pair is known by a small number. Its rows are a bitmap, but for a pair of one row only, of which
there may be as many as series: that row is one number in a column. A pair that nobody carries any
more gives its number back, though not before the next pairs have left, so that a reader who has
just looked it up still finds nothing else there.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from breakwater.metrics.series.rows import Rows

Idents = NDArray[np.int32]

UNKNOWN: Final = -2
"""In the place of the number of a pair that nobody carries."""

_FEWEST: Final = 4096
_NOBODY: Final = -1
_MANY: Final = -2
"""In the place of the only row of a pair, where there is none, or more than one."""
_MANY_KEYS: Final = 64
_ROW_BITS: Final = 32
_ROW_MASK: Final = (1 << _ROW_BITS) - 1


class Key:
    """All values of one key: the number of each pair, and the rows that carry any of them."""

    __slots__ = ("_changes", "_ordered", "ident", "name", "rows", "values")

    def __init__(self, name: str, ident: int) -> None:
        self.name = name
        self.ident = ident
        self.values: dict[str, int] = {}
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


class Pairs:
    """The pairs of an index; one writer, any number of readers."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self._key_by_ident: dict[int, Key] = {}
        self._key_idents = 0
        self._values: list[str] = []
        self._key_of = np.full(_FEWEST, -1, dtype=np.int32)
        self._only = np.full(_FEWEST, -1, dtype=np.int32)
        self._many: dict[int, BitMap] = {}
        self._free: list[int] = []
        self._resting: list[int] = []
        self._rested: list[int] = []

    def __len__(self) -> int:
        unused = len(self._free) + len(self._rested) + len(self._resting)
        return len(self._values) - unused

    @property
    def most(self) -> int:
        """All numbers of pairs are below this."""
        return len(self._values)

    @property
    def size_bytes(self) -> int:
        """Memory of the columns."""
        return int(self._key_of.nbytes + self._only.nbytes)

    # Readers.

    def value(self, ident: int) -> str:
        """The value of a pair."""
        return self._values[ident]

    def tags(self, idents: Idents) -> dict[str, str]:
        """The pairs of these numbers as tags; those that have left meanwhile are missing."""
        keys = map(self._key_by_ident.get, self._key_of[idents].tolist())
        found = zip(keys, idents.tolist(), strict=True)
        return {key.name: self._values[ident] for key, ident in found if key is not None}

    def key_idents(self, idents: Idents) -> Idents:
        """The number of the key of each pair; int32, like `idents`, which must be numbers."""
        return self._key_of[idents]

    def rows(self, ident: int) -> BitMap:
        """The rows that carry a pair; may be the index's own, so it must not be changed."""
        only = int(self._only[ident])  # first: the writer makes a bitmap before it says so here
        if only >= 0:
            return BitMap((only,))
        many = self._many.get(ident) if only == _MANY else None
        return BitMap() if many is None else many

    def carriers(self, ident: int) -> int:
        """How many rows carry a pair."""
        only = int(self._only[ident])
        if only >= 0:
            return 1
        many = self._many.get(ident) if only == _MANY else None
        return 0 if many is None else len(many)

    def union(self, idents: Sequence[int]) -> BitMap:
        """The rows that carry any of these pairs."""
        numbers = np.array(idents, dtype=np.int32)
        only = self._only[numbers]
        singles = bitmap_of(np.sort(only[only >= 0]))
        return BitMap.union(singles, *map(self.rows, numbers[only == _MANY].tolist()))

    # The writer.

    def lines(self, tags: Sequence[Mapping[str, str]], *, makes_new: bool = False) -> Idents:
        """The numbers of the pairs of many tag maps, int32 [n, most tags of one], then -1.

        A pair that is not in use yet gets a number, or without `makes_new` is UNKNOWN. Maps with
        the same keys in the same order are looked up together, about 0.1 us a tag.
        """
        shapes: dict[tuple[str, ...], list[int]] = {}
        for position, each in enumerate(tags):
            shapes.setdefault(tuple(each), []).append(position)
        width = max(map(len, shapes), default=0)
        found = np.full((len(tags), width), -1, dtype=np.int32)
        for names, positions in shapes.items():
            is_all = len(shapes) == 1
            chosen = tags if is_all else [tags[position] for position in positions]
            for column, name in enumerate(names):
                values = list(map(itemgetter(name), chosen))
                idents = self._column(name, values, makes_new=makes_new)
                found[slice(None) if is_all else positions, column] = idents
        return found

    def numbers(self, pairs: Iterable[tuple[str, str]], *, makes_new: bool = False) -> Idents:
        """The numbers of pairs one by one, int32 [n]; as `lines` else."""
        found = []
        for name, value in pairs:
            key = self.keys.get(name)
            ident = UNKNOWN if key is None else key.values.get(value, UNKNOWN)
            if ident == UNKNOWN and makes_new:
                key = key or self._new_key(name)
                self._new_value(key, value)
                ident = key.values[value]
            found.append(ident)
        return np.array(found, dtype=np.int32)

    def carry(self, rows: Rows, lines: Idents) -> None:
        """From now on these rows, which are new, carry the pairs of their lines [n, width]."""
        self._carry(*_ordered(rows, lines))
        for key, any_value in self._by_key(rows, lines):
            key.rows |= any_value

    def _carry(self, idents: Idents, owners: NDArray[np.uint32]) -> None:
        starts = _starts(idents)
        is_first = (np.diff(starts, append=len(idents)) == 1) & (
            self._only[idents[starts]] == _NOBODY
        )
        singles = starts[is_first]
        self._only[idents[singles]] = owners[singles]
        for ident, carriers in _parts(idents, owners, starts, ~is_first):
            many = self._many.get(ident)
            if many is not None:
                many |= _bitmap(carriers)
                continue
            many = _bitmap(carriers)
            if self._only[ident] >= 0:
                many.add(int(self._only[ident]))
            self._many[ident] = many
            self._only[ident] = _MANY

    def leave(self, rows: Rows, lines: Idents) -> None:
        """These rows carry nothing any more; pairs and keys that nobody carries disappear."""
        idents, owners = _ordered(rows, lines)
        for key, any_value in self._by_key(rows, lines):
            key.rows -= any_value
        for ident, leaving in _parts(idents, owners, _starts(idents)):
            many = self._many.get(ident)
            if many is not None:
                many -= _bitmap(leaving)
            if not many:
                self._drop(self._key_by_ident[int(self._key_of[ident])], ident)

    def release(self) -> None:
        """Numbers that were given back before the last call may be given to other pairs."""
        for ident in self._rested:
            self._values[ident] = ""
        self._free += self._rested
        self._rested, self._resting = self._resting, []

    def table(self) -> list[tuple[str, str]]:
        """Key and value by number; of numbers not in use they mean nothing."""
        return self.table_of(np.arange(len(self._values), dtype=np.int32))

    def table_of(self, idents: Idents) -> list[tuple[str, str]]:
        """Key and value of pairs; of numbers not in use they mean nothing."""
        names = {ident: key.name for ident, key in self._key_by_ident.items()}
        keys = self._key_of[idents].tolist()
        return [
            (names.get(key, ""), self._values[ident])
            for key, ident in zip(keys, idents.tolist(), strict=True)
        ]

    def restore(self, pairs: Sequence[tuple[str, str]], rows: Rows, lines: Idents) -> None:
        """Take over pairs by number, and who carries them, into pairs that are still empty."""
        self._values = [""] * len(pairs)
        self._fit(len(pairs))
        idents, owners = _ordered(rows, lines)
        is_free = np.ones(len(pairs), dtype=np.bool_)
        is_free[idents] = False
        self._free = np.flatnonzero(is_free).tolist()
        for ident in np.flatnonzero(~is_free).tolist():
            name, value = pairs[ident]
            self._assign(self.keys.get(name) or self._new_key(name), value, ident)
        self._carry(idents, owners)
        for key, any_value in self._by_key(rows, lines):
            key.rows |= any_value

    def _column(self, name: str, values: list[str], *, makes_new: bool) -> list[int]:
        key = self.keys.get(name)
        if key is None:
            if not makes_new:
                return [UNKNOWN] * len(values)
            key = self._new_key(name)
        get = key.values.get
        found = [get(value, UNKNOWN) for value in values]
        if makes_new and UNKNOWN in found:
            for value in dict.fromkeys(values):
                if value not in key.values:
                    self._new_value(key, value)
            found = [key.values[value] for value in values]
        return found

    def _new_key(self, name: str) -> Key:
        key = self.keys[name] = self._key_by_ident[self._key_idents] = Key(name, self._key_idents)
        self._key_idents += 1
        return key

    def _new_value(self, key: Key, value: str) -> None:
        if self._free:
            ident = self._free.pop()
        else:
            ident = len(self._values)
            self._values.append("")
            self._fit(ident + 1)
        self._assign(key, value, ident)

    def _assign(self, key: Key, value: str, ident: int) -> None:
        self._values[ident] = value
        self._key_of[ident] = key.ident
        self._only[ident] = _NOBODY
        key.values[value] = ident
        key.changed()

    def _drop(self, key: Key, ident: int) -> None:
        del key.values[self._values[ident]]
        key.changed()
        self._many.pop(ident, None)
        self._only[ident] = _NOBODY
        self._key_of[ident] = -1
        self._resting.append(ident)
        if not key.values:
            del self.keys[key.name], self._key_by_ident[key.ident]

    def _fit(self, count: int) -> None:
        size = len(self._key_of)
        if count > size:
            more = np.full(max(count, 2 * size) - size, -1, dtype=np.int32)
            self._key_of = np.concatenate([self._key_of, more])
            self._only = np.concatenate([self._only, more])

    def _by_key(self, rows: Rows, lines: Idents) -> Iterator[tuple[Key, BitMap]]:
        """The rows among `rows` that carry each key."""
        carried = np.where(lines < 0, np.int32(-1), self._key_of[lines])
        if len(self.keys) > _MANY_KEYS:
            owners, keys = np.nonzero(carried >= 0)[0], carried[carried >= 0]
            order = np.lexsort((rows[owners], keys))
            keys, owners = keys[order], owners[order]
            for ident, found in _parts(keys, rows[owners].astype(np.uint32), _starts(keys)):
                yield self._key_by_ident[ident], _bitmap(found)
            return
        for key in list(self.keys.values()):
            found = rows[(carried == key.ident).any(axis=1)]
            if len(found):
                yield key, bitmap_of(np.sort(found))


def bitmap_of(rows: Rows | Idents) -> BitMap:
    """Rows, ascending, as a bitmap."""
    return _bitmap(rows.astype(np.uint32))


def _bitmap(rows: NDArray[np.uint32]) -> BitMap:
    return BitMap(array("I", rows.tobytes()))


def _ordered(rows: Rows, lines: Idents) -> tuple[Idents, NDArray[np.uint32]]:
    """Every (pair, row) there is, ordered by pair and then by row, as two columns."""
    both = (lines.astype(np.int64) << _ROW_BITS) | rows[:, np.newaxis]
    return _split(np.sort(both[lines >= 0]))


def _split(both: NDArray[np.int64]) -> tuple[Idents, NDArray[np.uint32]]:
    return (both >> _ROW_BITS).astype(np.int32), (both & _ROW_MASK).astype(np.uint32)


def _starts(idents: Idents) -> NDArray[np.intp]:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(np.diff(idents, prepend=UNKNOWN))


def _parts(
    idents: Idents,
    owners: NDArray[np.uint32],
    starts: NDArray[np.intp],
    is_asked: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Each run of equal numbers, or each that is asked for, with its rows."""
    ends = np.append(starts[1:], len(idents))
    if is_asked is not None:
        starts, ends = starts[is_asked], ends[is_asked]
    for ident, start, end in zip(
        idents[starts].tolist(), starts.tolist(), ends.tolist(), strict=True
    ):
        yield ident, owners[start:end]
