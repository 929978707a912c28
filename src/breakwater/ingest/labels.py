"""Prometheus labels made tags of ours.

`__name__` becomes `name`. A label that our rules would refuse is brought within them rather than
lost: characters become `_`, long keys and values are cut, a key of one character gets a second,
and a label that is itself called `name` becomes `name_`. Each such change is counted when a series
is first seen, and so is a series that changes make the same as another one (`merged`): the two
share their datapoints. Labels without a value do not exist, as Prometheus has it.
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.errors import InputError
from breakwater.ingest.handles import UNKNOWN, Handles, HandleTable, Hashes
from breakwater.ingest.intake import Refusal
from breakwater.ingest.tag_rules import TagRules
from breakwater.ingest.write_request import Labels, label_of, labels_of, split_labels
from breakwater.model import canonical, sanitize

Counters = Literal["raw", "rate"]

_NAME: Final = b"__name__"
_LONGEST_KEY: Final = 60
_LONGEST_VALUE: Final = 120
_LONGEST_NAME: Final = 255
_MOST_KNOWN: Final = 100_000
_MOST_CHANGED: Final = 1_000_000
_NO_TAG: Final = ("", "")
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
        self._changed_from = HandleTable(_MOST_CHANGED)
        self._forget()

    def tags_of(self, raws: Sequence[bytes]) -> list[Mapping[str, str] | Refusal]:
        """The tags that each series has here. About 2 us each when its labels were seen before."""
        if len(self._pairs) > _MOST_KNOWN:
            self._forget()
        labels = split_labels(raws)
        marked = self._find(labels)
        is_changed = _any_of(marked & 1, labels)
        places, pair_at = (marked >> 1).tolist(), self._pairs.__getitem__
        found: list[Mapping[str, str] | Refusal] = []
        changed: dict[bytes, bytes] = {}
        for raw, begin, end, may_merge in zip(
            raws, labels.begins.tolist(), labels.ends.tolist(), is_changed, strict=True
        ):
            tags = dict(map(pair_at, places[begin:end]))
            is_known = len(tags) == end - begin and "" not in tags and end > begin
            if is_known and may_merge:
                self._count_changes(places[begin:end])
            read = self._checked(tags) if is_known else self._read(raw)
            found.append(read)
            if (may_merge or not is_known) and not isinstance(read, Refusal):
                changed[raw] = canonical(read).encode()
        self._note_mergers(changed)
        return found

    def shown(self, raw: bytes) -> str:
        """The labels as Prometheus writes them."""
        try:
            pairs = [label_of(label) for label in labels_of(raw)]
        except InputError:
            return f"labels={raw[:100]!r}"
        text = ", ".join(f'{_text(name)}="{_text(value)}"' for name, value in pairs)
        return f"labels={{{text if len(text) <= 200 else text[:200] + '...'}}}"

    def _count_changes(self, places: Sequence[int]) -> None:
        """Count what was changed about the labels of a series."""
        for place in self._changes.keys() & places:
            self.changed.update(self._changes[place])

    def _note_mergers(self, changed: Mapping[bytes, bytes]) -> None:
        """Count series that changes made the same as another; `changed`: tags by labels."""
        if not changed:
            return
        hashes, marks = self._hashed(list(changed.values())), self._hashed(list(changed))
        own = (marks[:, 0] >> np.uint64(2)).astype(np.int64)
        known = self._changed_from.find(hashes)
        is_first = known == UNKNOWN
        _, firsts, which = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
        expected = np.where(is_first, own[firsts][which], known)
        merged = int((expected != own).sum())
        if merged:
            self.changed["merged"] += merged
        self._changed_from.put(hashes[firsts], expected[firsts])

    def _hashed(self, texts: Sequence[bytes]) -> Hashes:
        ends = np.cumsum([len(text) for text in texts])
        spans = np.column_stack([ends - np.diff(ends, prepend=0), ends])
        text = np.frombuffer(b"".join(texts), dtype=np.uint8)
        return self._changed_from.hashes(text, spans, self._changed_from.seed_of(b""))

    def _forget(self) -> None:
        self._places = HandleTable(4 * _MOST_KNOWN)
        self._pairs: list[tuple[str, str]] = [_NO_TAG]
        self._changes: dict[int, tuple[str, ...]] = {}

    def _find(self, labels: Labels) -> Handles:
        """Twice the place in `pairs` of each label, and 1 when it was changed; 0: it is no tag.

        Labels that are new here are read, once.
        """
        text = np.frombuffer(labels.text, dtype=np.uint8)
        hashes = self._places.hashes(text, labels.spans, self._places.seed_of(b""))
        places = self._places.find(hashes)
        unknown = np.flatnonzero(places == UNKNOWN)
        if len(unknown):
            _, firsts, which = np.unique(hashes[unknown, 0], return_index=True, return_inverse=True)
            spans = labels.spans[unknown[firsts]].tolist()
            learned = [self._learned(labels.text[begin:end]) for begin, end in spans]
            places[unknown] = np.array(learned, dtype=np.int64)[which]
            self._places.put(hashes[unknown[firsts]], places[unknown[firsts]])
        return places

    def _learned(self, label: bytes) -> int:
        """As `_find` has it, of one label."""
        try:
            tag = _tag_of(*label_of(label))
        except InputError:
            return 0
        if not tag.key:
            return 0
        place = len(self._pairs)
        self._pairs.append((tag.key, tag.value))
        if tag.changes:
            self._changes[place] = tag.changes
        return 2 * place + bool(tag.changes)

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
        is_total = self._counters == "rate" and tags.get("name", "").endswith(_COUNTER_NAMES)
        tags["atlas.dstype"] = "counter" if is_total else "gauge"
        broken = self._rules.broken_by(tags)
        return tags if broken is None else Refusal(*broken)


def _any_of(found: NDArray[np.int64], labels: Labels) -> list[bool]:
    """Whether anything was found among the labels of each series."""
    before = np.concatenate([[0], np.cumsum(found)])
    any_found: list[bool] = (before[labels.ends] > before[labels.begins]).tolist()
    return any_found


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
