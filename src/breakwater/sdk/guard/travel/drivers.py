"""Who does what the general road asks for: one driver for threads, one for event loops.

Both are loops of the same shape: perform the effect, send its outcome into the generator, or throw
its error in. Everything that decides is in the generator. Whatever ends a driver, the generator is
closed with it, so that no ticket stays out.
"""

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from breakwater.sdk import context
from breakwater.sdk.errors import AttemptTimedOutError, SettingsError
from breakwater.sdk.guard.roles import Workers
from breakwater.sdk.guard.travel.code import CarriedStopError
from breakwater.sdk.guard.travel.pipeline import Effect, Invoke, Race, Recover, Road, Sleep, WaitFor

if TYPE_CHECKING:
    import asyncio

_current: Final = context.CURRENT.get
_bind: Final = context.CURRENT.set
_unbind: Final = context.unbind
POLL_S: Final = 3600.0


class SyncDriver:
    """Performs effects on this thread. call: the user's function with its arguments."""

    __slots__ = ("_call", "_now_s", "_sleep", "_workers")

    def __init__(
        self,
        call: Callable[[], Any],
        *,
        now_s: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        workers: Workers | None = None,
    ) -> None:
        self._call = call
        self._now_s = now_s
        self._sleep = sleep
        self._workers = workers

    def drive(self, road: Road) -> Any:
        """Go the whole road; returns the answer or raises."""
        try:
            effect = next(road)
            while True:
                try:
                    outcome = self._perform(effect)
                except StopIteration as error:
                    effect = road.throw(CarriedStopError(error))
                except BaseException as error:  # noqa: BLE001 - the generator decides
                    effect = road.throw(error)
                else:
                    effect = road.send(outcome)
        except StopIteration as end:
            return end.value
        except CarriedStopError as carried:
            raise carried.error from None
        finally:
            road.close()

    def drive_to_caller(self, road: Road) -> Invoke | Recover:
        """Go as far as function or fallback would be called; the rest is the caller's."""
        effect = next(road)
        while not isinstance(effect, Invoke | Recover):
            try:
                outcome = self._perform(effect)
            except BaseException as error:  # noqa: BLE001 - the generator decides
                effect = road.throw(error)
            else:
                effect = road.send(outcome)
        return effect

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Invoke):
            return self._invoke(effect)
        if isinstance(effect, Sleep):
            self._sleep(effect.seconds)
            return None
        if isinstance(effect, WaitFor):
            return wait_sync(effect, self._now_s)
        if isinstance(effect, Recover):
            return recover_sync(effect)
        return self._race(effect)

    def _invoke(self, effect: Invoke) -> Any:
        token = _bind(effect.context) if effect.context is not _current() else None
        call, fault = self._call, effect.fault
        if fault is not None:
            call = fault.before_sync(call, effect, self._now_s)
        try:
            if self._workers is None:
                return call()
            seconds = None if effect.stop_s is None else effect.stop_s - effect.began_s
            try:
                return self._workers.run(call, seconds)
            except TimeoutError as error:
                raise AttemptTimedOutError(
                    effect.info.command, was_cut_short=effect.was_cut_short
                ) from error
        finally:
            if token is not None:
                _unbind(token)

    def _race(self, race: Race) -> Any:
        from breakwater.sdk.guard.travel.races import race_sync  # noqa: PLC0415 - for hedged calls only

        return race_sync(race, self.drive)


