"""Calls on threads of a pool, so that a caller can walk away from one that hangs.

Nothing can stop a Python thread that is stuck in somebody else's code. What a pool gives is that
only the pool is stuck: at the timeout the caller goes on with an error, the worker stays behind
with the call, and what it brings back late is thrown away and counted, not booked as a result.

A call whose time ran out before a thread was free was never made: that is a refusal by the pool,
not a timeout of the callee. The hand-over costs about twenty microseconds, which is why this is
opt-in. Threads are daemons: a stuck call does not keep the process from ending.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

import msgspec

from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import BulkheadConfig
from breakwater.sdk.guard.forks import mend_after_fork
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.verdict import Verdict

KEEP_ALIVE_S: Final = 60.0
"""An idle thread ends after so long; Hystrix keeps its for a minute too."""


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as the streams show it.

    active: threads at work now, abandoned calls included; size: threads there are; largest: the
    most there ever were; core and maximum: the most there may be. queue: calls waiting; tasks:
    calls ever accepted; completed: calls that ran to their end. rejected: no thread and no room
    in the queue; never_started: given up on in the queue; late: ended after their caller had gone.
    max_active: the most threads at work since `take_max_active` was last asked.
    """

    active: int
    size: int
    core: int
    maximum: int
    largest: int
    queue: int
    queue_limit: int
    tasks: int
    completed: int
    rejected: int
    never_started: int
    late: int
    max_active: int


_PLACE: Final = Ticket()
"""Room for one call; the pool only counts how many are out."""


class _Task:
    """One call on its way through the pool; its flags change under the pool's lock only."""

    __slots__ = ("context", "done", "error", "is_abandoned", "is_started", "result", "work")

    def __init__(self, work: Callable[[], Any], context: Context) -> None:
        self.work = work
        self.context = context
        self.done = threading.Event()
        self.is_started = False
        self.is_abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None


