"""The fast roads: what a call goes through while all is well, written out flat.

A command has one `Lane`, which says whether the fast roads are open. `plain` is breaker, bulkhead,
statistics and a look at the deadline; `timed` adds the attempt timeout and the narrowed context.
Each holds the permit that the closed breaker gives to all, or None: then the call takes the
general road, which knows everything. On success nothing else runs; a failure is handed over to the
general road as "the first attempt ended like this".

One comparison of the duration with `slow_s` covers both the slow call and the success that the
breaker must hear of at once (`slow_s` is then below zero). Permits are popped from a list and
durations appended to another, both atomic, so there is no lock here. The clock is read twice. A
call without keywords is made without any, since to hand on an empty dictionary takes a copy of it.

The four roads (the timed async one is in `cancelling.py`) differ in a few lines each and are
deliberately not shared: a function call costs about as much as everything they do.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from types import CoroutineType
from typing import Any, Final

from breakwater.sdk.context import CURRENT
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.counting.statistics import SHUT_OUT, Statistics
from breakwater.sdk.guard.limiting.bulkhead import Bulkhead
from breakwater.sdk.guard.travel.lane import INF, OPEN, Lane
from breakwater.sdk.guard.travel.plain import not_awaited
from breakwater.sdk.guard.travel.ports import Subject

_current: Final = CURRENT.get
_bind: Final = CURRENT.set
_unbind: Final = CURRENT.reset
_SHUT_OUT: Final = SHUT_OUT
Kit = tuple[Lane, Statistics, Bulkhead, Callable[[], float]]


def sync_road(  # noqa: C901 - written out flat, see above
    command: Subject, fn: Callable[..., Any]
) -> Callable[..., Any]:
    """`fn` under the guard of `command`."""
    lane, statistics, bulkhead, now = kit_of(command)
    permits, log = bulkhead.permits, statistics.log.append
    pop, push = permits.pop, permits.append

    @wraps(fn)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = lane.plain
        start_s = now()
        if permit is None:
            if start_s < lane.shut_until_s:
                raise shut_out(command.name, lane, statistics, start_s)
            return command.detour_sync(fn, args, kwargs)
        deadline_s = _current().deadline_s
        if not permits or (deadline_s is not None and deadline_s <= start_s):
            return command.detour_sync(fn, args, kwargs)
        try:
            pop()
        except IndexError:
            return command.detour_sync(fn, args, kwargs)
        free = len(permits)
        if free < bulkhead.low:  # noqa: PLR1730 - min() is a call
            bulkhead.low = free
        try:
            result = fn(*args, **kwargs) if kwargs else fn(*args)
            if type(result) is CoroutineType:
                raise not_awaited(result, fn, args)  # noqa: TRY301 - booked as an error of `fn`
        except BaseException as error:
            push(None)
            journey = command.failed_fast(error, permit, start_s, fn, args, kwargs)
            if journey is None:
                raise
            return command.resume_sync(journey, fn, args, kwargs)
        push(None)
        end_s = now()
        took_s = end_s - start_s
        if took_s > lane.slow_s or end_s > statistics.turn_s:
            command.succeeded_fast(permit, took_s, end_s)
        else:
            log(took_s)
        return result

    return guarded


def async_road(
    command: Subject, fn: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The coroutine function `fn` under the guard of `command`."""
    lane, statistics, bulkhead, now = kit_of(command)
    permits, log = bulkhead.permits, statistics.log.append
    pop, push = permits.pop, permits.append

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = lane.plain
        start_s = now()
        if permit is None:
            if start_s < lane.shut_until_s:
                raise shut_out(command.name, lane, statistics, start_s)
            return await command.detour_async(fn, args, kwargs)
        deadline_s = _current().deadline_s
        if not permits or (deadline_s is not None and deadline_s <= start_s):
            return await command.detour_async(fn, args, kwargs)
        try:
            pop()
        except IndexError:
            return await command.detour_async(fn, args, kwargs)
        free = len(permits)
        if free < bulkhead.low:  # noqa: PLR1730 - min() is a call
            bulkhead.low = free
        try:
            result = await (fn(*args, **kwargs) if kwargs else fn(*args))
        except BaseException as error:
            push(None)
            journey = command.failed_fast(error, permit, start_s, fn, args, kwargs)
            if journey is None:
                raise
            return await command.resume_async(journey, fn, args, kwargs)
        push(None)
        end_s = now()
        took_s = end_s - start_s
        if took_s > lane.slow_s or end_s > statistics.turn_s:
            command.succeeded_fast(permit, took_s, end_s)
        else:
            log(took_s)
        return result

    return guarded


def timed_sync_road(  # noqa: C901 - written out flat, see above
    command: Subject, fn: Callable[..., Any]
) -> Callable[..., Any]:
    """`fn` under guard with a limit of time, which it finds as its deadline."""
    lane, statistics, bulkhead, now = kit_of(command)
    permits, log = bulkhead.permits, statistics.log.append
    pop, push = permits.pop, permits.append

    @wraps(fn)
    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: C901 - as above
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
            return command.detour_sync(fn, args, kwargs)
        try:
            pop()
        except IndexError:
            return command.detour_sync(fn, args, kwargs)
        free = len(permits)
        if free < bulkhead.low:  # noqa: PLR1730 - min() is a call
            bulkhead.low = free
        if usual_s == INF:  # retries without a limit of time; a deadline alone interrupts nothing
            stop_s = INF
        token = _bind(lane.context_at(before, stop_s))
        try:
            result = fn(*args, **kwargs) if kwargs else fn(*args)
            if type(result) is CoroutineType:
                raise not_awaited(result, fn, args)  # noqa: TRY301 - booked as an error of `fn`
        except BaseException as error:
            _unbind(token)
            push(None)
            journey = command.failed_fast(error, permit, start_s, fn, args, kwargs)
            if journey is None:
                raise
            return command.resume_sync(journey, fn, args, kwargs)
        _unbind(token)
        push(None)
        end_s = now()
        took_s = end_s - start_s
        if end_s > stop_s:
            was_cut_short = stop_s - start_s < usual_s / 2
            command.late_fast(permit, start_s, fn, args, kwargs, was_cut_short=was_cut_short)
        elif took_s > lane.slow_s or end_s > statistics.turn_s:
            command.succeeded_fast(permit, took_s, end_s)
        else:
            log(took_s)
        return result

    return guarded


def kit_of(command: Subject) -> Kit:
    """What a road is made of, and keeps at hand."""
    return command.lane, command.statistics, command.bulkhead, command.now_s


def shut_out(name: str, lane: Lane, statistics: Statistics, now_s: float) -> CallRefusedError:
    """The refusal of a breaker that lets nobody through now, counted; nothing of it is kept."""
    if now_s > statistics.turn_s:
        statistics.turn(now_s)
    statistics.events.append(_SHUT_OUT)
    why = lane.shut_for
    if why is OPEN:
        return CallRefusedError(why, name, "", None, lane.shut_until_s - now_s)
    return CallRefusedError(why, name)
