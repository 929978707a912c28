"""The general road: the whole logic of a guarded call in one generator, without any waiting in it.

A generator yields an effect where the world is needed, and a driver (`drivers.py`, one for threads
and one for asyncio) performs it and sends the outcome back or throws the error in:

    Invoke(...)                run the function once, until `stop_s` at most  -> its result
    Sleep(seconds)             wait                                           -> None
    WaitFor(queued, until_s)   wait until woken, or until then                -> None
    Recover(fallback, error)   ask a fallback, or give its items              -> its answer
    Race(...)                  attempts side by side (hedging)                -> a Finish

Order, outermost first: fronts (request cache, single flight), stale answer and fallback chain,
total deadline, retry or hedge, the gates in order (throttle, rate, breaker, bulkhead or adaptive
limit), attempt timeout, faults on purpose. Whatever leaves an attempt, be it cancellation or the
end of the process, passes the one `finally` that gives every ticket back with its verdict.
"""

from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec

from breakwater.sdk.context import CallContext, narrowed
from breakwater.sdk.errors import BadResultError, CallRefusedError, DeadlineExceededError
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.gate import CallInfo, Delay, Gate, Queued, Ticket
from breakwater.sdk.guard.roles import Answer, Fault, Front, Hedges, Lead, Threads
from breakwater.sdk.guard.travel.code import Fallback
from breakwater.sdk.guard.travel.journey import Journey
from breakwater.sdk.guard.verdict import Verdict


class Invoke(msgspec.Struct, frozen=True):
    """Run the function once, with `context` current.

    stop_s: when it must have ended (monotonic), None: whenever. began_s: when this was decided.
    was_cut_short: a near deadline left it half of its usual time or less. fault: befalls it first.
    """

    info: CallInfo
    context: CallContext
    began_s: float
    stop_s: float | None
    was_cut_short: bool
    fault: Fault | None = None


class Sleep(msgspec.Struct, frozen=True):
    """Wait so many seconds."""

    seconds: float


class WaitFor(msgspec.Struct, frozen=True):
    """Wait until `on_wake` of the place calls, or until `until_s` (monotonic)."""

    queued: Queued
    until_s: float


class Recover(msgspec.Struct, frozen=True):
    """Ask the fallback for an answer in place of the error."""

    fallback: Fallback
    error: Exception


class Race(msgspec.Struct, frozen=True):
    """Attempts side by side: start(1) now, start(n+1) when `may_start()` after each delay_s.

    The first result wins and the others are cancelled; the outcome is a `Finish`, error or not.
    verdicts: of the attempts that ended, by number. threads: where sync attempts run; None: one
    attempt is made on the caller's thread.
    """

    start: Callable[[int], "Road"]
    delay_s: float
    most: int
    may_start: Callable[[], bool]
    verdicts: dict[int, Verdict]
    threads: Threads | None


class Finish(msgspec.Struct):
    """How a race ended, and by which attempt; its error is taken out by who raises it."""

    number: int
    result: Any
    error: BaseException | None


_UNANSWERED: Final = object()
"""Nothing stands in for the answer: the error is for the caller."""

Effect = Invoke | Sleep | WaitFor | Recover | Race
Road = Generator[Effect, Any, Any]


def travel(journey: Journey) -> Road:
    """One whole call.

    No frame on the way holds the error that passes through it: a cycle of error, traceback and
    frame for every failed call would be left to the collector, in the midst of an outage.
    """
    try:
        fronts = () if journey.key is None else journey.parts.fronts
        answer = yield from _through_fronts(journey, fronts)
    except BaseException as error:
        journey.close(error)
        raise
    journey.close(None)
    return answer


def travel_once(journey: Journey) -> Road:
    """One attempt as a whole call, for code that cannot be run again: a block, a generator."""
    try:
        answer = yield from attempt(journey, journey.info)
    except BaseException as error:
        if journey.ordered is None:
            if isinstance(error, Exception) and journey.may_fall_back(error):
                journey.note_missing()
            journey.close(error)
        else:
            journey.close(None)
        raise
    journey.close(None)
    return answer


def travel_untouched(journey: Journey) -> Road:
    """Code that cannot be run again, while its command is not enabled: nobody asks or counts."""
    yield Invoke(journey.info, journey.info.context, journey.start_s, None, False)


def travel_streamed(journey: Journey) -> Road:
    """A generator's one attempt; where it fails, the items of fallbacks go on in its place.

    The driver gives the items of a fallback at `Recover`, and is back after the last.
    """
    try:
        yield from _streamed(journey)
    except BaseException as error:
        journey.close(error if journey.ordered is None else None)
        raise
    journey.close(None)


