"""A guarded function: bulkhead, breaker, attempt timeout, fallback, in this order.

The order is fixed because the others are traps: a timeout outside the bulkhead would book waiting
as slowness of the callee, a bulkhead outside nothing would let refusals count against it.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import isawaitable, iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from breakwater.model import Clock, Status
from breakwater.sdk import context
from breakwater.sdk.errors import (
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
)
from breakwater.sdk.guard.breaker import Breaker, BreakerConfig, BreakerStats, Permit
from breakwater.sdk.guard.bulkhead import Bulkhead, BulkheadStats
from breakwater.sdk.guard.timeout import attempt_timeout

_current = context.CURRENT.get
P = ParamSpec("P")
R = TypeVar("R")

Fallback = Callable[[Exception], Any]
"""Given the error, gives the answer to use instead, or an awaitable of it, or raises."""


class Tally(msgspec.Struct):
    """Finished calls by outcome; each call is in exactly one count but the two of fallbacks.

    A race on an interpreter without a global lock may lose one.
    """

    success: int = 0
    failure: int = 0
    timeout: int = 0
    ignored: int = 0
    cancelled: int = 0
    short_circuited: int = 0
    rejected: int = 0
    past_deadline: int = 0
    fallback: int = 0
    fallback_failure: int = 0


class CommandStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls by outcome since start, and the state of the parts."""

    name: str
    calls: dict[str, int]
    bulkhead: BulkheadStats | None
    breaker: BreakerStats | None


