"""Who makes an errand's attempts: one driver for threads, one for event loops.

Both go the road that the guard lays, as its own drivers do, but for two things: every attempt of
an errand is known by name, and one that holds its answer leaves the road open behind it.
"""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from breakwater.model import FaultRule
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.errand import DROPPED, Errand
from breakwater.sdk.faults import InjectedFaultError, inject
from breakwater.sdk.faults.injection import inject_sync
from breakwater.sdk.guard.travel.drivers import AsyncDriver, SyncDriver
from breakwater.sdk.guard.travel.pipeline import Effect, Invoke, Road
from breakwater.sdk.outcomes import AnswerFailedError


def sweep() -> None:
    """End the attempts that were dropped since the last time."""
    while DROPPED:
        try:
            errand = DROPPED.popleft()
        except IndexError:  # another thread took the last one
            return
        errand.finish(GeneratorExit())


class _SyncErrand(SyncDriver):
    """Drives an errand on this thread."""

    __slots__ = ("_book", "_errand", "_fn")

    def __init__(self, errand: Errand, fn: Callable[[Attempt], Any]) -> None:
        command = errand.outbound.command
        self._book = errand.outbound.runtime.faults
        workers = errand.journey.parts.workers
        super().__init__(_nothing, now_s=command.now_s, sleep=command.sleep, workers=workers)
        self._errand = errand
        self._fn = fn

    def drive(self, road: Road) -> Any:
        """As the base, but a held attempt leaves the road open behind it."""
        is_over = True
        try:
            effect = next(road)
            while True:
                try:
                    outcome = self._perform(effect)
                except BaseException as error:  # noqa: BLE001 - the road decides
                    effect = road.throw(error)
                else:
                    if self._errand.keep(road):
                        is_over = False
                        return outcome
                    effect = road.send(outcome)
        except StopIteration as end:
            return end.value
        finally:
            if is_over:
                road.close()

    def _perform(self, effect: Effect) -> Any:
        if not isinstance(effect, Invoke):
            return super()._perform(effect)
        errand = self._errand
        attempt = errand.begin(effect)
        one = SyncDriver(
            lambda: self._run(attempt), now_s=self._now_s, sleep=self._sleep, workers=self._workers
        )
        return one._invoke(effect)  # noqa: SLF001 - the base's own part, for one attempt

    def _run(self, attempt: Attempt) -> Any:
        errand = self._errand
        if not errand.may_overlap:
            _discard_sync(errand)
        try:
            attempt.choose(errand.terms.get("target"))
            waits = errand.hits_on_pool(attempt)
            if waits:
                try:
                    inject_sync(self._book, waits, errand.pool_patience_s(attempt))
                except (TimeoutError, InjectedFaultError) as fault:
                    raise _no_connection(errand, attempt, fault) from fault
            hits = errand.hits(attempt)
            if hits:
                try:
                    inject_sync(self._book, hits, errand.patience_s(attempt))
                except TimeoutError as error:
                    raise errand.late(error) from error
                except InjectedFaultError as fault:
                    return _answered(errand, attempt, fault)
            answer = self._fn(attempt)
            errand.answered(answer)
        except BaseException as error:
            errand.failed(attempt, error)
            raise
        finally:
            if errand.is_closed:  # it came too late, and nobody waits for it
                _discard_sync(errand)
        return answer