def _streamed(journey: Journey) -> Road:
    try:
        yield from attempt(journey, journey.info)
    except Exception as error:
        if journey.ordered is not None or not journey.may_fall_back(error):
            raise
        if (yield from _fallen_back(journey, error)) is _UNANSWERED:
            raise


def _through_fronts(journey: Journey, fronts: tuple[Front, ...]) -> Road:
    """What the fronts know, else the call, whose end they are told."""
    if not fronts:
        return (yield from _recovered(journey))
    front = fronts[0]
    found = front.enter(journey.key, journey.now_s())
    if not isinstance(found, Answer | Lead):
        found = yield from _wait_in(journey, found)
    if isinstance(found, Answer):
        journey.note(EventType.RESPONSE_FROM_CACHE)
        return found.value
    assert isinstance(found, Lead), "a front gives an answer, the lead, or a place to wait"
    try:
        answer = yield from _through_fronts(journey, fronts[1:])
    except BaseException as error:
        front.failed(found, error, journey.now_s())
        raise
    front.done(found, answer, journey.now_s())
    return answer


def _recovered(journey: Journey) -> Road:
    """The call, and if it fails what can stand in for it."""
    last_good = None if journey.key is None else journey.parts.last_good
    if last_good is not None:
        found = last_good.fresh(journey.key, journey.now_s())
        if found is not None:
            journey.note(EventType.RESPONSE_FROM_CACHE)
            return found.value
    try:
        answer = yield from _tried(journey)
    except Exception as error:
        if not journey.may_fall_back(error):
            raise
        answer = yield from _fallen_back(journey, error)
        if answer is _UNANSWERED:
            raise
        return answer
    if last_good is not None:
        last_good.keep(journey.key, answer, journey.now_s())
    return answer


def _fallen_back(journey: Journey, error: Exception) -> Road:
    """The last good answer, else that of the first fallback that has one, else `_UNANSWERED`."""
    parts = journey.parts
    if not parts.config.fallback.enabled:
        return _unanswered(journey, error, EventType.FALLBACK_DISABLED)
    if parts.last_good is not None and journey.key is not None:
        found = parts.last_good.find(journey.key, journey.now_s())
        if found is not None:
            journey.note_stale(found.age_s)
            return found.value
    if not journey.going_on(journey.fallbacks):
        return _unanswered(journey, error, EventType.FALLBACK_MISSING)
    places = parts.fallback_places()
    if not places.try_enter():
        return _unanswered(journey, error, EventType.FALLBACK_REJECTION)
    try:
        answer = yield from _first_answer(journey, error)
    finally:
        places.exit()
    journey.note(EventType.FALLBACK_SUCCESS)
    return answer


def _first_answer(journey: Journey, error: Exception) -> Road:
    waiting = journey.going_on(journey.fallbacks)
    while True:
        fallback, *waiting = waiting
        try:
            answer = yield Recover(fallback, error)
        except Exception:
            waiting = journey.going_on(waiting)
            if waiting:
                continue
            journey.note(EventType.FALLBACK_FAILURE)
            raise
        journey.from_fallback = True
        return answer


def _unanswered(journey: Journey, error: Exception, why: EventType) -> Any:
    """Say why; a result that was judged bad is given to the caller after all."""
    journey.note(why)
    return error.result if isinstance(error, BadResultError) else _UNANSWERED


def _tried(journey: Journey) -> Road:
    """Attempts until one succeeds, or the retry part or the total deadline says stop."""
    info, retries = journey.info, journey.retries
    if retries is None:
        return (yield from _next(journey, info))
    retries.began(info, journey.start_s)
    try:
        while True:
            try:
                return (yield from _next(journey, info))
            except Exception as error:
                if journey.retries is None:  # the beginning of its answer is in use already
                    raise
                now_s = journey.now_s()
                left_s = None if journey.stop_s is None else journey.stop_s - now_s
                delay_s = retries.after(info, error, journey.verdict, now_s=now_s, left_s=left_s)
                if delay_s is None:
                    journey.tell_retry_refused(error, retries.why_not(info))
                    raise
            info.attempt += 1
            journey.tell_retry(delay_s)
            if delay_s > 0:
                journey.verdict = Verdict.NOT_TRIED  # should the caller leave meanwhile
                yield Sleep(delay_s)
    finally:
        retries.ended(info, journey.verdict, journey.now_s())


def _next(journey: Journey, info: CallInfo) -> Road:
    """The next attempt; one that was made on a fast road already only ends here."""
    if journey.failed is None:
        return (yield from _once(journey, info))
    failed, journey.failed = journey.failed, None
    try:
        raise failed
    finally:
        del failed