class Command:
    """Guards calls of any function under one name; use as decorator, or `call` / `call_sync`.

    timeout_s: an async attempt is cancelled after so long and fails with CallFailedError (status
    timeout). A sync attempt cannot be interrupted: it finds the time left in
    `context.remaining_s()`, and coming late counts as a failure though its result is returned.
    ignore: exceptions that say nothing about the health of the callee and get no fallback.
    Raises CallRefusedError and DeadlineExceededError for calls it does not let through, unless
    the fallback answers. Costs about half a microsecond, two with a timeout.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        timeout_s: float | None = None,
        max_concurrent: int | None = None,
        breaker: BreakerConfig | None = None,
        fallback: Fallback | None = None,
        ignore: tuple[type[Exception], ...] = (),
    ) -> None:
        if timeout_s is not None and not timeout_s > 0:
            raise SettingsError(f"timeout_s of {name} is {timeout_s}, must be above 0")
        self.name = name
        self.tally = Tally()
        self._now_s = clock.monotonic_s
        self._timeout_s = timeout_s
        self._bulkhead = None if max_concurrent is None else Bulkhead(max_concurrent)
        self._breaker = None if breaker is None else Breaker(breaker)
        self._fallback = fallback
        self._ignore = ignore

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, async or not; name and signature stay what they were."""
        if iscoroutinefunction(fn):

            @wraps(fn)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self.call(fn, *args, **kwargs)

            return cast("Callable[P, R]", guarded_async)

        @wraps(fn)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call_sync(fn, *args, **kwargs)

        return guarded

    async def call(self, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Await `fn(*args, **kwargs)` under guard."""
        try:
            permit = self._enter()
            try:
                if self._timeout_s is None:
                    result = await fn(*args, **kwargs)
                else:
                    result = await self._timed(self._timeout_s, fn(*args, **kwargs))
            except BaseException as error:
                self._leave_failed(permit, error)
                raise
            self._leave(permit, is_failure=False)
        except Exception as error:
            if self._fallback is None or isinstance(error, self._ignore):
                raise
            return cast("R", await self._fall_back(error, self._fallback))
        return result

    def call_sync(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn(*args, **kwargs)` under guard, on this thread."""
        try:
            permit = self._enter()
            is_late = False
            try:
                if self._timeout_s is None:
                    result = fn(*args, **kwargs)
                else:
                    ends_s = self._now_s() + self._timeout_s
                    token = context.bind(context.narrowed(_current(), ends_s))
                    try:
                        result = fn(*args, **kwargs)
                    finally:
                        context.unbind(token)
                    is_late = self._now_s() > ends_s
            except BaseException as error:
                self._leave_failed(permit, error)
                raise
            self._leave(permit, is_failure=is_late)
        except Exception as error:
            if self._fallback is None or isinstance(error, self._ignore):
                raise
            return cast("R", self._fall_back_sync(error, self._fallback))
        return result

    async def _timed(self, timeout_s: float, awaitable: Awaitable[R]) -> R:
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        now_s = self._now_s()
        narrowed = context.narrowed(_current(), now_s + timeout_s)
        budget_s = cast("float", narrowed.deadline_s) - now_s
        task = asyncio.current_task()
        assert task is not None, "an await outside any task"
        token = context.bind(narrowed)
        try:
            with attempt_timeout(task, task.get_loop(), budget_s) as limit:
                return await awaitable
        except TimeoutError as error:
            if not limit.is_over:
                raise
            raise _TimedOutError(self.name, budget_s < timeout_s / 2) from error
        finally:
            context.unbind(token)

    def _enter(self) -> Permit | None:
        """Take both permits or raise; every way out gives them back exactly once."""
        deadline_s = _current().deadline_s
        if deadline_s is not None and deadline_s <= self._now_s():
            self.tally.past_deadline += 1
            raise DeadlineExceededError(service=self.name)
        bulkhead = self._bulkhead
        if bulkhead is not None and not bulkhead.try_enter():
            self.tally.rejected += 1
            raise CallRefusedError(Status.REJECTED, service=self.name, limit=bulkhead.limit)
        breaker = self._breaker
        if breaker is None:
            return None
        permit = breaker.closed_permit
        if permit is None:
            permit = breaker.admit(self._now_s())
        if permit is None:
            if bulkhead is not None:
                bulkhead.leave()
            self.tally.short_circuited += 1
            raise CallRefusedError(Status.SHORT_CIRCUITED, service=self.name)
        return permit

    def _leave(self, permit: Permit | None, *, is_failure: bool) -> None:
        if is_failure:
            self.tally.timeout += 1
        else:
            self.tally.success += 1
        if self._bulkhead is not None:
            self._bulkhead.leave()
        if permit is not None and self._breaker is not None:
            self._breaker.settle(permit, is_failure=is_failure, now_s=self._now_s())

    def _leave_failed(self, permit: Permit | None, error: BaseException) -> None:
        """Count the failure, or give the breaker's permit back if it is no fault of the callee."""
        is_failure = False
        if isinstance(error, _TimedOutError):
            self.tally.timeout += 1
            is_failure = not error.was_cut_short
        elif not isinstance(error, Exception):  # cancelled, or the process is ending
            self.tally.cancelled += 1
        elif isinstance(error, self._ignore):
            self.tally.ignored += 1
        else:
            self.tally.failure += 1
            is_failure = True
        if self._bulkhead is not None:
            self._bulkhead.leave()
        if permit is None or self._breaker is None:
            return
        if is_failure:
            self._breaker.settle(permit, is_failure=True, now_s=self._now_s())
        else:
            self._breaker.release(permit)

    async def _fall_back(self, error: Exception, fallback: Fallback) -> Any:
        try:
            answer = fallback(error)
            if isawaitable(answer):
                answer = await answer
        except BaseException:
            self.tally.fallback_failure += 1
            raise
        self.tally.fallback += 1
        return answer

    def _fall_back_sync(self, error: Exception, fallback: Fallback) -> Any:
        try:
            answer = fallback(error)
        except BaseException:
            self.tally.fallback_failure += 1
            raise
        self.tally.fallback += 1
        return answer

    def stats(self) -> CommandStats:
        """Calls by outcome since start, and the state of the parts."""
        return CommandStats(
            name=self.name,
            calls=msgspec.structs.asdict(self.tally),
            bulkhead=None if self._bulkhead is None else self._bulkhead.stats(),
            breaker=None if self._breaker is None else self._breaker.stats(),
        )


class _TimedOutError(CallFailedError):
    """An attempt ran into its limit; `was_cut_short` if a near deadline left it half or less."""

    def __init__(self, service: str, was_cut_short: bool) -> None:  # noqa: FBT001 - private
        super().__init__(Status.TIMEOUT, service=service, detail="attempt_timeout")
        self.was_cut_short = was_cut_short
