"""Batches of sync calls, each sent by the thread whose call opened it, after a wait."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, cast

from breakwater.model import Status
from breakwater.sdk.context import CURRENT
from breakwater.sdk.errors import CallFailedError, DeadlineExceededError
from breakwater.sdk.guard.roles import Answer, Lead
from breakwater.sdk.guard.sharing.collapse import (
    BATCH,
    Batch,
    distribute,
    fail,
    merged,
)
from breakwater.sdk.guard.travel.collapsers import Collapser, new_batch
from breakwater.sdk.guard.travel.drivers import wait_sync
from breakwater.sdk.guard.travel.pipeline import WaitFor

A = TypeVar("A")
R = TypeVar("R")


class SyncCollapser(Collapser, Generic[A, R]):
    """`collapser(argument)` from any number of threads; the first of a batch sends it for all.

    It may be held longer than its own deadline by others of the batch whose deadline is later.
    """

    def __call__(self, argument: A) -> R:
        """The result of this argument; raises its error, or the batch's, or for want of time."""
        cache = self._cache(argument)
        if cache is None:
            return self._batched(argument)
        now_s = self._terms.now_s
        found: Any = cache.enter(cast("Hashable", argument), now_s())
        while not isinstance(found, Answer | Lead):
            wait_sync(WaitFor(found, found.until_s), now_s)
            found = found.claim(now_s()) or found
        if isinstance(found, Answer):
            return cast("R", found.value)
        try:
            result = self._batched(argument)
        except BaseException as error:
            cache.failed(found, error, now_s())
            raise
        cache.done(found, result, now_s())
        return result

    def _batched(self, argument: A) -> R:
        context = CURRENT.get()
        now_s = self._terms.now_s()
        if context.deadline_s is not None and context.deadline_s <= now_s:
            raise DeadlineExceededError(service=self.name)
        config = self._terms.config()
        key = self._key(config, argument)
        outcome = _Outcome()
        with self._lock:
            batch = self._open.get(key)
            leads = batch is None
            if batch is None:
                batch = self._open[key] = new_batch(key, now_s, config)
                batch.timer = threading.Event()
            waiter = batch.add(argument, context, outcome.settle, shares=config.caches_requests)
            if context.deadline_s is not None:
                batch.stop_s = min(batch.stop_s, (now_s + context.deadline_s) / 2.0)
            if len(batch.items) >= config.max_batch:
                self._open.pop(key, None)
                batch.stop_s = now_s
            batch.timer.set()
        if leads:
            self._lead(batch)
        elif not outcome.wait(context.deadline_s, self._terms.now_s):
            with self._lock:
                batch.leave(waiter)
            self._tally.left()
            raise DeadlineExceededError(service=self.name)
        result: R = outcome.get()
        return result

    def _lead(self, batch: Batch) -> None:
        """Wait for company, then send the batch and settle with all."""
        try:
            while (left_s := batch.stop_s - self._terms.now_s()) > 0:
                batch.timer.wait(left_s)
                batch.timer.clear()
            self._close(batch)
            self._note_sent(batch)
            batch.home.run(CURRENT.set, merged(batch.contexts()))
            batch.home.run(BATCH.set, (self.name, len(batch.items)))
            answer = batch.home.run(self._send, batch.arguments())
            distribute(self.name, batch.items, answer)
        except Exception as error:  # noqa: BLE001 - raised by each who waits, this one too
            fail(batch.items, error)
        except BaseException:  # this thread is interrupted, and nobody else is
            self._close(batch)
            fail(batch.items, CallFailedError(Status.CANCELLED, service=self.name))
            raise

    def _close(self, batch: Batch) -> None:
        with self._lock:
            batch.is_sent = True
            if self._open.get(batch.key) is batch:
                self._open.pop(batch.key, None)


class _Outcome:
    """A place that one thread waits at for another's result."""

    __slots__ = ("_error", "_ready", "_value")

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def settle(self, value: Any, error: BaseException | None) -> None:
        self._value = value
        self._error = error
        self._ready.set()

    def wait(self, deadline_s: float | None, now_s: Callable[[], float]) -> bool:
        """Whether there is one before the deadline."""
        return self._ready.wait(None if deadline_s is None else max(0.0, deadline_s - now_s()))

    def get(self) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value
