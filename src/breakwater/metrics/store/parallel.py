"""Folds of many datapoints, cut over the cores and checked against the deadline on the way.

A fold is cut along time: each part takes all rows for some slots, so every slot adds its rows in
the same order, and an answer is the same to the last bit however many threads worked on it. The
thread that asks works too; when the others are busy with other queries it does all of it alone.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.deadline import Deadline
from breakwater.metrics.store.blocks import Directory, load_kernels
from breakwater.metrics.store.spans import FIRST, SLOTS, Spans

_T = TypeVar("_T")

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_AT_ONCE: Final = 1_000_000
"""Datapoints between two looks at the deadline: a few milliseconds."""
_MOST_THREADS: Final = 4
_LEAST_SLOTS: Final = 8
_MOST_APART: Final = 4096
_SLACK: Final = 64
"""Slots between what two threads write, more than a line of any cache."""


class _Fold:
    """One fold; `run` may be called by several threads, which share the parts out."""

    def __init__(  # noqa: PLR0917 - the arguments of `fold`
        self, how: int, spans: Spans, rows: Ints, lines: Ints, origin: int, out: Array
    ) -> None:
        self._how, self._spans, self._rows, self._lines = how, spans, rows, lines
        self._origin, self._out = origin, out
        self._counting = threading.Lock()
        self._failed = False

    def run(self, parts: deque[tuple[int, int]], deadline: Deadline) -> None:
        """Fold parts until none is left; raises what the deadline raises, in every thread."""
        try:
            while not self._failed:
                try:
                    first, last = parts.popleft()
                except IndexError:
                    return
                self._apart(first, last, deadline)
        except BaseException:
            self._failed = True
            raise

    def alone(self, first: int, last: int, deadline: Deadline) -> None:
        """Fold all rows for some slots where no other thread adds to any."""
        self._into(self._out, self._origin, (first, last), deadline)

    def _apart(self, first: int, last: int, deadline: Deadline) -> None:
        """Fold all rows for some slots.

        Few lines are folded apart and copied: threads that add to slots beside each other would
        else take the same piece of memory from each other's caches with every row.
        """
        if len(self._out) > _MOST_APART:
            self.alone(first, last, deadline)
            return
        low, high = first - self._origin, last - self._origin + 1
        out = np.full((len(self._out), high - low + _SLACK), np.nan)
        self._into(out, first, (first, last), deadline)
        self._out[:, low:high] = out[:, :-_SLACK]

    def _into(self, out: Array, origin: int, slots: tuple[int, int], deadline: Deadline) -> None:
        fold = load_kernels().fold_spans
        first, last = slots
        at_once = max(_AT_ONCE // (last - first + 1), 1)
        for start in range(0, len(self._rows), at_once):
            if self._failed:
                return
            deadline.check()
            rows = self._rows[start : start + at_once]
            lines = self._lines[start : start + at_once]
            fold(self._how, self._spans, rows, lines, first, last, origin, out)
            with self._counting:
                deadline.count(len(rows) * (last - first + 1))


def fold(  # noqa: PLR0917 - what the loop itself takes
    how: int,
    directory: Directory,
    rows: Ints,
    lines: Ints,
    slots: tuple[int, int],
    out: Array,
    deadline: Deadline,
) -> None:
    """Fold grid points slots[0] to slots[1] of rows into their lines; see `kernels.fold_spans`.

    rows ascend; lines: the line of each row; out: [lines, points], NaN where nothing was folded.
    Raises what `deadline` raises; then `out` means nothing.
    """
    spans = directory.spans
    work = _Fold(how, spans, rows, lines, slots[0], out)
    held = _held(spans, *slots)
    if held is None:
        return
    first, last = held
    count = _thread_count() if len(rows) * (last - first + 1) > 2 * _AT_ONCE else 1
    if count == 1:
        work.alone(first, last, deadline)
        return
    parts = _parts(spans, first, last)
    helping = [_helpers().submit(work.run, parts, deadline) for _ in range(count - 1)]
    try:
        work.run(parts, deadline)
    finally:
        begun = [each for each in helping if not each.cancel()]
        wait(begun)
    for each in begun:
        each.result()


def both_halves(one: Callable[[], _T], other: Callable[[], _T]) -> tuple[_T, _T]:
    """What two pieces of work come to, the second by a helping thread when one is idle.

    Worth it only where both release the GIL.
    """
    if _thread_count() == 1:
        return one(), other()
    helped = _helpers().submit(other)
    try:
        first = one()
    except BaseException:
        helped.cancel()
        raise
    return first, other() if helped.cancel() else helped.result()


def _held(spans: Spans, first: int, last: int) -> tuple[int, int] | None:
    """The first and last of some slots that any span has; None when none has one."""
    begins = spans[:, FIRST].tolist()
    ends = (spans[:, FIRST] + spans[:, SLOTS]).tolist()
    low, high = 0, len(begins) - 1
    while low <= high and ends[low] <= first:
        low += 1
    while low <= high and begins[high] > last:
        high -= 1
    return None if low > high else (max(first, begins[low]), min(last, ends[high] - 1))


def _parts(spans: Spans, first: int, last: int) -> deque[tuple[int, int]]:
    """The slots of a fold as stretches that take about as long: each span, or half of it."""
    found: deque[tuple[int, int]] = deque()
    for span in spans.tolist():
        low = max(first, span[FIRST])
        high = min(last, span[FIRST] + span[SLOTS] - 1)
        if low > high:
            continue
        if len(spans) < 2 * _MOST_THREADS and high - low >= 2 * _LEAST_SLOTS:
            middle = (low + high) // 2
            found.append((low, middle))
            low = middle + 1
        found.append((low, high))
    return found


def _thread_count() -> int:
    """How many threads may fold: one a core this process may use now."""
    return min(len(os.sched_getaffinity(0)), _MOST_THREADS)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that help with large folds, shared by all queries; started when they are needed."""
    return ThreadPoolExecutor(_MOST_THREADS - 1, thread_name_prefix="metrics-fold")
