"""Prometheus labels made tags of ours.

`__name__` becomes `name`. A label that our rules would refuse is brought within them rather than
lost: characters become `_`, long keys and values are cut, a key of one character gets a second,
and a label that is itself called `name` becomes `name_`. Each such change is counted when a series
is first seen. Labels without a value do not exist, as Prometheus has it.
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from breakwater.ingest.errors import InputError
from breakwater.ingest.handles import UNKNOWN, Handles, HandleTable
from breakwater.ingest.intake import Refusal
from breakwater.ingest.tag_rules import TagRules
from breakwater.ingest.write_request import Labels, label_of, labels_of, split_labels
from breakwater.model import sanitize

Counters = Literal["raw", "rate"]

_NAME: Final = b"__name__"
_LONGEST_KEY: Final = 60
_LONGEST_VALUE: Final = 120
_LONGEST_NAME: Final = 255
_MOST_KNOWN: Final = 100_000
_NOT_PLAIN: Final = ("", "")
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
        self._forget()

    def tags_of(self, raws: Sequence[bytes]) -> list[Mapping[str, str] | Refusal]:
        """The tags that each series has here. About 2 us each when its labels were seen before."""
        if len(self._pairs) > _MOST_KNOWN:
            self._forget()
        labels = split_labels(raws)
        places = self._find(labels).tolist()
        pair_at = self._pairs.__getitem__
        found: list[Mapping[str, str] | Refusal] = []
        for raw, begin, end in zip(raws, labels.begins.tolist(), labels.ends.tolist(), strict=True):
            tags = dict(map(pair_at, places[begin:end]))
            is_plain = len(tags) == end - begin and "" not in tags and end > begin
            found.append(self._checked(tags) if is_plain else self._read(raw))
        return found

    def shown(self, raw: bytes) -> str:
        """The labels as Prometheus writes them."""
        try:
            pairs = [label_of(label) for label in labels_of(raw)]
        except InputError:
            return f"labels={raw[:100]!r}"
        text = ", ".join(f'{_text(name)}="{_text(value)}"' for name, value in pairs)
        return f"labels={{{text if len(text) <= 200 else text[:200] + '...'}}}"

    def _forget(self) -> None:
        self._places = HandleTable(4 * _MOST_KNOWN)
        self._pairs: list[tuple[str, str]] = [_NOT_PLAIN]

    def _find(self, labels: Labels) -> Handles:
        """The place in `pairs` of each label, 0 of one that does not become a tag as it is.

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
        """The place in `pairs` of a label that becomes a tag as it is; 0 for another."""
        try:
            tag = _tag_of(*label_of(label))
        except InputError:
            return 0
        if tag.changes or not tag.key:
            return 0
        self._pairs.append((tag.key, tag.value))
        return len(self._pairs) - 1

    def _read(self, raw: bytes) -> Mapping[str, str] | Refusal:
        """The tags of a series of which not every label becomes a tag as it is."""
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
