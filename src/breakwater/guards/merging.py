"""Many instances' messages as one: pure arithmetic, done as Turbine does it.

Of the messages of one type and name, numbers are summed, `reportingHosts` among them, and maps of
numbers (latencies, batch sizes) are summed key by key; whoever shows them divides by
`reportingHosts`. Words and booleans that all agree stay what they are, and such that differ become
counts: `{"false": 2, "true": 1}`. So do the settings that a command goes by, numbers among them,
for whoever shows them takes them as they are; those of a pool are summed. Messages that are
aggregates already merge as well, which makes tiers possible. `currentTime` is the latest.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

Message = dict[str, Any]  # Any: what JSON holds
Key = tuple[str, str]
"""Type and name."""

PROPERTY: Final = "propertyValue_"
"""What the names of settings begin with."""
MAX_FIELDS: Final = 256
MOST: Final = 2**53
MAX_NAMES: Final = 2_000
"""Messages of different names that are kept of one instance."""
_NUMBERS: Final = frozenset((int, float))
_MAPS: Final = {dict}
_UNHASHABLE: Final = frozenset((dict, list))
_MOST_HOSTS: Final = 1_000_000
_PASSED_ON: Final = frozenset(("type", "name"))


def merge(messages: list[Message]) -> Message:
    """The aggregate of messages of one type and name, with the fields in order of first sight.

    O(messages times fields).
    """
    if len(messages) == 1:
        return dict(messages[0])
    merged: Message = {}
    for name in dict.fromkeys(name for message in messages for name in message):
        values = [message[name] for message in messages if name in message]
        if name in _PASSED_ON:
            merged[name] = values[0]
        elif name == "currentTime":
            merged[name] = max((value for value in values if is_number(value)), default=0)
        else:
            merged[name] = _merged_values(values, messages, name)
    return merged


def _merged_values(values: list[Any], messages: list[Message], name: str) -> Any:
    kinds = set(map(type, values))
    if kinds <= _NUMBERS and not _is_said_once(name, messages[0]):
        return _sum(values)
    if kinds == _MAPS:
        return _summed(values)
    if not kinds & _UNHASHABLE and len(set(values)) == 1 and len(kinds) == 1:
        return values[0]
    counts: Counter[str] = Counter()
    for message in messages:
        if name not in message:
            continue
        value = message[name]
        if isinstance(value, dict):
            counts.update({key: int(_sum([n])) for key, n in value.items() if is_number(n)})
        else:
            counts[_word(value)] += max(hosts_of(message), 1)
    if len(counts) == 1:
        return next(value for value in values if not isinstance(value, dict))
    return {word: _sum([count]) for word, count in sorted(counts.items())}


def _is_said_once(name: str, message: Message) -> bool:
    """Whether a number is a setting that hosts have in common, and no amount."""
    return name.startswith(PROPERTY) and message.get("type") != "HystrixThreadPool"


def _sum(values: list[Any]) -> Any:
    """Their sum, kept to what every reader of JSON can hold exactly."""
    return min(max(sum(values), -MOST), MOST)


def _summed(maps: list[dict[str, Any]]) -> dict[str, Any]:
    first = maps[0].keys()
    if all(each.keys() == first for each in maps):  # as it nearly always is
        columns = {key: [each[key] for each in maps] for key in first}
        if all(set(map(type, column)) <= _NUMBERS for column in columns.values()):
            return {key: _sum(column) for key, column in columns.items()}
    sums: dict[str, Any] = {}
    for each in maps:
        for key, value in each.items():
            if is_number(value):
                sums[key] = _sum([sums.get(key, 0), value])
    return sums


def is_number(value: object) -> bool:
    """Whether it is one; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def hosts_of(message: Message) -> int:
    """How many hosts stand behind a message, 1 unless it says so."""
    hosts = message.get("reportingHosts", 1)
    return int(min(max(hosts, 0), _MOST_HOSTS)) if is_number(hosts) else 1


def _word(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def deletion(key: Key) -> Message:
    """What tells a dashboard that a command is gone.

    The stock dashboard looks for `escapedName`, the name as a CSS selector.
    """
    kind, name = key
    escaped = "".join(f"\\{each}" if each in _SPECIAL else each for each in name)
    return {"deleteData": "true", "type": kind, "name": name, "escapedName": escaped}


_SPECIAL: Final = frozenset(" !\"#$%&'()*+,./:;<=>?@[]^`{|}~")


class MergingStats(msgspec.Struct, frozen=True, kw_only=True):
    """Instances and names held; messages taken, and such that were no messages of a command."""

    instances: int
    names: int
    taken: int
    refused: int


class Aggregate:
    """The last message of each instance for each type and name.

    stale_s: what was said longer ago is left out by `prune`.
    """

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._held: dict[Key, dict[str, tuple[float, Message]]] = {}
        self._taken = self._refused = 0

    def put(self, instance: str, message: object, now_s: float) -> bool:
        """Take a message of an instance in; False if it is none."""
        key = _key_of(message)
        if key is None or not isinstance(message, dict):
            self._refused += 1
            return False
        self._taken += 1
        if message.get("deleteData") in ("true", True):
            self._held.get(key, {}).pop(instance, None)
            return True
        known = self._held.get(key)
        if known is None:
            if len(self._held) >= MAX_NAMES:
                self._refused += 1
                return False
            known = self._held[key] = {}
        known[instance] = (now_s, message)
        return True

    def drop(self, instance: str) -> None:
        """Forget all that an instance said."""
        for known in self._held.values():
            known.pop(instance, None)

    def prune(self, now_s: float) -> list[Key]:
        """Leave out what is stale; returns what nobody says any more, once."""
        for known in self._held.values():
            late = [who for who, (at_s, _) in known.items() if now_s - at_s > self._stale_s]
            for who in late:
                del known[who]
        gone = [key for key, known in self._held.items() if not known]
        for key in gone:
            del self._held[key]
        return gone

    def by_instance(self, key: Key) -> dict[str, Message]:
        """What each instance said last."""
        return {who: message for who, (_, message) in sorted(self._held.get(key, {}).items())}

    def snapshot(self) -> list[list[Message]]:
        """The messages to merge, a list for each type and name; cheap, unlike merging them."""
        return [
            [message for _, (_, message) in sorted(known.items(), key=_by_instance)]
            for _, known in sorted(self._held.items())
            if known
        ]

    def instances(self) -> set[str]:
        """Those that have said anything that still counts."""
        return {instance for known in self._held.values() for instance in known}

    def stats(self) -> MergingStats:
        """What is held."""
        return MergingStats(
            instances=len(self.instances()),
            names=len(self._held),
            taken=self._taken,
            refused=self._refused,
        )


def _by_instance(entry: tuple[str, tuple[float, Message]]) -> str:
    return entry[0]


def merged(snapshot: Iterable[list[Message]]) -> list[Message]:
    """The aggregate of each list; for a thread, since it may take some milliseconds."""
    return [merge(messages) for messages in snapshot]


def _key_of(message: object) -> Key | None:
    if not isinstance(message, dict) or len(message) > MAX_FIELDS:
        return None
    kind, name = message.get("type"), message.get("name")
    if not isinstance(kind, str) or not isinstance(name, str) or not kind:
        return None
    return kind, name