def _once(journey: Journey, info: CallInfo) -> Road:
    """One attempt, or several side by side if the call may be repeated and is slow."""
    hedges = journey.hedges
    if hedges is None:
        return (yield from attempt(journey, info))
    delay_s = hedges.delay_s(journey.now_s())
    if delay_s is None:
        answer = yield from attempt(journey, info)
        hedges.succeeded()
        return answer
    race = _race(journey, info, hedges, delay_s)
    finish: Finish = yield race
    journey.verdict = race.verdicts.get(finish.number, journey.verdict)
    if finish.error is not None:
        error, finish.error = finish.error, None  # the driver still holds the finish
        try:
            raise error
        finally:
            del error  # see `travel`
    hedges.succeeded(won=finish.number > 1)
    return finish.result


def _race(journey: Journey, info: CallInfo, hedges: Hedges, delay_s: float) -> Race:
    verdicts: dict[int, Verdict] = {}

    def copy(number: int) -> Road:
        own = info
        if number > 1:
            journey.tell_hedge(number, delay_s)
            own = msgspec.structs.replace(info, is_hedge=True)
        return (yield from attempt(journey, own, verdicts, number))

    return Race(
        start=copy,
        delay_s=delay_s,
        most=1 + hedges.max_hedges,
        may_start=lambda: hedges.may_send(journey.now_s()),
        verdicts=verdicts,
        threads=hedges.threads,
    )


def attempt(
    journey: Journey,
    info: CallInfo,
    verdicts: dict[int, Verdict] | None = None,
    number: int = 1,
) -> Road:
    """One attempt: through the gates, then the function, and whatever happens out again.

    verdicts: of a race, where those who lost may end at any time, on any thread; the journey's own
    verdict is then that of the race.
    """
    parts = journey.parts
    held: list[tuple[Gate, Ticket]] = []
    verdict, began_s = Verdict.NOT_TRIED, None
    error: BaseException | None = None
    is_judged = info.injected = False
    try:
        journey.limit(journey.now_s())
        for gate in parts.gates:
            ticket = yield from _pass(journey, gate, info)
            held.append((gate, ticket))
        now_s = journey.now_s()
        stop_s, was_cut_short = journey.limit(now_s)
        began_s, verdict = now_s, Verdict.CANCELLED
        context = journey.context_for(info)
        if stop_s is not None:
            context = narrowed(context, stop_s)
        fault = journey.fault_for(info)
        result = yield Invoke(info, context, began_s, stop_s, was_cut_short, fault)
        verdict = journey.verdict_of_result(result, stop_s, was_cut_short=was_cut_short)
        if verdict is Verdict.FAILURE and journey.ordered is None:
            is_judged = True
            raise BadResultError(info.command, result)  # noqa: TRY301 - the way out is one for all
    except BaseException as raised:
        error = raised
        if began_s is not None and not is_judged:
            verdict = journey.verdict_of(raised)
        raise
    else:
        return result
    finally:
        if verdicts is None:
            journey.verdict = verdict
        else:
            verdicts[number] = verdict
        journey.settle(info, held, verdict, error, began_s)
        del error


def _pass(journey: Journey, gate: Gate, info: CallInfo) -> Road:
    """Leave to go on from one gate, waited for if it says so."""
    found = gate.enter(info, journey.now_s())
    if isinstance(found, Ticket):
        return found
    if not isinstance(found, Delay):
        return (yield from _wait_in(journey, found))
    try:
        if journey.stop_s is not None and journey.now_s() + found.seconds > journey.stop_s:
            raise DeadlineExceededError(service=info.command, endpoint=info.endpoint)  # noqa: TRY301 - the way out is one for all
        yield Sleep(found.seconds)
    except BaseException as error:
        gate.leave(found.ticket, Verdict.NOT_TRIED, now_s=journey.now_s(), took_s=0.0, error=error)
        raise
    return found.ticket


def _wait_in(journey: Journey, queued: Queued) -> Road:
    """Wait in a queue until it has an answer, for as long as the whole call may take."""
    try:
        while True:
            now_s = journey.now_s()
            claimed = queued.claim(now_s)
            if claimed is not None:
                return claimed
            until_s = queued.until_s
            if journey.stop_s is not None:
                until_s = min(until_s, journey.stop_s)
                if now_s >= journey.stop_s:
                    raise DeadlineExceededError(service=journey.info.command)  # noqa: TRY301 - the way out is one for all
            yield WaitFor(queued, until_s)
    except CallRefusedError:
        raise
    except BaseException:
        queued.abandon(journey.now_s())
        raise
