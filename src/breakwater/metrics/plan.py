"""Which rows a data expression reads and which line each row belongs to.

A plan depends on the index only, so it is kept and used again while no series that matters came
or went: additions are checked one by one against the query, a retirement forgets all plans.
"""

import threading
from collections import OrderedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.index import Check, Rows, TagIndex, go_on
from breakwater.metrics.language.expressions import All, DataExpression, GroupBy
from breakwater.metrics.language.query import Equal, Query
from breakwater.model.percentiles import UPPER_BOUNDS

_MOST_CHECKED = 256
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


class _Kept(msgspec.Struct):
    plan: Plan
    additions: int
    removals: int


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
        self._kept: OrderedDict[tuple[Query, tuple[str, ...], bool], _Kept] = OrderedDict()

    def plan(self, expression: DataExpression | GroupBy, check: Check = go_on) -> Plan:
        """Rows and lines of a data expression; what `check` raises ends the search for them.

        Raises QueryLimitError for too many lines; percentile buckets are not lines of an answer,
        so a grouping by them may have as many for each line.
        """
        keys = expression.keys if isinstance(expression, GroupBy) else ()
        data = expression.inner if isinstance(expression, GroupBy) else expression
        identity = (data.query, keys, isinstance(data, All))
        with self._lock:
            kept = self._kept.get(identity)
            if kept is not None and self._is_current(kept, data.query):
                self._kept.move_to_end(identity)
                return kept.plan
        additions, removals = self._index.additions, self._index.removals
        plan = self._make(data, keys, check)
        with self._lock:
            replaced = self._kept.pop(identity, None)
            self._kept[identity] = _Kept(plan, additions, removals)
            self._rows_kept += len(plan.rows) - (len(replaced.plan.rows) if replaced else 0)
            while len(self._kept) > self._capacity or self._rows_kept > self._max_rows_kept:
                _, dropped = self._kept.popitem(last=False)
                self._rows_kept -= len(dropped.plan.rows)
        return plan

    def _is_current(self, kept: _Kept, query: Query) -> bool:
        index = self._index
        if kept.removals != index.removals:
            return False
        additions = index.additions
        if additions - kept.additions > _MOST_CHECKED:
            return False
        for row in index.added_since(kept.additions):
            if query.matches(index.tags_of(row)):
                return False
        kept.additions = additions
        return True

    def _make(self, data: DataExpression, keys: tuple[str, ...], check: Check) -> Plan:
        index = self._index
        rows = index.rows(data.query, check)
        is_gauge = np.isin(rows, index.rows(_GAUGES), assume_unique=True)
        if isinstance(data, All):
            check_lines(len(rows), self._max_lines)
            tags = [index.tags_of(row) for row in rows]
            labels = [tags_label(each) for each in tags]
            return Plan(rows, np.arange(len(rows)), is_gauge, tags, labels)
        exact = data.query.exact_tags()
        if not keys:
            return Plan(rows, np.zeros(len(rows), dtype=np.int64), is_gauge, [exact], [""])
        return self._grouped(rows, is_gauge, exact, keys)

    def _grouped(
        self, rows: Rows, is_gauge: NDArray[np.bool_], exact: dict[str, str], keys: tuple[str, ...]
    ) -> Plan:
        index = self._index
        codes = np.stack([index.codes(rows, key) for key in keys], axis=1)
        is_complete = (codes >= 0).all(axis=1)
        rows, is_gauge, codes = rows[is_complete], is_gauge[is_complete], codes[is_complete]
        if not len(rows):
            return Plan(rows, np.zeros(0, dtype=np.int64), is_gauge, [], [])
        distinct, inverse = np.unique(codes, axis=0, return_inverse=True)
        buckets = len(UPPER_BOUNDS) if "percentile" in keys else 1
        check_lines(len(distinct), self._max_lines * buckets)
        values = [[index.value_of(code) for code in line] for line in distinct.tolist()]
        labels = [keys_label(keys, line) for line in values]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return Plan(
            rows,
            place[inverse.reshape(-1)],
            is_gauge,
            [{**exact, **dict(zip(keys, values[i], strict=True))} for i in order],
            [labels[i] for i in order],
        )


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
