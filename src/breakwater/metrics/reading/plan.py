"""Which rows a selection reads and which line each row belongs to.

A plan depends on the index only, so it is kept and used again while no series that matters came
or went. A few new series are checked one by one against the query; when there are many, the rows
of the query are looked up again, and only if some of the new ones are among them is the plan made
again. Series that went matter to the plans that read them.
"""

import threading
from collections import OrderedDict

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.selection.query import Equal, Query
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check, Idents, TagIndex, go_on
from breakwater.metrics.series.pairs import bitmap_of
from breakwater.metrics.series.rows import Rows
from breakwater.model.percentiles import UPPER_BOUNDS

_MOST_CHECKED = 32
_FEW_NUMBERS = 1 << 16
_MOST_ROWS_KEPT = 20_000_000
_GAUGES = Equal("atlas.dstype", "gauge")


class Plan(msgspec.Struct, frozen=True, eq=False):
    """Rows ascending, int64 [n]; the line of each, int64 [n]; tags and label of each line.

    `is_gauge` tells which rows are averaged over time as gauges are, bool [n].
    """

    rows: Rows
    groups: NDArray[np.int64]
    is_gauge: NDArray[np.bool_]
    tags: list[dict[str, str]]
    labels: list[str]


_Identity = tuple[Query, tuple[str, ...], bool]


class _Kept(msgspec.Struct):
    plan: Plan
    position: int


class Planner:
    """Makes plans and remembers the last `capacity` of them; safe to use from several threads.

    The plans remembered have at most 20 million rows together, 340 MB.
    """

    def __init__(
        self,
        index: TagIndex,
        *,
        capacity: int,
        max_lines: int,
        max_rows_kept: int = _MOST_ROWS_KEPT,
    ) -> None:
        self._index = index
        self._capacity = capacity
        self._max_lines = max_lines
        self._max_rows_kept = max_rows_kept
        self._rows_kept = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Identity, _Kept] = OrderedDict()

    def plan(self, selection: Selection, check: Check = go_on) -> Plan:
        """Rows and lines of a selection; what `check` raises ends the search for them.

        Raises QueryLimitError for too many lines; percentile buckets are not lines of an answer,
        so a grouping by them may have as many for each line.
        """
        kept_plan = self.at_hand(selection)
        if kept_plan is not None:
            return kept_plan
        identity = _identity(selection)
        position = self._index.position
        found = self._index.rows_of(selection.query, check)
        plan = self._unmoved(identity, found, position)
        if plan is not None:
            return plan
        plan = self._make(selection, found)
        with self._lock:
            replaced = self._kept.pop(identity, None)
            self._kept[identity] = _Kept(plan, position)
            self._rows_kept += len(plan.rows) - (len(replaced.plan.rows) if replaced else 0)
            while len(self._kept) > self._capacity or self._rows_kept > self._max_rows_kept:
                _, dropped = self._kept.popitem(last=False)
                self._rows_kept -= len(dropped.plan.rows)
        return plan

    def at_hand(self, selection: Selection) -> Plan | None:
        """The plan if it is remembered and still holds; found in microseconds."""
        identity = _identity(selection)
        with self._lock:
            kept = self._kept.get(identity)
            if kept is None or not self._is_current(kept, selection.query):
                return None
            self._kept.move_to_end(identity)
            return kept.plan

    def _is_current(self, kept: _Kept, query: Query) -> bool:
        """Whether a plan still holds; False also where that would take long to find out."""
        position = self._index.position
        if position == kept.position:
            return True
        changes = self._index.changed_since(kept.position)
        if changes is None or len(changes.added) > _MOST_CHECKED:
            return False
        if _reads_any(kept.plan, changes.removed):
            return False
        if any(query.matches(self._index.tags_of(row)) for row in changes.added.tolist()):
            return False
        kept.position = position
        return True

    def _unmoved(self, identity: _Identity, found: BitMap, position: int) -> Plan | None:
        """The plan that is remembered, when it holds for the rows that match now."""
        with self._lock:
            kept = self._kept.get(identity)
        if kept is None:
            return None
        changes = self._index.changed_since(kept.position)
        if changes is None or _reads_any(kept.plan, changes.removed):
            return None
        if bitmap_of(np.sort(changes.added)).intersect(found):
            return None
        with self._lock:
            kept.position = max(kept.position, position)
        return kept.plan

    def _make(self, selection: Selection, found: BitMap) -> Plan:
        index = self._index
        found = found.copy()  # it may be the index's own, which the writer changes
        rows = np.array(found.to_array(), dtype=np.int64)
        gauges = found & index.rows_of(_GAUGES)
        is_gauge = np.zeros(len(rows), dtype=np.bool_)
        if gauges:
            by_row = np.zeros(int(rows[-1]) + 1, dtype=np.bool_)
            by_row[np.array(gauges.to_array(), dtype=np.int64)] = True
            is_gauge = by_row[rows]
        if selection.keeps_series:
            check_lines(len(rows), self._max_lines)
            tags = [index.tags_of(row) for row in rows]
            labels = [tags_label(each) for each in tags]
            return Plan(rows, np.arange(len(rows)), is_gauge, tags, labels)
        exact = selection.query.exact_tags()
        if not selection.keys:
            return Plan(rows, np.zeros(len(rows), dtype=np.int64), is_gauge, [exact], [""])
        return self._grouped(rows, is_gauge, exact, selection.keys)

    def _grouped(
        self, rows: Rows, is_gauge: NDArray[np.bool_], exact: dict[str, str], keys: tuple[str, ...]
    ) -> Plan:
        index = self._index
        codes = np.stack([index.codes(rows, key) for key in keys])
        is_complete = (codes >= 0).all(axis=0)
        if not is_complete.all():
            rows, is_gauge, codes = rows[is_complete], is_gauge[is_complete], codes[:, is_complete]
        if not len(rows):
            return Plan(rows, np.zeros(0, dtype=np.int64), is_gauge, [], [])
        distinct, groups = _distinct(codes)
        buckets = len(UPPER_BOUNDS) if "percentile" in keys else 1
        check_lines(distinct.shape[1], self._max_lines * buckets)
        values = [[index.value_of(code) for code in line] for line in distinct.T.tolist()]
        labels = [keys_label(keys, line) for line in values]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return Plan(
            rows,
            place[groups],
            is_gauge,
            [{**exact, **dict(zip(keys, values[i], strict=True))} for i in order],
            [labels[i] for i in order],
        )


