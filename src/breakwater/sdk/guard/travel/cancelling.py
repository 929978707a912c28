"""The fast road of async calls with a limit of time; on its own because it needs asyncio."""

from asyncio import CancelledError, current_task, get_running_loop
from collections.abc import Awaitable, Callable
from functools import wraps
from time import monotonic
from typing import Any, Final

from breakwater.sdk.context import CURRENT, unbind
from breakwater.sdk.errors import AttemptTimedOutError
from breakwater.sdk.guard.travel.fast import shut_out
from breakwater.sdk.guard.travel.lane import INF
from breakwater.sdk.guard.travel.ports import Subject
from breakwater.sdk.guard.travel.timeouts import OVER, TASK, Timers, end, timers_of, unlimited

_current: Final = CURRENT.get
_bind: Final = CURRENT.set
_unbind: Final = CURRENT.reset


def timed_async_road(  # noqa: C901, PLR0915 - written out flat, see `fast.py`
    command: Subject, fn: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The coroutine function `fn` under guard with a limit of time, at which it is cancelled."""
    lane, statistics, bulkhead, now = (
        command.lane, command.statistics, command.bulkhead, command.now_s,
    )  # fmt: skip
    permits, log = bulkhead.permits, statistics.log.append
    pop, push = permits.pop, permits.append
    is_real = now is monotonic
    timers: Timers | None = None  # of the loop that called last; others look theirs up

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: C901, PLR0912, PLR0915 - as above
        nonlocal timers
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
                raise shut_out(command, start_s)
            return await command.detour_async(fn, args, kwargs)
        if usual_s == INF:
            stop_s, limit = INF, unlimited()
        else:  # before the permit is taken: outside any task it raises
            loop = get_running_loop()
            mine = timers
            if mine is None or mine.loop is not loop:
                mine = timers = timers_of(loop)
            task = current_task(loop)
            if is_real and mine.is_plain and task is not None:
                limit = mine.start_at(task, stop_s)
            else:
                limit = mine.start(task, stop_s - start_s)
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
            result = await fn(*args, **kwargs)
        except BaseException as error:
            push(None)
            unbind(token)
            is_late = end(limit) and isinstance(error, CancelledError)
            if not is_late:
                journey = command.failed_fast(error, permit, start_s, fn, args, kwargs)
                if journey is None:
                    raise
                return await command.resume_async(journey, fn, args, kwargs)
            late = AttemptTimedOutError(command.name, was_cut_short=stop_s - start_s < usual_s / 2)
            late.__cause__ = error
            journey = command.failed_fast(late, permit, start_s, fn, args, kwargs)
            try:
                if journey is None:
                    raise late from error
            finally:
                del late  # see `travel`
            return await command.resume_async(journey, fn, args, kwargs)
        _unbind(token)
        push(None)
        end_s = now()
        took_s = end_s - start_s
        if limit[OVER]:
            end(limit)
            was_cut_short = stop_s - start_s < usual_s / 2
            command.late_fast(permit, start_s, fn, args, kwargs, was_cut_short=was_cut_short)
            return result
        limit[TASK] = None
        if took_s > lane.slow_s or end_s > statistics.turn_s:
            command.succeeded_fast(permit, took_s, end_s)
        else:
            log(took_s)
        return result

    return guarded
