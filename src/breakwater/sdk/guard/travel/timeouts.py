"""Time limits for async calls: one heap and one armed timer for each event loop.

`loop.call_later` for every call would put a handle into the loop's own heap and take it out again,
at several microseconds each. Here a limit is a tuple on a heap of our own; ending it is one store,
for what has ended is dropped when it comes to the top, or when half of the heap has ended. The
loop has a single timer, for the earliest limit, and is precise to that timer.

A cancellation from outside always wins: if both come together, the task is cancelled, not timed
out, and no cancellation is swallowed or left behind (`Task.uncancel`).
"""

import asyncio
import threading
import time
from asyncio import current_task, get_running_loop
from heapq import heapify, heappop, heappush, heapreplace
from types import TracebackType
from typing import Any, Final, Self

_COMPACT: Final = 256
"""Ended limits below the top that are put up with, at least."""


STOP_S, NUMBER, TASK, CANCELLING, OVER = range(5)
"""Fields of a limit: when it ends; a number that keeps the heap from comparing tasks; the task,
None once ended; the task's cancellations before; whether the limit cancelled the task."""

Limit = list[Any]
"""One limit of one task; a plain list, because making one is most of what a limit costs."""


def end(limit: Limit) -> bool:
    """Stop limiting; whether the task's cancellation was this limit's and no one else's."""
    task, limit[TASK] = limit[TASK], None
    if task is None or not limit[OVER]:
        return False
    left: int = task.uncancel()
    return left <= int(limit[CANCELLING])


def unlimited() -> Limit:
    """The limit of a call without one."""
    return [float("inf"), 0, None, 0, False]


class Timers:
    """All limits of one event loop. is_plain: its clock is the machine's monotonic one."""

    __slots__ = ("_armed_s", "_handle", "_heap", "_now_s", "_number", "is_plain", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._heap: list[Limit] = []
        self._number = 0
        self._handle: asyncio.TimerHandle | None = None
        self._armed_s = float("inf")
        self.is_plain = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
        self._now_s = time.monotonic if self.is_plain else loop.time

    def start(
        self, task: "asyncio.Task[Any] | None", seconds: float, now_s: float | None = None
    ) -> Limit:
        """Cancel the task in so many seconds, unless the limit is ended before.

        now_s: the machine's monotonic time, if the caller has just read it.
        """
        assert task is not None, "an await outside any task"
        if now_s is None or not self.is_plain:
            now_s = self._now_s()
        return self.start_at(task, now_s + seconds)

    def start_at(self, task: "asyncio.Task[Any] | None", stop_s: float) -> Limit:
        """Cancel the task at `stop_s` of the loop's clock, unless the limit is ended before."""
        assert task is not None, "an await outside any task"
        limit = self.start_here(stop_s, task)
        assert limit is not None, "a task is given"
        return limit

    def start_here(self, stop_s: float, task: "asyncio.Task[Any] | None" = None) -> Limit | None:
        """As `start_at`, by default for the task that runs now; None if that is of another loop."""
        loop = self.loop
        if task is None:
            if get_running_loop() is not loop:
                return None
            task = current_task(loop)
            if task is None:
                return None
        self._number = number = self._number + 1
        limit: Limit = [stop_s, number, task, task.cancelling(), False]
        heap = self._heap
        if heap and heap[0][TASK] is None:
            heapreplace(heap, limit)
        else:
            heappush(heap, limit)
        if stop_s < self._armed_s:
            self._arm(stop_s)
        if not number % _COMPACT:
            self._compact()
        return limit

    def _arm(self, stop_s: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_s = stop_s
        self._handle = self.loop.call_later(stop_s - self._now_s(), self._fire)

    def _fire(self) -> None:
        """Cancel the tasks whose time is up, and set the timer for the next."""
        heap, now_s = self._heap, self._now_s()
        while heap and (heap[0][STOP_S] <= now_s or heap[0][TASK] is None):
            limit = heappop(heap)
            task = limit[TASK]
            if task is not None:
                limit[OVER] = True
                task.cancel()
        self._handle = None
        self._armed_s = float("inf")
        if heap:
            self._arm(heap[0][STOP_S])

    def _compact(self) -> None:
        """Drop what ended below the top, once it is the greater part."""
        heap = self._heap
        if len(heap) >= _COMPACT:
            alive = [limit for limit in heap if limit[TASK] is not None]
            if 2 * len(alive) < len(heap):
                heap[:] = alive
                heapify(heap)

    def __len__(self) -> int:
        """Entries on the heap, ended ones among them."""
        return len(self._heap)


class _OfThread(threading.local):
    timers: Timers | None = None


_of_thread = _OfThread()


def timers_of(loop: asyncio.AbstractEventLoop) -> Timers:
    """The limits of this loop; only a cache, since several heaps for one loop would do no harm."""
    timers = _of_thread.timers
    if timers is None or timers.loop is not loop:
        timers = _of_thread.timers = Timers(loop)
    return timers


class attempt_timeout:  # noqa: N801 - used like asyncio.timeout, as a plain `with`
    """`with attempt_timeout(task, loop, seconds) as limit:` cancels the block when time is up.

    The block then ends in TimeoutError; `limit.is_over` says so.
    """

    __slots__ = ("_limit", "_loop", "_seconds", "_task")

    def __init__(
        self, task: "asyncio.Task[object]", loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._task = task
        self._loop = loop
        self._seconds = seconds
        self._limit: Limit | None = None

    @property
    def is_over(self) -> bool:
        """Whether the limit was reached."""
        return self._limit is not None and bool(self._limit[OVER])

    def __enter__(self) -> Self:
        """Start the clock."""
        self._limit = timers_of(self._loop).start(self._task, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the clock; turn its cancellation into TimeoutError."""
        assert self._limit is not None, "entered before"
        is_ours = end(self._limit)
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