class _AsyncErrand(AsyncDriver):
    """Drives an errand in this task."""

    __slots__ = ("_errand", "_fn")

    def __init__(self, errand: Errand, fn: Callable[[Attempt], Awaitable[Any]]) -> None:
        super().__init__(_nothing_async, now_s=errand.outbound.command.now_s)
        self._errand = errand
        self._fn = fn

    async def drive(self, road: Road) -> Any:
        """As the base, but a held attempt leaves the road open behind it."""
        is_over = True
        try:
            effect = next(road)
            while True:
                try:
                    if isinstance(effect, Invoke):
                        outcome = await self._attempt(effect)
                    else:
                        outcome = await self._perform(effect)
                except BaseException as error:  # noqa: BLE001 - the road decides
                    effect = road.throw(error)
                else:
                    if self._errand.keep(road):
                        is_over = False
                        return outcome
                    effect = road.send(outcome)
        except StopIteration as end:
            return end.value
        finally:
            if is_over:
                road.close()

    async def _attempt(self, effect: Invoke) -> Any:
        attempt = self._errand.begin(effect)
        one = AsyncDriver(lambda: self._run(attempt), now_s=self._now_s)
        return await one._invoke(effect)  # noqa: SLF001 - the base's own part, for one attempt

    async def _run(self, attempt: Attempt) -> Any:
        errand = self._errand
        if not errand.may_overlap:
            await _discard(errand)
        try:
            attempt.choose(errand.terms.get("target"))
            waits = errand.hits_on_pool(attempt)
            if waits:
                try:
                    await self._inject(waits, errand.terms.get("pool_patience_s"))
                except (TimeoutError, InjectedFaultError) as fault:
                    raise _no_connection(errand, attempt, fault) from fault
            hits = errand.hits(attempt)
            if hits:
                try:
                    await self._inject(hits, errand.terms.get("patience_s"))
                except TimeoutError as error:
                    raise errand.late(error) from error
                except InjectedFaultError as fault:
                    return _answered(errand, attempt, fault)
            answer = await self._fn(attempt)
            errand.answered(answer)
        except BaseException as error:
            errand.failed(attempt, error)
            raise
        finally:
            if errand.is_closed:  # it came too late, and nobody waits for it
                await _discard(errand)
        return answer

    async def _inject(self, hits: list[FaultRule], patience_s: float | None) -> None:
        """Suffer the faults, for as long as the library itself would wait."""
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        async with asyncio.timeout(patience_s):
            await inject(self._errand.outbound.runtime.faults, hits)


def drive_sync(errand: Errand, fn: Callable[[Attempt], Any]) -> Any:
    """Make the call on this thread."""
    sweep()
    answer = None
    try:
        try:
            answer = _SyncErrand(errand, fn).drive(errand.road())
        except AnswerFailedError as error:
            answer = error.response
    finally:
        _end(errand)
        _discard_sync(errand, answer)
    return answer


async def drive_async(errand: Errand, fn: Callable[[Attempt], Awaitable[Any]]) -> Any:
    """Make the call in this task."""
    sweep()
    answer = None
    try:
        try:
            answer = await _AsyncErrand(errand, fn).drive(errand.road())
        except AnswerFailedError as error:
            answer = error.response
    finally:
        _end(errand)
        await _discard(errand, answer)
    return answer


def _end(errand: Errand) -> None:
    """Close the call, unless its answer is still being read."""
    if not errand.is_open():
        errand.close()


def _discard_sync(errand: Errand, used: Any = None) -> None:
    """Close the answers that nobody will read."""
    for discard in errand.take_spare(used):
        discard()


async def _discard(errand: Errand, used: Any = None) -> None:
    """Close the answers that nobody will read."""
    for discard in errand.take_spare(used):
        gone = discard()
        if isawaitable(gone):
            await gone


def _no_connection(
    errand: Errand, attempt: Attempt, fault: TimeoutError | InjectedFaultError
) -> Exception:
    """What the library says where a fault kept it from a connection."""
    status = fault.status if isinstance(fault, InjectedFaultError) else None
    return errand.no_connection(attempt, status)


def _answered(errand: Errand, attempt: Attempt, fault: InjectedFaultError) -> Any:
    """An injected error as the answer it stands for, where the library has such a thing."""
    answer_for = errand.terms.get("answer_for")
    if answer_for is None:
        raise fault
    return answer_for(attempt, fault.status)


def _nothing() -> None:
    """Each attempt has a call of its own."""


async def _nothing_async() -> None:
    """As `_nothing`."""
