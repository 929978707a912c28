"""What is known of one call on the general road so far, and how its steps are booked."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import msgspec

from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallRefusedError,
    DeadlineExceededError,
)
from breakwater.sdk.guard.events import (
    AttemptEnded,
    CallEnded,
    CallRefused,
    EventType,
    FallbackAsked,
    HedgeSent,
    Kind,
    RetryMade,
    RetryRefused,
)
from breakwater.sdk.guard.gate import CallInfo, Gate, Ticket
from breakwater.sdk.guard.roles import Fault
from breakwater.sdk.guard.travel.code import (
    CarriedStopError,
    Fallback,
    UnawaitedError,
    gives_items,
)
from breakwater.sdk.guard.travel.parts import Parts
from breakwater.sdk.guard.verdict import Verdict


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call, beside its answer.

    outcome: event types in the order they happened. attempts: how many were begun. seconds: of
    the whole call. from_fallback: a fallback answered; stale_s: the age of the last good answer
    that stood in, None if none did. injected: a fault rule acted on an attempt.
    """

    command: str
    outcome: tuple[EventType, ...]
    attempts: int
    seconds: float
    from_fallback: bool = False
    stale_s: float | None = None
    injected: bool = False


Watch = Callable[[CallInfo, Verdict, BaseException | None, float | None], None]
"""Told the end of each attempt, before anybody else acts on it: the seconds it took are None for
one that was refused. It may complete the error with what only the adapter knows."""


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter says of one call, over what its command says of all.

    endpoint: what for. fallbacks and timeout_s: instead of the command's, None: those.
    may_retry: False for a call that must not be repeated. key: of this call in the caches; None: it
    is neither kept nor shared.
    """

    endpoint: str = ""
    fallbacks: tuple[Fallback, ...] | None = None
    timeout_s: float | None = None
    may_retry: bool = True
    watch: Watch | None = None
    key: Hashable = None


_NO_OPTIONS: Final = CallOptions()


class Journey:
    """One call: its limits, its verdict so far, its events."""

    __slots__ = (
        "ended_s",
        "endings",
        "failed",
        "fallbacks",
        "from_fallback",
        "hedges",
        "info",
        "injected",
        "is_served",
        "key",
        "now_s",
        "ordered",
        "outcome",
        "parts",
        "retries",
        "stale_s",
        "start_s",
        "started",
        "stop_s",
        "timeout_s",
        "verdict",
        "watch",
    )

    def __init__(
        self,
        parts: Parts,
        info: CallInfo,
        *,
        start_s: float,
        key: Hashable = None,
        options: CallOptions = _NO_OPTIONS,
    ) -> None:
        self.parts = parts
        self.info = info
        self.start_s = start_s
        self.key = key
        given = options.fallbacks
        self.fallbacks = parts.code.fallbacks if given is None else given
        self.now_s = parts.now_s
        limit_s = options.timeout_s
        self.timeout_s = parts.config.timeout_s if limit_s is None else limit_s
        self.retries = parts.retries if options.may_retry else None
        may_hedge = options.may_retry and parts.code.idempotent
        self.hedges = parts.hedges if may_hedge else None
        self.watch = options.watch
        total_s, deadline_s = parts.config.total_s, info.context.deadline_s
        stop_s = None if total_s is None else start_s + total_s
        if deadline_s is not None and (stop_s is None or deadline_s < stop_s):
            stop_s = deadline_s
        self.stop_s = stop_s
        self.verdict = Verdict.NOT_TRIED
        self.ordered: Verdict | None = None  # by the user's code, whatever the block ends in
        self.outcome: list[EventType] = []
        self.failed: Exception | None = None  # the end of a first attempt made on a fast road
        self.started = 0
        self.from_fallback = self.injected = False
        self.is_served = False  # a generator gave items already
        self.stale_s: float | None = None
        self.ended_s = start_s
        self.endings: list[Any] | None = None if parts.tap is None else []

    def limit(self, now_s: float) -> tuple[float | None, bool]:
        """When an attempt that begins now must end, and whether that is unusually soon.

        Raises DeadlineExceededError when no time is left.
        """
        stop_s, timeout_s = self.stop_s, self.timeout_s
        if stop_s is not None and stop_s <= now_s:
            raise DeadlineExceededError(service=self.info.command, endpoint=self.info.endpoint)
        usual_s = timeout_s if timeout_s is not None else self.parts.config.total_s
        if usual_s is None:  # a deadline alone is handed on, and interrupts nothing
            return None, False
        ends_s = now_s + usual_s
        if stop_s is None or ends_s <= stop_s:
            return ends_s, False
        return stop_s, stop_s - now_s < usual_s / 2

    def context_for(self, info: CallInfo) -> CallContext:
        """What the function is run with: those below are told of attempts that may follow."""
        if self.retries is None:
            return info.context
        return self.retries.context_for(info.context, info.attempt)

    def fault_for(self, info: CallInfo) -> Fault | None:
        """What fault rules make of an attempt, None where none concerns the command."""
        injector = self.parts.injector
        if injector is None:
            return None
        fault = injector.draw()
        if fault.is_hit:
            info.injected = self.injected = True
        return fault

    def verdict_of(self, error: BaseException) -> Verdict:
        """What the end of an attempt that was begun says of the callee."""
        if self.ordered is not None:
            return self.ordered
        if isinstance(error, CarriedStopError):
            error = error.error
        if isinstance(error, CallRefusedError) and error.reason == "never_started":
            return Verdict.NOT_TRIED
        return self.parts.code.verdict_of(error)

    def verdict_of_result(
        self, result: Any, stop_s: float | None, *, was_cut_short: bool
    ) -> Verdict:
        """What an answer says of the callee; a late one counts as a timeout though it is used."""
        if self.ordered is not None:
            return self.ordered
        is_failure = self.parts.code.is_failure
        if is_failure is not None and is_failure(result):
            return Verdict.FAILURE
        if stop_s is not None and self.now_s() > stop_s:
            return Verdict.CANCELLED if was_cut_short else Verdict.TIMEOUT
        return Verdict.SUCCESS

    def may_fall_back(self, error: Exception) -> bool:
        """Whether something may stand in for an answer that failed so."""
        if isinstance(error, UnawaitedError):
            return False
        falls_back = self.parts.code.falls_back
        if falls_back is not None:
            return falls_back(error)
        return self.verdict is not Verdict.IGNORED and self.verdict is not Verdict.SUCCESS

    def going_on(self, fallbacks: Sequence[Fallback]) -> Sequence[Fallback]:
        """Those that may be asked now: where items went out already, only generators can go on."""
        return [one for one in fallbacks if gives_items(one)] if self.is_served else fallbacks

    def settle(
        self,
        info: CallInfo,
        held: Sequence[tuple[Gate, Ticket]],
        verdict: Verdict,
        error: BaseException | None,
        began_s: float | None,
    ) -> None:
        """Book the end of an attempt and give every ticket back, innermost first."""
        parts, now_s = self.parts, self.now_s()
        took_s = 0.0 if began_s is None else now_s - began_s
        try:
            if self.watch is not None:
                self.watch(info, verdict, error, None if began_s is None else took_s)
            if parts.tap is not None:
                parts.tap.settled(self, info, verdict, error, None if began_s is None else took_s)
            if parts.statistics.log or now_s > parts.statistics.turn_s:
                parts.statistics.fold(now_s)  # what is kept comes before what follows
        finally:  # whatever those told of it do
            for gate, ticket in reversed(held):
                gate.leave(ticket, verdict, now_s=now_s, took_s=took_s, error=error)
        parts.refresh()
        event = _event_of(verdict, error)
        if event is not None:
            self.note(event)
        if began_s is not None:
            self.started += 1
            parts.statistics.executed(took_s, now_s)
        elif isinstance(error, DeadlineExceededError):
            parts.past_deadline += 1
        if Kind.ATTEMPT in parts.hooks.wanted and began_s is not None:
            parts.hooks.tell(
                AttemptEnded(
                    **parts.stamp(),
                    outcome=() if event is None else (event,),
                    seconds=took_s,
                    attempt=info.attempt,
                    error=error,
                    injected=info.injected,
                    is_hedge=info.is_hedge,
                )
            )
        if Kind.REFUSED in parts.hooks.wanted and verdict is Verdict.NOT_TRIED:
            parts.hooks.tell(
                CallRefused(
                    **parts.stamp(),
                    outcome=() if event is None else (event,),
                    reason=error.reason if isinstance(error, CallRefusedError) else "past_deadline",
                    attempt=info.attempt,
                )
            )

    def note(self, event: EventType) -> None:
        """Count one event of this call."""
        self.outcome.append(event)
        self.parts.statistics.count(event, self.now_s())

    def note_missing(self) -> None:
        """The call failed and nothing can stand in."""
        is_enabled = self.parts.config.fallback.enabled
        self.note(EventType.FALLBACK_MISSING if is_enabled else EventType.FALLBACK_DISABLED)

    def note_stale(self, age_s: float) -> None:
        """The last good answer stands in."""
        self.stale_s = age_s
        self.from_fallback = True
        self.parts.stale_answers += 1
        self.parts.stale_age_s = max(self.parts.stale_age_s, age_s)
        self.note(EventType.FALLBACK_SUCCESS)
        if Kind.FALLBACK in self.parts.hooks.wanted:
            self.parts.hooks.tell(FallbackAsked(**self.parts.stamp(), stale_s=age_s))

    def close(self, error: BaseException | None) -> None:
        """The whole call ended."""
        self.ended_s = self.now_s()
        if error is not None:
            is_error = isinstance(error, Exception)
            self.note(EventType.EXCEPTION_THROWN if is_error else EventType.CANCELLED)
        parts = self.parts
        if parts.tap is not None:
            parts.tap.closed(self)
        seconds = self.ended_s - self.start_s
        if self.started or self.from_fallback:
            parts.statistics.ended(seconds, self.ended_s)
        if parts.hooks.wanted:
            self._tell_end(error, seconds)

    def _tell_end(self, error: BaseException | None, seconds: float) -> None:
        parts, hooks = self.parts, self.parts.hooks
        fallen = tuple(_FALLBACKS.intersection(self.outcome))
        if fallen and self.stale_s is None and Kind.FALLBACK in hooks.wanted:
            hooks.tell(FallbackAsked(**parts.stamp(), outcome=fallen, error=error))
        if Kind.CALL in hooks.wanted:
            hooks.tell(
                CallEnded(
                    **parts.stamp(),
                    outcome=tuple(self.outcome),
                    seconds=seconds,
                    attempts=self.started,
                    error=error,
                    key=self.key,
                    injected=self.injected,
                )
            )

    # What the pipeline tells

    def tell_retry(self, delay_s: float) -> None:
        """The attempt of `info` follows."""
        parts = self.parts
        if Kind.RETRY in parts.hooks.wanted:
            attempt = self.info.attempt
            parts.hooks.tell(RetryMade(**parts.stamp(), attempt=attempt, delay_s=delay_s))

    def tell_retry_refused(self, error: Exception, reason: str) -> None:
        """None follows the attempt of `info`."""
        parts = self.parts
        if Kind.RETRY_REFUSED in parts.hooks.wanted:
            attempt = self.info.attempt
            parts.hooks.tell(
                RetryRefused(**parts.stamp(), attempt=attempt, reason=reason, error=error)
            )

    def tell_hedge(self, number: int, delay_s: float) -> None:
        """A further copy is sent."""
        parts = self.parts
        if Kind.HEDGE in parts.hooks.wanted:
            parts.hooks.tell(HedgeSent(**parts.stamp(), number=number, delay_s=delay_s))

    def report(self) -> CallReport:
        """What became of it."""
        return CallReport(
            command=self.parts.name,
            outcome=tuple(self.outcome),
            attempts=self.started,
            seconds=self.ended_s - self.start_s,
            from_fallback=self.from_fallback,
            stale_s=self.stale_s,
            injected=self.injected,
        )


def _event_of(verdict: Verdict, error: BaseException | None) -> EventType | None:
    """The event an attempt is counted by; None for a caller who left, which the call counts."""
    if verdict is Verdict.NOT_TRIED:
        if not isinstance(error, CallRefusedError):
            return None
        return _REFUSALS.get(error.reason) or (
            EventType.SHORT_CIRCUITED
            if error.reason.startswith("breaker_")
            else EventType.SEMAPHORE_REJECTED
        )
    if verdict is Verdict.CANCELLED:
        is_late = error is None or isinstance(error, AttemptTimedOutError)
        return EventType.TIMEOUT if is_late else None
    return _EVENTS[verdict]


_EVENTS: Final = {
    Verdict.SUCCESS: EventType.SUCCESS,
    Verdict.FAILURE: EventType.FAILURE,
    Verdict.TIMEOUT: EventType.TIMEOUT,
    Verdict.IGNORED: EventType.BAD_REQUEST,
}
_REFUSALS: Final = {
    "pool_full": EventType.THREAD_POOL_REJECTED,
    "never_started": EventType.THREAD_POOL_REJECTED,
}
_FALLBACKS: Final = frozenset(
    (
        EventType.FALLBACK_SUCCESS,
        EventType.FALLBACK_FAILURE,
        EventType.FALLBACK_REJECTION,
        EventType.FALLBACK_DISABLED,
        EventType.FALLBACK_MISSING,
    )
)