def _identity(selection: Selection) -> _Identity:
    """What tells the plan of a selection from others."""
    return selection.query, selection.keys or (), selection.keeps_series


def _reads_any(plan: Plan, rows: Rows) -> bool:
    """Whether any of some rows is one of a plan's."""
    if not len(rows) or not len(plan.rows):
        return False
    places = np.searchsorted(plan.rows, rows)
    places[places == len(plan.rows)] = 0
    return bool((plan.rows[places] == rows).any())


def _distinct(codes: Idents) -> tuple[Idents, NDArray[np.int64]]:
    """The different columns of codes [keys, n], and for each column which of them it is."""
    groups = np.zeros(codes.shape[1], dtype=np.int64)
    firsts = groups[:1]
    for line in codes:
        places, ranks = _ranked(line.astype(np.int64))
        firsts, groups = _ranked(groups * len(places) + ranks)
    return codes[:, firsts], groups


def _ranked(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each different number is, in ascending order, and the rank of each number."""
    highest = int(numbers.max())
    if highest > 8 * len(numbers) + _FEW_NUMBERS:
        _, places, ranks = np.unique(numbers, return_index=True, return_inverse=True)
        return places, ranks
    where = np.full(highest + 1, -1)
    where[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)
    is_used = where >= 0
    return where[is_used], (np.cumsum(is_used) - 1)[numbers]


def check_lines(lines: int, limit: int) -> None:
    """Raise QueryLimitError when there are more lines than allowed."""
    if lines > limit:
        raise QueryLimitError("lines", lines, limit)


def tags_label(tags: dict[str, str]) -> str:
    """Tags as a label: `k=v, k2=v2`, sorted."""
    return ", ".join(f"{key}={tags[key]}" for key in sorted(tags)) or "NO TAGS"


def keys_label(keys: tuple[str, ...], values: list[str]) -> str:
    """Group values as a label: `(k=v k2=v2)`."""
    return f"({' '.join(f'{key}={value}' for key, value in zip(keys, values, strict=True))})"