class ThreadPool:
    """At most `threads` calls at once and `queue` waiting; the next is refused (`pool_full`).

    As a gate it reserves room before the call is made, as `run` it makes the call. With a queue
    of 0 a call goes through only if a thread is free, or another may be started.
    """

    def __init__(self, name: str, config: BulkheadConfig) -> None:
        self.name = f"thread pool {name}"
        self._key = name
        self._threads = config.threads
        self._queue_limit = config.queue
        self._lock = threading.RLock()
        self._has_work = threading.Condition(self._lock)
        self._line: deque[_Task] = deque()
        self._size = self._active = self._largest = self._max_active = 0
        self._reserved = 0  # attempts let in by `enter` that have not left
        self._stranded = 0  # calls at work whose callers have left
        self._tasks = self._completed = self._rejected = 0
        self._never_started = self._late = 0
        self._is_closed = False
        mend_after_fork(self)

    def forked(self) -> None:
        """In a forked child there are no threads yet, and no calls."""
        self._lock = threading.RLock()
        self._has_work = threading.Condition(self._lock)
        self._line.clear()
        self._size = self._active = self._reserved = self._stranded = 0

    def configure(self, config: BulkheadConfig) -> None:
        """So many threads and places in the queue from now on; calls under way are left alone."""
        with self._lock:
            self._threads = config.threads
            self._queue_limit = config.queue
            self._has_work.notify_all()

    def enter(self, call: CallInfo, now_s: float) -> Ticket:  # noqa: ARG002 - the port says when
        """Room for one call; raises CallRefusedError."""
        with self._lock:
            room = self._threads + self._queue_limit - self._stranded
            if self._is_closed or self._reserved >= room:
                self._rejected += 1
                limit = self._threads
                raise CallRefusedError("pool_full", call.command, call.endpoint, limit)
            self._reserved += 1
        return _PLACE

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """The attempt ended; a call still at work keeps its thread until it is done."""
        del ticket, verdict, now_s, took_s, error
        with self._lock:
            self._reserved -= 1

    def run(self, work: Callable[[], Any], seconds: float | None) -> Any:
        """Run `work` on a thread in a copy of the caller's context, and wait for it.

        Returns its result or raises its error. Raises TimeoutError after `seconds` if it was
        started (it goes on, its result is dropped), CallRefusedError if it was not.
        """
        task = _Task(work, copy_context())
        self._submit(task)
        try:
            task.done.wait(seconds)
        except BaseException:  # the caller's own thread was interrupted
            self._walk_away(task)
            raise
        if self._walk_away(task):
            if task.is_started:
                raise TimeoutError(f"{self.name}: no answer within {seconds:.3g} s")
            raise CallRefusedError("never_started", self._key, "", self._threads)
        if task.error is not None:
            try:
                raise task.error
            finally:
                del task  # the traceback holds this frame, which would hold the error
        return task.result

    def _submit(self, task: _Task) -> None:
        with self._lock:
            idle = self._size - self._active
            room = self._threads + self._queue_limit
            if self._is_closed or self._active + len(self._line) >= room:
                self._rejected += 1
                raise CallRefusedError("pool_full", self._key, "", self._threads)
            self._line.append(task)
            self._tasks += 1
            hires = len(self._line) > idle and self._size < self._threads
            self._size += hires
            self._has_work.notify()
        if hires:
            self._hire(task)

    def _hire(self, task: _Task) -> None:
        """Start one more thread; without any thread at all the call is refused.

        Under no lock: starting waits for the new thread, which may be made to end calls (`gate`).
        """
        worker = threading.Thread(target=self._work, name=f"guard-{self._key}", daemon=True)
        try:
            worker.start()
        except RuntimeError as error:  # the system gives no more threads
            with self._lock:
                self._size -= 1
                is_stuck = self._size == 0 and task in self._line
                if is_stuck:
                    self._line.remove(task)
                    self._rejected += 1
            if is_stuck:
                raise CallRefusedError("pool_full", self._key, "", 0) from error

    def _walk_away(self, task: _Task) -> bool:
        """Whether the caller leaves without the task's end; from then on it is nobody's."""
        with self._lock:
            if task.done.is_set():
                return False
            task.is_abandoned = True
            if task.is_started:
                self._stranded += 1
            else:
                self._line.remove(task)
                self._never_started += 1
            return True

    def _work(self) -> None:
        """The life of one thread."""
        while (task := self._next_task()) is not None:
            try:
                task.result = task.context.run(task.work)
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller
                task.error = error
            self._end(task)
            del task  # an idle thread keeps nothing of the last call alive

    def _next_task(self) -> _Task | None:
        """The next call in line, or None when this thread is not needed any more."""
        with self._lock:
            while not self._line:
                is_spare = self._is_closed or self._size > self._threads
                if is_spare or not self._has_work.wait(KEEP_ALIVE_S):
                    if self._line:
                        break
                    self._size -= 1
                    return None
            task = self._line.popleft()
            task.is_started = True
            self._active += 1
            self._largest = max(self._largest, self._size)
            self._max_active = max(self._max_active, self._active)
            return task

    def _end(self, task: _Task) -> None:
        with self._lock:
            self._active -= 1
            self._completed += 1
            if task.is_abandoned:
                self._late += 1
                self._stranded -= 1
                task.result = task.error = None
            task.done.set()

    def close(self) -> None:
        """Take no more calls; threads end with the calls they are at. Does not wait for them."""
        with self._lock:
            self._is_closed = True
            self._has_work.notify_all()

    def take_max_active(self) -> int:
        """The most threads at work at once since this was last asked."""
        with self._lock:
            most, self._max_active = self._max_active, self._active
            return most

    def stats(self) -> PoolStats:
        """The pool at this moment."""
        with self._lock:
            return PoolStats(
                active=self._active,
                size=self._size,
                core=self._threads,
                maximum=self._threads,
                largest=self._largest,
                queue=len(self._line),
                queue_limit=self._queue_limit,
                tasks=self._tasks,
                completed=self._completed,
                rejected=self._rejected,
                never_started=self._never_started,
                late=self._late,
                max_active=self._max_active,
            )
