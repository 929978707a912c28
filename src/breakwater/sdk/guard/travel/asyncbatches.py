"""Batches of async calls, each sent from a task of its own, that no caller's leaving touches."""

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from breakwater.sdk.context import CURRENT, CallContext
from breakwater.sdk.errors import DeadlineExceededError
from breakwater.sdk.guard.gate import Queued
from breakwater.sdk.guard.roles import Answer, Lead
from breakwater.sdk.guard.sharing.collapse import (
    BATCH,
    Batch,
    Waiter,
    distribute,
    fail,
    merged,
)
from breakwater.sdk.guard.travel.drivers import wait_async
from breakwater.sdk.guard.travel.pipeline import WaitFor

if TYPE_CHECKING:
    import asyncio


from breakwater.sdk.guard.travel.collapsers import Collapser, ShardOf, Terms, new_batch

A = TypeVar("A")
R = TypeVar("R")


class AsyncCollapser(Collapser, Generic[A, R]):
    """`await collapser(argument)`; any number of tasks, and of event loops, each with its own."""

    def __init__(
        self,
        terms: Terms,
        send: Callable[[tuple[A, ...]], Awaitable[Any]],
        shard: ShardOf | None = None,
    ) -> None:
        super().__init__(terms, send, shard)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, argument: A) -> R:
        """The result of this argument; raises its error, or the batch's, or for want of time."""
        cache = self._cache(argument)
        if cache is None:
            return await self._batched(argument)
        now_s = self._terms.now_s
        found = cache.enter(cast("Hashable", argument), now_s())
        while not isinstance(found, Answer | Lead):
            found = await self._claimed(found)
        if isinstance(found, Answer):
            return cast("R", found.value)
        try:
            result = await self._batched(argument)
        except BaseException as error:
            cache.failed(found, error, now_s())
            raise
        cache.done(found, result, now_s())
        return result

    async def _claimed(self, queued: Queued) -> Any:
        """What became of the equal call that is under way."""
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        now_s = self._terms.now_s
        try:
            await wait_async(WaitFor(queued, queued.until_s), now_s, asyncio.get_running_loop())
            return queued.claim(now_s()) or queued
        except BaseException:
            queued.abandon(now_s())
            raise

    async def _batched(self, argument: A) -> R:
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        context = CURRENT.get()
        left_s = None
        if context.deadline_s is not None:
            left_s = context.deadline_s - self._terms.now_s()
            if left_s <= 0:
                raise DeadlineExceededError(service=self.name)
        batch, waiter = self._join(loop, argument, context, partial(_settle, result), left_s)
        expiry = None if left_s is None else loop.call_later(left_s, self._expire, result)
        try:
            return await result
        except BaseException:
            self._leave(batch, waiter)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def _join(
        self,
        loop: "asyncio.AbstractEventLoop",
        argument: A,
        context: CallContext,
        settle: Callable[[Any, BaseException | None], None],
        left_s: float | None,
    ) -> tuple[Batch, Waiter]:
        config = self._terms.config()
        key = (loop, self._key(config, argument))
        now_s = self._terms.now_s()
        with self._lock:
            batch = self._open.get(key)
            is_new = batch is None
            if batch is None:
                batch = self._open[key] = new_batch(key, now_s, config)
        waiter = batch.add(argument, context, settle, shares=config.caches_requests)
        stop_s = batch.stop_s
        if left_s is not None:
            stop_s = min(stop_s, now_s + left_s / 2.0)
        if len(batch.items) >= config.max_batch or stop_s <= now_s:
            self._close(loop, batch)
        elif is_new or stop_s < batch.stop_s:
            if batch.timer is not None:
                batch.timer.cancel()
            batch.stop_s = stop_s
            batch.timer = loop.call_later(stop_s - now_s, self._close, loop, batch)
        return batch, waiter

    def _close(self, loop: "asyncio.AbstractEventLoop", batch: Batch) -> None:
        """Send the batch; whoever comes now opens another."""
        with self._lock:
            self._open.pop(batch.key, None)
        if batch.timer is not None:
            batch.timer.cancel()
        if batch.is_sent or not batch.waiting:
            return
        batch.is_sent = True
        self._note_sent(batch)
        task = loop.create_task(
            self._run(batch), name=f"breakwater-batch-{self.name}", context=batch.home
        )
        batch.timer = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: Batch) -> None:
        import asyncio  # noqa: PLC0415 - as above

        CURRENT.set(merged(batch.contexts()))  # of this task alone
        BATCH.set((self.name, len(batch.items)))
        try:
            answer = await self._send(batch.arguments())
            batch.is_done = True
            distribute(self.name, batch.items, answer)
        except asyncio.CancelledError:
            for item in batch.items:
                for waiter in item.waiters:
                    waiter.settle(None, asyncio.CancelledError())
            raise
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            batch.is_done = True
            fail(batch.items, error)

    def _expire(self, result: "asyncio.Future[R]") -> None:
        if not result.done():
            result.set_exception(DeadlineExceededError(service=self.name))

    def _leave(self, batch: Batch, waiter: Waiter) -> None:
        """Told of every end but a result; of errors too, which come when all is done."""
        if batch.is_done:
            return
        self._tally.left()
        if batch.leave(waiter):
            if not batch.is_sent:
                with self._lock:
                    self._open.pop(batch.key, None)
            batch.timer.cancel()  # the batch itself, or the wait for it


def _settle(result: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    elif isinstance(error, Exception):
        result.set_exception(error)
    else:
        result.cancel()
