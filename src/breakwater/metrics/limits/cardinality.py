"""How many series there are of what: by key, by name, by application, and how they come and go.

A view is made from the index when it is asked for, at a cost that grows with the distinct values
and not with the series; what came and went is counted by the minute, for the last hour.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from breakwater.metrics.series.index import TagIndex
from breakwater.model import Clock

NAME: Final = "name"
APP: Final = "nf.app"
OTHERS: Final = "(others)"
"""Stands for values beyond those that are counted one by one."""

_MINUTE_MS: Final = 60_000
_MINUTES: Final = 60
_MOST_VALUES: Final = 500


class KeyCardinality(msgspec.Struct, frozen=True, kw_only=True):
    """A key: how many different values it has, and how many series carry it."""

    key: str
    values: int
    series: int


class ValueCardinality(msgspec.Struct, frozen=True, kw_only=True):
    """A name or an application: its series now, and how many came and went in the last hour."""

    value: str
    series: int
    new: int
    retired: int


class ChurnMinute(msgspec.Struct, frozen=True, kw_only=True):
    """Series that came and went in one minute."""

    start_ms: int
    new: int
    retired: int


class LimitUse(msgspec.Struct, frozen=True, kw_only=True):
    """A name or an application that has reached its limit.

    rolled_up: series made to stand for many. sources: how often a series was rolled up into one of
    them. refused: for how many there was no room even there. keys: of a name, in the order in which
    they lose their values.
    """

    kind: str
    value: str
    series: int
    limit: int
    rolled_up: int
    sources: int
    refused: int
    keys: list[str]


class Cardinality(msgspec.Struct, frozen=True, kw_only=True):
    """What there is now; lists are cut at what was asked for, `distinct_*` say how long they were.

    keys: those with most values first. names, apps: those with most series first. churn: minutes
    of the last hour in which anything came or went, oldest first.
    """

    series: int
    max_series: int
    distinct_keys: int
    distinct_names: int
    distinct_apps: int
    keys: list[KeyCardinality]
    names: list[ValueCardinality]
    apps: list[ValueCardinality]
    churn: list[ChurnMinute]
    limits: list[LimitUse]


class _Minute:
    """Counts of one minute: in all, and by name and application."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.new = self.retired = 0
        self.by_value: dict[str, dict[str, list[int]]] = {NAME: {}, APP: {}}

    def add(self, key: str, counts: Mapping[str, int], place: int) -> None:
        """Add to the new (place 0) or retired (1) of values of `key`."""
        held = self.by_value[key]
        for value, count in counts.items():
            if not value:
                continue
            known = held.get(value)
            if known is None:
                known = held.setdefault(value if len(held) < _MOST_VALUES else OTHERS, [0, 0])
            known[place] += count


class Churn:
    """Series that came and went, by the minute; at most 500 names and applications a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: deque[_Minute] = deque(maxlen=_MINUTES)

    def enter(self, names: Mapping[str, int], apps: Mapping[str, int], count: int) -> None:
        """So many series are new."""
        minute = self._now()
        minute.new += count
        minute.add(NAME, names, 0)
        minute.add(APP, apps, 0)

    def retire(self, names: Mapping[str, int], apps: Mapping[str, int], count: int) -> None:
        """So many series are gone."""
        minute = self._now()
        minute.retired += count
        minute.add(NAME, names, 1)
        minute.add(APP, apps, 1)

    def minutes(self) -> list[ChurnMinute]:
        """The last hour, oldest first; minutes without change are left out."""
        return [
            ChurnMinute(start_ms=each.start_ms, new=each.new, retired=each.retired)
            for each in self._recent()
        ]

    def by_value(self, key: str) -> dict[str, tuple[int, int]]:
        """New and retired series of the last hour by value of NAME or APP."""
        found: dict[str, tuple[int, int]] = {}
        for minute in self._recent():
            for value, (new, retired) in list(minute.by_value[key].items()):
                before = found.get(value, (0, 0))
                found[value] = (before[0] + new, before[1] + retired)
        return found

    def _now(self) -> _Minute:
        start_ms = self._clock.now_ms() // _MINUTE_MS * _MINUTE_MS
        if not self._minutes or self._minutes[-1].start_ms != start_ms:
            self._minutes.append(_Minute(start_ms))
        return self._minutes[-1]

    def _recent(self) -> list[_Minute]:
        oldest_ms = self._clock.now_ms() - _MINUTES * _MINUTE_MS
        return [each for each in list(self._minutes) if each.start_ms > oldest_ms]


def cardinality_of(
    index: TagIndex, churn: Churn, uses: Iterable[LimitUse], *, limit: int, max_series: int
) -> Cardinality:
    """The view of an index now; `limit` entries a list at most."""
    keys = index.key_sizes()
    names, apps = index.value_sizes(NAME), index.value_sizes(APP)
    by_values = sorted(keys, key=lambda each: (-each[1], each[0]))
    return Cardinality(
        series=len(index),
        max_series=max_series,
        distinct_keys=len(keys),
        distinct_names=len(names),
        distinct_apps=len(apps),
        keys=[KeyCardinality(key=k, values=v, series=n) for k, v, n in by_values[:limit]],
        names=_largest(names, churn.by_value(NAME), limit),
        apps=_largest(apps, churn.by_value(APP), limit),
        churn=churn.minutes(),
        limits=list(uses)[:limit],
    )


def _largest(
    sizes: dict[str, int], churn: Mapping[str, tuple[int, int]], limit: int
) -> list[ValueCardinality]:
    """Values with most series; those that only came and went follow, for they are the news."""
    values = sorted(
        {**dict.fromkeys(churn, 0), **sizes}.items(), key=lambda each: (-each[1], each[0])
    )
    chosen = values[:limit]
    return [
        ValueCardinality(
            value=value,
            series=count,
            new=churn.get(value, (0, 0))[0],
            retired=churn.get(value, (0, 0))[1],
        )
        for value, count in chosen
    ]
