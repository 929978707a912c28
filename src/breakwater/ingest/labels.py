"""Prometheus labels made tags of ours.

`__name__` becomes `name`. A label that our rules would refuse is brought within them rather than
lost: characters become `_`, long keys and values are cut, a key of one character gets a second,
and a label that is itself called `name` becomes `name_`. Each such change is counted when a series
is first seen, and so is a series that changes make the same as another one (`merged`): the two
share their datapoints. Labels without a value do not exist, as Prometheus has it.
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.errors import InputError
from breakwater.ingest.handles import UNKNOWN, HandleTable, Hashes
from breakwater.ingest.marks import CHANGED, ODD, TOTAL
from breakwater.ingest.sink import Lines
from breakwater.ingest.spelling import (
    Bytes,
    Marks,
    PairTable,
    ReadPair,
    Refusal,
    Spans,
    Spelled,
)
from breakwater.ingest.tag_rules import TagRules
from breakwater.ingest.write_request import label_of, labels_of, split_labels
from breakwater.model import sanitize

Counters = Literal["raw", "rate"]

_NAME: Final = b"__name__"
_KIND: Final = "atlas.dstype"
_LONGEST_KEY: Final = 60
_LONGEST_VALUE: Final = 120
_LONGEST_NAME: Final = 255
_MOST_CHANGED: Final = 1_000_000
_COUNTER_NAMES: Final = ("_total", "_count", "_sum", "_bucket")


class _Tag(NamedTuple):
    """What a label becomes, and what was changed about it; no key for a label without a value."""

    key: str
    value: str
    changes: tuple[str, ...]


class LabelSpelling:
    """Series spelled as protobuf labels; labels seen before are remembered, within a bound.

    counters: whether series with the name of a counter are taken as totals whose growth counts
    (`rate`) or as they are (`raw`).
    """

    def __init__(self, counters: Counters) -> None:
        self.changed: Tally[str] = Tally()
        self._counters = counters
        self._rules = TagRules()
        self._table = PairTable(self._rules, self._read_pair)
        self._changes: dict[int, tuple[str, ...]] = {}
        self._mixes = _Mixes()
        self._changed_from = HandleTable(_MOST_CHANGED)

    def spelled(self, text: Bytes, spans: Spans, hashes: Hashes) -> Spelled:
        """The tags that each series has here. Below 1 us each when its labels were seen before."""
        if self._table.make_room():
            self._changes.clear()
            self._mixes.forget()
        lines, marks = self._table.lay(text, split_labels(text, spans))
        lines = np.column_stack([lines, self._kinds(marks)])
        lines, refusals = self._table.lay_odd((lines, marks), text, spans, self._read)
        marks, hashes = marks[: len(lines)], hashes[: len(lines)]
        is_plain = marks & (ODD | CHANGED) == CHANGED
        self._count_changes(lines[is_plain])
        is_taken = marks & (ODD | CHANGED) != 0
        is_taken[list(refusals)] = False
        self._note_mergers(lines[is_taken], hashes[is_taken])
        return Spelled(self._table.pairs, lines, refusals)

    def shown(self, raw: bytes) -> str:
        """The labels as Prometheus writes them."""
        try:
            pairs = [label_of(label) for label in labels_of(raw)]
        except InputError:
            return f"labels={raw[:100]!r}"
        text = ", ".join(f'{_text(name)}="{_text(value)}"' for name, value in pairs)
        return f"labels={{{text if len(text) <= 200 else text[:200] + '...'}}}"

    def _kinds(self, marks: Marks) -> NDArray[np.int32]:
        """The place of the pair that says what the values of each series are."""
        gauge, counter = (self._table.place_of(_KIND, kind) for kind in ("gauge", "counter"))
        kinds: NDArray[np.int32] = np.where(marks & TOTAL, counter, gauge).astype(np.int32)
        return kinds

    def _count_changes(self, lines: Lines) -> None:
        """Count what was changed about the labels of series."""
        if not len(lines):
            return
        places, counts = np.unique(lines[lines >= 0], return_counts=True)
        is_changed = self._table.marks[places] & CHANGED != 0
        for place, count in zip(
            places[is_changed].tolist(), counts[is_changed].tolist(), strict=True
        ):
            for change in self._changes[place]:
                self.changed[change] += count

    def _note_mergers(self, lines: Lines, marks: Hashes) -> None:
        """Count series that changes made the same as another; marks: hashes of their labels."""
        if not len(lines):
            return
        hashes = self._mixes.of(self._table.pairs, lines)
        own = (marks[:, 0] >> np.uint64(2)).astype(np.int64)
        known = self._changed_from.find(hashes)
        is_first = known == UNKNOWN
        _, firsts, which = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
        expected = np.where(is_first, own[firsts][which], known)
        merged = int((expected != own).sum())
        if merged:
            self.changed["merged"] += merged
        self._changed_from.put(hashes[firsts], expected[firsts])

    def _read_pair(self, label: bytes) -> ReadPair | None:
        """A label that becomes a tag, by itself."""
        try:
            tag = _tag_of(*label_of(label))
        except InputError:
            return None
        if not tag.key:
            return None
        marks = ODD if tag.key == _KIND else 0
        marks |= TOTAL if tag.key == "name" and self._is_total(tag.value) else 0
        if tag.changes:
            self._changes[len(self._table)] = tag.changes  # the place it is about to get
            marks |= CHANGED
        return ReadPair(tag.key, tag.value, marks)

    def _is_total(self, name: str) -> bool:
        return self._counters == "rate" and name.endswith(_COUNTER_NAMES)

    def _read(self, raw: bytes) -> Mapping[str, str] | Refusal:
        """The tags of a series of which not every label becomes a tag of its own."""
        try:
            return self._checked(self._tags(labels_of(raw)))
        except InputError as error:
            return Refusal("InvalidLabels", str(error))

    def _tags(self, labels: Sequence[bytes]) -> dict[str, str]:
        tags: dict[str, str] = {}
        for label in labels:
            key, value, changes = _tag_of(*label_of(label))
            if key in tags:
                raise InputError(f"two labels become the tag '{key}'")
            if key:
                tags[key] = value
            self.changed.update(changes)
        return tags

    def _checked(self, tags: dict[str, str]) -> Mapping[str, str] | Refusal:
        tags[_KIND] = "counter" if self._is_total(tags.get("name", "")) else "gauge"
        broken = self._rules.broken_by(tags)
        return tags if broken is None else Refusal(*broken)


class _Mixes:
    """What tells sets of pairs apart, whatever their order: 128 bits, keyed.

    The sum of a keyed hash of each pair, so that two spellings of one series come to the same.
    """

    def __init__(self) -> None:
        self._key = token_bytes(16)
        self.forget()

    def forget(self) -> None:
        """Places mean other pairs from now on; what their pairs come to stays the same."""
        self._mixes = np.zeros((0, 2), dtype=np.uint64)

    def of(self, pairs: Sequence[tuple[str, str]], lines: Lines) -> Hashes:
        """The mix of each line of places in `pairs`, [n, 2]."""
        new = [
            blake2b(f"{key}={value}".encode(), digest_size=16, key=self._key).digest()
            for key, value in pairs[len(self._mixes) :]
        ]
        more = np.frombuffer(b"".join(new), dtype=np.uint64).reshape(-1, 2)
        self._mixes = np.concatenate([self._mixes, more])
        found = np.where((lines >= 0)[:, :, np.newaxis], self._mixes[lines], np.uint64(0))
        mixes: Hashes = found.sum(axis=1)
        return mixes


def _tag_of(name: bytes, value: bytes) -> _Tag:
    if not value:
        return _Tag("", "", ())
    changes = []
    key, given = ("name", "name") if name == _NAME else _key_of(name)
    if key != given:
        changes.append("keys")
    text = _text(value)
    clean = sanitize(text)
    if clean != text:
        changes.append("characters")
    longest = _LONGEST_NAME if name == _NAME else _LONGEST_VALUE
    if len(clean) > longest:
        changes.append("values_cut")
    if name == _NAME and len(clean) < 2:
        clean += "_"
        changes.append("values_padded")
    return _Tag(key, clean[:longest], tuple(changes))


def _key_of(name: bytes) -> tuple[str, str]:
    """The key for a label of that name, and the name as text."""
    text = _text(name)
    key = sanitize(text)[:_LONGEST_KEY]
    return (f"{key}_" if len(key) < 2 or key == "name" else key), text


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
