"""The express road of a call that leaves this process: what it goes through while all is well.

Where breaker, bulkhead, limits of time and retries are all there is to a guard, and no fault rule
is in force, a first attempt needs neither the guard's general road nor an errand to go it. What is
not plain makes one, and goes on as if it had been there from the start: a failed attempt (to be
tried again, answered by a fallback, or raised), a late one, and one that outlasts its function.
"""

import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from breakwater.sdk.attempt import Attempt
from breakwater.sdk.context import CURRENT, CallContext, narrowed, unbind
from breakwater.sdk.discovery import Evidence
from breakwater.sdk.dispatch import drive_async, drive_sync
from breakwater.sdk.errand import Errand
from breakwater.sdk.guard import Verdict
from breakwater.sdk.guard.limiting.bulkhead import Bulkhead
from breakwater.sdk.guard.travel.code import CarriedStopError
from breakwater.sdk.guard.travel.drivers import limited
from breakwater.sdk.guard.travel.journey import Journey
from breakwater.sdk.terms import Edge, Terms

_current: Final = CURRENT.get
_bind: Final = CURRENT.set
_HANDING_OVER: Final = threading.Lock()
"""Held for a moment where an attempt passes from a dash to its errand."""


class Dash:
    """One call on the express road: its one attempt, the place it holds, and its limits.

    stop_s: when the attempt must have ended; call_stop_s: when the whole call must have.
    """

    __slots__ = (
        "_ended", "_errand", "_is_held", "attempt", "call_stop_s", "context", "endpoint",
        "is_async", "outbound", "peer", "permit", "start_s", "stop_s", "terms", "timeout_s",
    )  # fmt: skip

    is_closed = False
    """Nothing outlasts a dash; what does is an errand."""

    def __init__(
        self, outbound: Edge, endpoint: str, terms: Terms, permit: Any, *, is_async: bool
    ) -> None:
        self.outbound = outbound
        self.peer = outbound.peer
        self.endpoint = endpoint
        self.terms = terms
        self.permit = permit
        self.is_async = is_async
        self.call_stop_s: float | None = None
        self.stop_s: float | None = None
        self.timeout_s: float | None = None
        self.attempt: Attempt
        self.context: CallContext
        self.start_s: float
        self._is_held = False
        self._errand: Errand | None = None
        self._ended: tuple[BaseException | None] | None = None

    # What the attempt knows of its call

    def now_s(self) -> float:
        """The clock of its limits."""
        return self.outbound.command.now_s()

    def limits_s(self) -> tuple[float | None, float | None]:
        """When the whole call must have ended, and how long an attempt may take."""
        return self.call_stop_s, self.timeout_s

    def headers(self, budget_s: float | None) -> dict[str, str]:
        """What the next hop is told."""
        return self.outbound.headers(budget_s)

    def nodes(self) -> list[str]:
        """It is the first attempt."""
        return []

    def hold(self, attempt: Attempt) -> bool:  # noqa: ARG002 - there is no other
        """The attempt is to outlast its function."""
        self._is_held = True
        return True

    def may_repeat(self) -> bool:
        """Whether another attempt may follow if this one fails."""
        parts = self.outbound.command.parts
        return parts.retries is not None and self.terms.get("may_retry", True)

    def is_open(self) -> bool:
        """Not before it is an errand."""
        return False

    def finish(self, error: BaseException | None) -> None:
        """The held attempt is over, maybe before its function has returned."""
        with _HANDING_OVER:
            errand = self._errand
            if errand is None:
                self._ended = self._ended or (error,)
                return
        errand.finish(error)

    def drop(self) -> None:
        """The held attempt is to be ended soon, by its errand if there is one yet."""
        if self._errand is not None:
            self._errand.drop()

    # The way there and back

    def enter(self, start_s: float) -> bool:
        """Set the limits and take a place; False if this road is not for the call after all."""
        command = self.outbound.command
        parts = command.parts
        terms, config, context = self.terms, parts.config, _current()
        timeout_s = terms.get("timeout_s")
        if timeout_s is None:
            timeout_s = config.timeout_s
        total_s, call_stop_s = config.total_s, context.deadline_s
        if total_s is not None and (call_stop_s is None or start_s + total_s < call_stop_s):
            call_stop_s = start_s + total_s
        if call_stop_s is not None and call_stop_s <= start_s:
            return False
        self.start_s, self.timeout_s, self.call_stop_s = start_s, timeout_s, call_stop_s
        was_cut_short = self._limit(timeout_s if timeout_s is not None else total_s)
        if not _take_place(command.bulkhead):
            return False
        if parts.retries is not None and terms.get("may_retry", True):
            context = parts.retries.context_for(context, 1)
        stop_s = self.stop_s
        if stop_s is not None:
            context = narrowed(context, stop_s)
        self.context = context
        self.attempt = attempt = Attempt(self, 1, context.deadline_s)
        if stop_s is not None:
            attempt.is_limited, attempt.was_cut_short = True, was_cut_short
        elif context.deadline_s is not None:
            patience_s = terms.get("patience_s")
            left_s = context.deadline_s - start_s
            attempt.was_cut_short = patience_s is not None and left_s < patience_s / 2
        return True

    def _limit(self, usual_s: float | None) -> bool:
        """Set when the attempt must have ended; whether that is unusually soon."""
        if usual_s is None:  # a deadline alone is handed on, and interrupts nothing
            return False
        ends_s, call_stop_s = self.start_s + usual_s, self.call_stop_s
        if call_stop_s is None or ends_s <= call_stop_s:
            self.stop_s = ends_s
            return False
        self.stop_s = call_stop_s
        return call_stop_s - self.start_s < usual_s / 2

    def begin(self) -> None:
        """What comes before the attempt's function, within its context."""
        self.outbound.attempts += 1
        self.attempt.choose(self.terms.get("target"))

    def succeeded(self, answer: Any) -> Any:
        """The function returned; gives its answer back."""
        if self._is_held:
            self._hand_over()
            return answer
        outbound = self.outbound
        command = outbound.command
        end_s = command.now_s()
        took_s = end_s - self.start_s
        if self.stop_s is not None and end_s > self.stop_s:
            self._came_late()
            return answer
        command.bulkhead.exit()
        if took_s > command.lane.slow_s or end_s > command.statistics.turn_s:
            command.succeeded_fast(self.permit, took_s, end_s)
        else:
            command.statistics.log.append(took_s)
        self.attempt.leave(Evidence.SUCCESS)
        outbound.inflight.leave()
        outbound.record_success(self.endpoint, self.attempt, took_s)
        del self.attempt  # which knows its dash: a cycle for each call would be the collector's
        return answer

    def failed(self, error: BaseException) -> Errand | None:
        """The function raised; gives the errand that goes on, None if the error is the caller's."""
        errand = self._made_errand()
        journey = errand.journey
        errand.failed(self.attempt, error)
        journey.verdict = journey.verdict_of(error)
        self._settle(journey, journey.verdict, error)
        if isinstance(error, Exception):
            journey.failed = CarriedStopError(error) if isinstance(error, StopIteration) else error
            return errand
        journey.close(error)
        errand.close()
        return None

    def _came_late(self) -> None:
        """An answer after its time was up is used, and counts as a timeout."""
        errand = self._made_errand()
        verdict = Verdict.CANCELLED if self.attempt.was_cut_short else Verdict.TIMEOUT
        self._settle(errand.journey, verdict, None)
        errand.journey.close(None)
        errand.close()

    def _settle(self, journey: Journey, verdict: Verdict, error: BaseException | None) -> None:
        """Book the end of the attempt, and give its place back."""
        command = self.outbound.command
        command.bulkhead.exit()
        tickets = command.tickets(self.permit)
        journey.settle(journey.info, tickets, verdict, error, self.start_s)

    def _made_errand(self) -> Errand:
        """The errand that this call is from now on."""
        errand: Errand = self.outbound.errand(
            self.endpoint, self.terms, is_async=self.is_async, start_s=self.start_s
        )
        errand.adopt(self.attempt)
        return errand

    def _hand_over(self) -> None:
        """Leave the attempt to an errand that waits for its end."""
        errand = self._made_errand()
        errand.hold(self.attempt)
        road = self._rest(errand.journey)
        next(road)
        errand.keep(road)
        with _HANDING_OVER:
            self._errand, ended = errand, self._ended
        if ended is not None:
            errand.finish(ended[0])

    def _rest(self, journey: Journey) -> Generator[Any, Any, Any]:
        """The road of a held attempt; what it is sent or thrown is its end."""
        error: BaseException | None = None
        verdict = Verdict.SUCCESS
        try:
            yield
        except BaseException as raised:
            error = raised
            verdict = journey.verdict_of(raised)
            raise
        finally:
            journey.verdict = verdict
            self._settle(journey, verdict, error)
            if isinstance(error, Exception) and journey.may_fall_back(error):
                journey.note_missing()
            journey.close(error)
            del error