class AsyncDriver:
    """Performs effects in this task. call: gives the awaitable of one attempt."""

    __slots__ = ("_call", "_now_s")

    def __init__(self, call: Callable[[], Awaitable[Any]], *, now_s: Callable[[], float]) -> None:
        self._call = call
        self._now_s = now_s

    async def drive(self, road: Road) -> Any:
        """Go the whole road; returns the answer or raises."""
        try:
            effect = next(road)
            while True:
                try:
                    if isinstance(effect, Invoke):
                        outcome = await self._invoke(effect)
                    else:
                        outcome = await self._perform(effect)
                except BaseException as error:  # noqa: BLE001 - the generator decides
                    effect = road.throw(error)
                else:
                    effect = road.send(outcome)
        except StopIteration as end:
            return end.value
        finally:
            road.close()

    async def drive_to_caller(self, road: Road) -> Invoke | Recover:
        """As `SyncDriver.drive_to_caller`."""
        effect = next(road)
        while not isinstance(effect, Invoke | Recover):
            try:
                outcome = await self._perform(effect)
            except BaseException as error:  # noqa: BLE001 - the generator decides
                effect = road.throw(error)
            else:
                effect = road.send(outcome)
        return effect

    async def _perform(self, effect: Effect) -> Any:
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        if isinstance(effect, Sleep):
            await asyncio.sleep(effect.seconds)
            return None
        if isinstance(effect, WaitFor):
            await wait_async(effect, self._now_s, asyncio.get_running_loop())
            return None
        if isinstance(effect, Recover):
            answer = effect.fallback(effect.error)
            return await answer if isawaitable(answer) else answer
        assert isinstance(effect, Race), "the effects there are"
        from breakwater.sdk.guard.travel.races import AsyncRace  # noqa: PLC0415 - for hedged calls only

        return await AsyncRace(effect, self.drive).run()

    async def _invoke(self, effect: Invoke) -> Any:
        token = _bind(effect.context) if effect.context is not _current() else None
        call, fault = self._call, effect.fault
        if fault is not None:
            call = fault.before(call, effect, self._now_s)
        try:
            if effect.stop_s is None:
                return await call()
            return await limited(
                call,
                effect.stop_s - effect.began_s,
                command=effect.info.command,
                was_cut_short=effect.was_cut_short,
            )
        finally:
            if token is not None:
                _unbind(token)


async def limited(
    call: Callable[[], Awaitable[Any]], seconds: float, *, command: str, was_cut_short: bool
) -> Any:
    """Await the call until its time is up, then cancel it and raise AttemptTimedOutError."""
    import asyncio  # noqa: PLC0415 - a sync service never pays for it

    from breakwater.sdk.guard.travel.timeouts import end, timers_of  # noqa: PLC0415 - imports asyncio

    task = asyncio.current_task()
    assert task is not None, "an await outside any task"
    limit = timers_of(task.get_loop()).start(task, seconds)
    try:
        return await call()
    except asyncio.CancelledError as error:
        if end(limit):
            raise AttemptTimedOutError(command, was_cut_short=was_cut_short) from error
        raise
    finally:
        end(limit)


def wait_sync(effect: WaitFor, now_s: Callable[[], float]) -> None:
    """Sleep until the queue has an answer."""
    import threading  # noqa: PLC0415 - loaded anyway; kept beside its use

    woken = threading.Event()
    effect.queued.on_wake(woken.set)
    woken.wait(min(max(0.0, effect.until_s - now_s()), POLL_S))


async def wait_async(
    effect: WaitFor, now_s: Callable[[], float], loop: "asyncio.AbstractEventLoop"
) -> None:
    """Let others run until the queue has an answer."""
    from weakref import ref  # noqa: PLC0415 - beside its use

    woken = loop.create_future()
    known = ref(woken)

    def wake() -> None:
        future = known()
        if future is not None and not future.done():
            future.set_result(None)

    def wake_from_anywhere() -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:  # the loop was closed, and whoever waited in it is gone
            return

    effect.queued.on_wake(wake_from_anywhere)
    timer = loop.call_later(min(max(0.0, effect.until_s - now_s()), POLL_S), _wake, woken)
    try:
        await woken
    finally:
        timer.cancel()


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


def recover_sync(effect: Recover) -> Any:
    """Ask a fallback on this thread; one that has to be awaited is a mistake here."""
    error = effect.error
    if isinstance(error, CarriedStopError):
        error = error.error
    answer = effect.fallback(error)
    if isawaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise SettingsError(
            "the fallback of a sync call gave an awaitable; give it a plain function"
        ) from effect.error
    return answer
