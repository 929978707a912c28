"""Answers kept as bytes, for whoever asks the same, however it is spelled.

Resolvers mix the case of names (and want it back as they sent it) and add options of their own, a
cookie for instance, to each query. Neither changes the answer, so neither is part of the key: a
flood of variants of one question is one entry, and names that do not exist are not kept at all.
"""

from typing import Final

import msgspec

CLASSIC_BYTES: Final = 512
"""What an answer over UDP may take where the query does not say more (RFC 1035)."""
LARGEST_BYTES: Final = 1_232
"""What it takes at most over UDP, so that no packet is split on the way (DNS flag day 2020)."""
TCP_BYTES: Final = 65_535
MAX_KEPT_BYTES: Final = 4 * 1024 * 1024
_HEADER: Final = 12
_HARMLESS: Final = 0x0130
"""Flags that a query may have: recursion desired, authentic data, checking disabled."""
_RECURSION: Final = 0x0100
_OPTION: Final = b"\x00\x00\x29"
_OPTION_BYTES: Final = 11
_TYPES: Final = frozenset((1, 6, 28, 33, 255))
"""A, SOA, AAAA, SRV and ANY; whatever else is asked has no records here."""
_ENTRY_BYTES: Final = 300
"""What an entry takes beside its bytes, about."""


_Key = tuple[bytes, int, int, bool]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An ordinary query, taken apart: what its answer depends on, and its name as spelled."""

    key: _Key
    name: bytes


def room_for(offered: int | None, *, over_udp: bool) -> int:
    """The bytes an answer may take. offered: what the asker says he takes, None if nothing."""
    if not over_udp:
        return TCP_BYTES
    return max(CLASSIC_BYTES, min(offered or 0, LARGEST_BYTES))


def question_of(query: bytes, *, over_udp: bool) -> Question | None:
    """The question in `query`; None for what is not of the ordinary kind and is not kept."""
    flags = int.from_bytes(query[2:4], "big")
    end = _end_of_name(query)
    if end is None or flags & ~_HARMLESS or query[4:11] != b"\0\1\0\0\0\0\0":
        return None
    kind, rest = query[end : end + 4], query[end + 4 :]
    offered = _offered(rest) if query[11] == 1 else None
    if query[11] > 1 or (query[11] == 1) != (offered is not None):
        return None
    if len(kind) < 4 or int.from_bytes(kind[:2], "big") not in _TYPES or (rest and not query[11]):
        return None
    name = query[_HEADER:end]  # its lengths are below 64, which no letter is
    room = room_for(offered, over_udp=over_udp)
    key = (name.lower() + kind, flags & _RECURSION, room, offered is not None)
    return Question(key=key, name=name)


def _end_of_name(query: bytes) -> int | None:
    """Where the name of the question ends; None if it does not, or points elsewhere."""
    at = _HEADER
    while at < len(query) and at < _HEADER + 255:
        length = query[at]
        at += 1 + length
        if not length:
            return at
        if length > 63:
            return None
    return None


def _offered(rest: bytes) -> int | None:
    """The size in the one OPT record that is `rest`, of version 0; None for anything else."""
    is_plain = len(rest) >= _OPTION_BYTES and rest.startswith(_OPTION) and not rest[6]
    if not is_plain or len(rest) != _OPTION_BYTES + int.from_bytes(rest[9:11], "big"):
        return None
    return int.from_bytes(rest[3:5], "big")


class KeptAnswers:
    """Answers by question and turn, MAX_KEPT_BYTES in all; the oldest go first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[_Key, int], tuple[bytes, bytes]] = {}
        self.kept_bytes = 0

    def find(self, query: bytes, question: Question, turn: int) -> bytes | None:
        """The answer to `query`, under its id and with its spelling."""
        found = self._kept.get((question.key, turn))
        return None if found is None else query[:2] + found[0] + question.name + found[1]

    def keep(self, question: Question, turn: int, answer: bytes) -> None:
        """Keep `answer` if it is about a name that exists."""
        key = (question.key, turn)
        if answer[3] & 0x0F or key in self._kept:
            return
        self._kept[key] = (answer[2:_HEADER], answer[_HEADER + len(question.name) :])
        self.kept_bytes += len(answer) + _ENTRY_BYTES
        while self.kept_bytes > MAX_KEPT_BYTES:
            header, rest = self._kept.pop(oldest := next(iter(self._kept)))
            name_bytes = len(oldest[0][0]) - 4
            self.kept_bytes -= 2 + len(header) + name_bytes + len(rest) + _ENTRY_BYTES

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self.kept_bytes = 0
