"""Tags by how they are spelled: each pair is read once, and a series is a line of pairs' numbers.

Series share most of their pairs with series seen before, so what is new about a new series is
which pairs it has. That is found out by compiled loops over the bytes that spell it; only where
something is odd about them are they read as text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.handles import UNKNOWN, Handles, HandleTable, Hashes
from breakwater.ingest.marks import NAME, ODD, USER
from breakwater.ingest.sink import Lines
from breakwater.ingest.tag_rules import TagRules
from breakwater.model.tags import MAX_USER_TAGS

if TYPE_CHECKING:
    from types import ModuleType

MOST_PAIRS: Final = 64
"""Pairs of one series that are read; far fewer are allowed."""

_MOST_KNOWN: Final = 100_000
_MOST_NEW: Final = 1000
_MOST_ODD: Final = 400
_FEWEST: Final = 1024
_NOTHING: Final = ("", "")

Bytes = NDArray[np.uint8]
Spans = NDArray[np.int64]
Marks = NDArray[np.uint8]


def load_lines() -> "ModuleType":
    """The compiled loops; they bring numba, which takes a moment."""
    from breakwater.ingest.kernels import pair_lines  # noqa: PLC0415 - numba only when needed

    return pair_lines


class Refusal(NamedTuple):
    """Why a series cannot be: the rule that is broken, and how."""

    rule: str
    reason: str


class Spelled(NamedTuple):
    """The tags of many series, each pair once, and why some series cannot be, by their places.

    lines: int32 [n, most tags of one], places in `pairs`, then -1; nothing of those that cannot be.
    They may be of the first series only that were asked for, at least of one.
    """

    pairs: Sequence[tuple[str, str]]
    lines: Lines
    refusals: Mapping[int, Refusal]


class Spelling(Protocol):
    """How the series of one payload are spelled."""

    def spelled(self, text: Bytes, spans: Spans, hashes: Hashes) -> Spelled:
        """The valid tags that each span of the text means, or why it means none.

        hashes: of the spans, [n, 2], as `HandleTable.hashes` has them.
        """
        ...

    def shown(self, raw: bytes) -> str:
        """A spelling for a message: what it is called, and the text, cut when it is long."""
        ...


class PairSpans(NamedTuple):
    """Where the pairs of many series are spelled in a text, one series after the other.

    pairs: [m, 2], begin and end. series: [n, 2], from which of `pairs` to which; from -1 to -1 for
    a series that is not spelled in the usual way.
    """

    pairs: Spans
    series: Spans


def pair_spans(pairs: Spans, counts: Handles) -> PairSpans:
    """Spans of pairs by series, which have so many each; below 0 for what is no series."""
    ends = np.cumsum(np.maximum(counts, 0))
    series = np.column_stack([ends - counts, ends])
    series[counts < 0] = -1
    return PairSpans(pairs, series)


Reading = Callable[[bytes], Mapping[str, str] | Refusal]
"""From the text that spells a series to its tags, or to why it has none."""


class ReadPair(NamedTuple):
    """What one spelling of a pair means; marks: further ones, beside those by the rules."""

    key: str
    value: str
    marks: int = 0


class PairTable:
    """Pairs by their spelling, within a bound; a pair that is spelled in two ways is here twice.

    Place 0 is no pair. About 10 ns a pair that is known, some microseconds for a new one.
    """

    def __init__(self, rules: TagRules, read: Callable[[bytes], ReadPair | None]) -> None:
        self._rules = rules
        self._read = read
        self.pairs: list[tuple[str, str]] = []
        self.marks = np.empty(0, dtype=np.uint8)
        self._keys = np.empty(0, dtype=np.int32)
        self._forget()

    def __len__(self) -> int:
        return len(self.pairs)

    def make_room(self) -> bool:
        """Forget everything if that is more than it should be; places mean nothing then."""
        if len(self.pairs) <= _MOST_KNOWN:
            return False
        self._forget()
        return True

    def place_of(self, key: str, value: str) -> int:
        """The place of a pair that was not spelled."""
        place = self._own.get((key, value))
        if place is None:
            place = self._own[key, value] = self._add(ReadPair(key, value))
        return place

    def lay(self, text: Bytes, found: PairSpans, more: Sequence[int] = ()) -> tuple[Lines, Marks]:
        """Lines of series, which all have the pairs `more` too, and what is marked about each.

        Of the first of the series only, at least one, when they have very many pairs that are new.
        """
        places, series = self._places(text, found)
        most = int((series[:, 1] - series[:, 0]).max(initial=0))
        lines = np.empty((len(series), most + len(more)), dtype=np.int32)
        marks = np.empty(len(lines), dtype=np.uint8)
        common = np.array(more, dtype=np.int64)
        columns = (places, series, common, self._keys, self.marks)
        load_lines().lay_lines(*columns, MAX_USER_TAGS, lines, marks)
        return lines, marks

    def lay_odd(
        self, laid: tuple[Lines, Marks], text: Bytes, spans: Spans, read: Reading
    ) -> tuple[Lines, dict[int, Refusal]]:
        """Lines with those of series that are marked ODD as `read` has it; and what is refused.

        Of the first of the series only, when very many are odd.
        """
        lines, marks = laid
        odd = np.flatnonzero(marks & ODD)
        if len(odd) > _MOST_ODD:
            lines, odd = lines[: odd[_MOST_ODD]], odd[:_MOST_ODD]
        if not len(odd):
            return lines, {}
        refusals: dict[int, Refusal] = {}
        known: dict[int, list[int]] = {}
        for place, (begin, end) in zip(odd.tolist(), spans[odd].tolist(), strict=True):
            tags = read(text[begin:end].tobytes())
            if isinstance(tags, Refusal):
                refusals[place] = tags
            else:
                known[place] = [self.place_of(*pair) for pair in tags.items()]
        more = max(max(map(len, known.values()), default=0) - lines.shape[1], 0)
        lines = np.pad(lines, ((0, 0), (0, more)), constant_values=-1)
        lines[odd] = -1
        for place, pairs in known.items():
            lines[place, : len(pairs)] = pairs
        return lines, refusals

    def _places(self, text: Bytes, found: PairSpans) -> tuple[Handles, Spans]:
        """The place of each pair of the first of the series; new ones are read, once."""
        pairs, series = found
        hashes = self._known.hashes(text, pairs, self._known.seed_of(b""))
        places = self._known.find(hashes)
        unknown = np.flatnonzero(places == UNKNOWN)
        if not len(unknown):
            return places, series
        _, firsts, which = np.unique(hashes[unknown, 0], return_index=True, return_inverse=True)
        if len(firsts) > _MOST_NEW:
            is_near = series[:, 1] <= np.sort(unknown[firsts])[_MOST_NEW]
            series = series[: max(int(is_near.argmin()), 1)]
            last = int(series[:, 1].max())
            return self._places(text, PairSpans(pairs[:last], series))
        data, spans = text.data, pairs[unknown[firsts]].tolist()
        learned = [self._learned(bytes(data[begin:end])) for begin, end in spans]
        places[unknown] = np.array(learned, dtype=np.int64)[which]
        self._known.put(hashes[unknown[firsts]], places[unknown[firsts]])
        return places, series

    def _learned(self, raw: bytes) -> int:
        read = self._read(raw)
        return 0 if read is None else self._add(read)

    def _add(self, pair: ReadPair) -> int:
        place = len(self.pairs)
        if place == len(self.marks):
            self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)])
            self.marks = np.concatenate([self.marks, np.zeros_like(self.marks)])
        self.pairs.append((pair.key, pair.value))
        self._keys[place] = self._key_numbers.setdefault(pair.key, len(self._key_numbers))
        self.marks[place] = pair.marks | self._marks_of(pair.key, pair.value)
        return place

    def _marks_of(self, key: str, value: str) -> int:
        marks = NAME if key == "name" else 0
        marks |= 0 if key.startswith(("nf.", "atlas.")) else USER
        return marks if self._rules.allow(key, value) else marks | ODD

    def _forget(self) -> None:
        self._known = HandleTable(4 * _MOST_KNOWN)
        self._own: dict[tuple[str, str], int] = {}
        self._key_numbers: dict[str, int] = {}
        self.pairs = [_NOTHING]
        self._keys = np.full(_FEWEST, -1, dtype=np.int32)
        self.marks = np.zeros(_FEWEST, dtype=np.uint8)
        self.marks[0] = ODD