def _take_place(bulkhead: Bulkhead) -> bool:
    """Take a permit without a word; the general road is for calls that find none."""
    permits = bulkhead.permits
    if not permits and not bulkhead.replenish():
        return False
    try:
        permits.pop()
    except IndexError:  # another thread was faster
        return False
    bulkhead.low = min(bulkhead.low, len(permits))
    return True


def dash(outbound: Edge, endpoint: str, terms: Terms, *, is_async: bool) -> Dash | None:
    """A call that is under way on the express road, None if that is not open to it."""
    command = outbound.command
    permit = command.lane.timed if command.is_timed else command.lane.plain
    faults = outbound.runtime.faults
    if permit is None or faults.at(outbound.point) or faults.pool:
        return None
    made = Dash(outbound, endpoint, terms, permit, is_async=is_async)
    if not made.enter(command.now_s()):
        return None
    outbound.inflight.enter()
    return made


def run_sync(course: Dash, fn: Callable[[Attempt], Any]) -> Any:
    """Make the attempt on this thread, and whatever has to follow it."""
    token = _bind(course.context)
    try:
        course.begin()
        answer = fn(course.attempt)
    except BaseException as error:
        unbind(token)
        errand = course.failed(error)
        if errand is None:
            raise
    else:
        unbind(token)
        return course.succeeded(answer)
    return drive_sync(errand, fn)


async def run_async(course: Dash, fn: Callable[[Attempt], Awaitable[Any]]) -> Any:
    """Make the attempt in this task, and whatever has to follow it."""
    token = _bind(course.context)
    try:
        course.begin()
        if course.stop_s is None:
            answer = await fn(course.attempt)
        else:
            answer = await limited(
                lambda: fn(course.attempt),
                course.stop_s - course.start_s,
                command=course.outbound.command.name,
                was_cut_short=course.attempt.was_cut_short,
            )
    except BaseException as error:
        unbind(token)
        errand = course.failed(error)
        if errand is None:
            raise
    else:
        unbind(token)
        return course.succeeded(answer)
    return await drive_async(errand, fn)
