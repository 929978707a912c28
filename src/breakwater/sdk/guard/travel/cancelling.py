"""The fast road of async calls with a limit of time; on its own because it needs asyncio."""

from asyncio import CancelledError, current_task, get_running_loop
from collections.abc import Awaitable, Callable
from functools import wraps
from time import monotonic
from typing import Any, Final

from breakwater.sdk.context import CURRENT, unbind
from breakwater.sdk.errors import AttemptTimedOutError
from breakwater.sdk.guard.travel.fast import kit_of, shut_out
from breakwater.sdk.guard.travel.journey import Journey
from breakwater.sdk.guard.travel.lane import INF
from breakwater.sdk.guard.travel.ports import Subject
from breakwater.sdk.guard.travel.timeouts import (
    OVER,
    TASK,
    Limit,
    end,
    timers_of,
    unlimited,
)

_current: Final = CURRENT.get
_bind: Final = CURRENT.set
_unbind: Final = CURRENT.reset
Held = tuple[Any, float, float]
"""The permit, when the attempt began, and when it must end."""
Asked = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], dict[str, Any]]
"""The function and its arguments."""


def timed_async_road(  # noqa: C901 - written out flat, see `fast.py`
    command: Subject, fn: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The coroutine function `fn` under guard with a limit of time, at which it is cancelled."""
    lane, statistics, bulkhead, now = kit_of(command)
    permits, log, clock = bulkhead.permits, statistics.log.append, _Clock(now)
    pop, push = permits.pop, permits.append

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = lane.timed
        start_s = now()
        before = _current()
        usual_s = lane.timeout_s
        stop_s = start_s + usual_s
        deadline_s = before.deadline_s
        if deadline_s is not None and deadline_s < stop_s:
            stop_s = deadline_s
        if permit is None or not permits or stop_s <= start_s:
            if permit is None and start_s < lane.shut_until_s:
                raise shut_out(command.name, lane, statistics, start_s)
            return await command.detour_async(fn, args, kwargs)
        # before the permit is taken: outside any task it raises
        limit = clock.here(stop_s) or clock.start(start_s, stop_s) if usual_s < INF else unlimited()
        try:
            pop()
        except IndexError:
            limit[TASK] = None
            return await command.detour_async(fn, args, kwargs)
        free = len(permits)
        if free < bulkhead.low:  # noqa: PLR1730 - min() is a call
            bulkhead.low = free
        token = _bind(lane.context_at(before, stop_s))
        try:
            result = await (fn(*args, **kwargs) if kwargs else fn(*args))
        except BaseException as error:
            push(None)
            unbind(token)
            outcome = _failed(command, error, limit, (permit, start_s, stop_s), (fn, args, kwargs))
            if outcome is None:
                raise
            if isinstance(outcome, Journey):
                return await command.resume_async(outcome, fn, args, kwargs)
            try:
                raise outcome from error
            finally:
                del outcome  # see `travel`
        _unbind(token)
        push(None)
        end_s = now()
        took_s = end_s - start_s
        if limit[OVER] or took_s > lane.slow_s or end_s > statistics.turn_s:
            _succeeded(command, end_s, limit, (permit, start_s, stop_s), (fn, args, kwargs))
        else:
            limit[TASK] = None
            log(took_s)
        return result

    return guarded


class _Clock:
    """Begins limits of the current task, by times of the command's clock.

    here: for the loop that called last; gives None in another one.
    """

    __slots__ = ("_is_real", "here")

    def __init__(self, now: Callable[[], float]) -> None:
        self._is_real = now is monotonic
        self.here: Callable[[float], Limit | None] = _nowhere

    def start(self, start_s: float, stop_s: float) -> Limit:
        """In the loop that runs now; raises outside any task."""
        loop = get_running_loop()
        timers = timers_of(loop)
        if not self._is_real or not timers.is_plain:
            return timers.start(current_task(loop), stop_s - start_s)
        self.here = timers.start_here
        return timers.start_at(current_task(loop), stop_s)


def _nowhere(_stop_s: float) -> None:
    """No loop has called yet."""


def _failed(
    command: Subject, error: BaseException, limit: Limit, held: Held, asked: Asked
) -> Journey | AttemptTimedOutError | None:
    """Book an attempt that failed. What goes on: the call, or an error in place of `error`."""
    permit, start_s, stop_s = held
    if not end(limit) or not isinstance(error, CancelledError):
        return command.failed_fast(error, permit, start_s, *asked)
    was_cut_short = stop_s - start_s < command.lane.timeout_s / 2
    late = AttemptTimedOutError(command.name, was_cut_short=was_cut_short)
    late.__cause__ = error
    return command.failed_fast(late, permit, start_s, *asked) or late


def _succeeded(command: Subject, end_s: float, limit: Limit, held: Held, asked: Asked) -> None:
    """Book an answer that came late, or that is more than an entry in a list."""
    permit, start_s, stop_s = held
    end(limit)
    if limit[OVER]:
        was_cut_short = stop_s - start_s < command.lane.timeout_s / 2
        command.late_fast(permit, start_s, *asked, was_cut_short=was_cut_short)
    else:
        command.succeeded_fast(permit, end_s - start_s, end_s)
