"""One call that leaves this process, from its first attempt to the last byte of its answer."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from breakwater.model import CallPoint, FaultRule, Status
from breakwater.sdk.attempt import Attempt, shortest_s
from breakwater.sdk.calls import NO_NODE, Outcome
from breakwater.sdk.choice import evidence_of
from breakwater.sdk.errors import AttemptTimedOutError, DeadlineExceededError
from breakwater.sdk.faults import CallScope
from breakwater.sdk.guard import Fallback, Verdict
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.travel.journey import Journey
from breakwater.sdk.guard.travel.pipeline import Invoke, Road, travel
from breakwater.sdk.outcomes import AnswerFailedError, mark
from breakwater.sdk.terms import Edge, Terms

CONNECT: Final = "connect"
"""The endpoint of rules at the point `pool`."""


class Errand:
    """One call: its attempts so far, and their records.

    Which attempt is the final one is known when the next begins or the call ends, so a record
    waits until then.
    """

    def __init__(self, outbound: Edge, endpoint: str, terms: Terms, *, is_async: bool) -> None:
        self.is_async = is_async
        self.outbound = outbound
        self.peer = outbound.peer
        self.endpoint = endpoint
        self.terms = terms
        self.journey: Journey
        self.tried: list[str] = []
        self._attempts: dict[int, Attempt] = {}
        self._pending: list[Outcome] = []
        self._lock = threading.Lock()
        self._held: Attempt | None = None
        self._road: Road | None = None
        self._ended: tuple[BaseException | None] | None = None
        self._spare: list[tuple[Any, Callable[[], Any]]] = []
        self._fallback_s: float | None = None
        self.is_closed = False

    def now_s(self) -> float:
        """The clock of its limits."""
        return self.journey.now_s()

    def limits_s(self) -> tuple[float | None, float | None]:
        """When the whole call must have ended, and how long an attempt may take."""
        return self.journey.stop_s, self.journey.timeout_s

    def road(self) -> Road:
        """The way of this call through the guard, or past a guard that is switched off."""
        journey = self.journey
        return travel(journey) if journey.parts.config.enabled else _unguarded(journey)

    def headers(self, budget_s: float | None) -> dict[str, str]:
        """What the next hop is told."""
        return self.outbound.headers(budget_s)

    def nodes(self) -> list[str]:
        """Where attempts of this call went, those under way among them."""
        return [*self.tried, *(one.node for one in tuple(self._attempts.values()))]

    def begin(self, effect: Invoke) -> Attempt:
        """The next attempt."""
        attempt = Attempt(self, effect.info.attempt, effect.context.deadline_s)
        attempt.is_limited = effect.stop_s is not None
        attempt.was_cut_short = effect.was_cut_short or self._is_near(attempt, effect)
        with self._lock:
            self._held = self._ended = None
            self._attempts[id(effect.info)] = attempt
            self._write(len(self._pending))
        self.outbound.attempts += 1
        return attempt

    def adopt(self, attempt: Attempt) -> None:
        """Take on the first attempt, which was begun before this errand was made."""
        attempt.belongs_to(self)
        self._attempts[id(self.journey.info)] = attempt

    def _is_near(self, attempt: Attempt, effect: Invoke) -> bool:
        """Whether the deadline leaves less than half of what the library itself would wait."""
        patience_s, left_s = self.terms.get("patience_s"), attempt.left_s()
        if effect.stop_s is not None or patience_s is None or left_s is None:
            return False
        return left_s < patience_s / 2

    def hits(self, attempt: Attempt) -> list[FaultRule]:
        """The fault rules that act on this attempt at the point of the dependency."""
        point = self.outbound.point
        if not self.outbound.runtime.faults.at(point):
            return []
        return self._hits(attempt, point, self.endpoint)

    def hits_on_pool(self, attempt: Attempt) -> list[FaultRule]:
        """Those that act on its wait for a connection, where the library has one of its own."""
        if not self.outbound.runtime.faults.pool or "no_connection" not in self.terms:
            return []
        return self._hits(attempt, "pool", CONNECT)

    def _hits(self, attempt: Attempt, point: CallPoint, endpoint: str) -> list[FaultRule]:
        header = self.terms.get("header", _no_header)
        scope = CallScope(point=point, peer=self.peer, endpoint=endpoint, header=header)
        found = self.outbound.runtime.faults.hits(scope)
        attempt.injected = attempt.injected or bool(found)
        return found

    def no_connection(self, attempt: Attempt, status: int | None) -> Exception:
        """What the library raises when it gets no connection; status: of the injected error."""
        return self.terms["no_connection"](attempt, status)

    def patience_s(self, attempt: Attempt) -> float | None:
        """How long an injected wait lasts before the library would give up."""
        return shortest_s(attempt.left_s(), self.terms.get("patience_s"))

    def pool_patience_s(self, attempt: Attempt) -> float | None:
        """How long an injected wait for a connection does."""
        return shortest_s(attempt.left_s(), self.terms.get("pool_patience_s"))

    def late(self, error: TimeoutError) -> Exception:
        """What the library raises when an answer does not come in time."""
        late = self.terms.get("late")
        return error if late is None else late()

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        """Note on the error of an attempt what it says of the callee."""
        if isinstance(error, AnswerFailedError):
            self._spare.append((error.response, error.discard))
        if not isinstance(error, Exception):
            return
        status, detail = self.outbound.status_of(error)
        mark(error, status, detail, was_cut_short=attempt.was_cut_short)

    def noting(self, fallback: Fallback) -> Fallback:
        """`fallback`, and when it was asked."""

        def ask(error: Exception) -> Any:
            self._fallback_s = self.journey.now_s()
            return fallback(error)

        return ask

    def settled(
        self, info: CallInfo, verdict: Verdict, error: BaseException | None, took_s: float | None
    ) -> None:
        """An attempt ended, or was refused (took_s is None).

        Its record is kept until it is known whether it was the final one.
        """
        attempt = self._attempts.pop(id(info), None)
        if attempt is None:
            attempt = Attempt(self, info.attempt, None)
        if isinstance(error, AttemptTimedOutError):
            error.service, error.endpoint, error.instance = self.peer, self.endpoint, attempt.node
        status, detail = attempt.status, attempt.detail
        if error is not None:
            status, detail = self.outbound.status_of(error)
            if verdict is Verdict.CANCELLED and status is Status.TIMEOUT:
                detail = "deadline"
        if isinstance(error, AttemptTimedOutError):
            error.detail = detail
        attempt.leave(evidence_of(attempt, verdict, error, status, detail))
        self.tried.append(attempt.node)
        outcome = Outcome(
            status=status,
            seconds=took_s or 0.0,
            detail=detail,
            node=NO_NODE if took_s is None else attempt.node,
            attempt=info.attempt,
            is_final=False,
            injected=attempt.injected,
        )
        with self._lock:
            self._pending.append(outcome)
            if self.is_closed:
                self._write(1)
        self.outbound.past_deadline += took_s is None and isinstance(error, DeadlineExceededError)

    def _write(self, count: int) -> None:
        """Write the first records that wait; under the lock."""
        for outcome in self._pending[:count]:
            self.outbound.runtime.called.record(self.peer, self.endpoint, outcome)
        del self._pending[:count]

    def close(self) -> None:
        """The call is over."""
        outbound, journey = self.outbound, self.journey
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
            if self._pending:
                good = [n for n, one in enumerate(self._pending) if one.status is Status.SUCCESS]
                last = good[-1] if good else -1
                self._pending[last] = msgspec.structs.replace(self._pending[last], is_final=True)
            self._write(len(self._pending))
        outbound.inflight.leave()
        if journey.from_fallback:
            outbound.fallbacks += 1
            seconds = 0.0 if self._fallback_s is None else journey.now_s() - self._fallback_s
            outcome = Outcome(status=Status.FALLBACK, seconds=seconds)
            outbound.runtime.called.record(self.peer, self.endpoint, outcome)
        outbound.fallback_failures += EventType.FALLBACK_FAILURE in journey.outcome
        if not self._attempts:  # none is left behind that has to be recorded
            journey.watch = None  # which knows this errand: a cycle would be the collector's

    # An attempt that outlasts its function

    def hold(self, attempt: Attempt) -> bool:
        """See `Attempt.hold`."""
        journey, parts = self.journey, self.journey.parts
        is_kept = journey.key is not None and (bool(parts.fronts) or parts.last_good is not None)
        if self.may_overlap or is_kept:
            return False
        self._held = attempt
        return True

    def keep(self, road: Road) -> bool:
        """Whether the attempt that just returned is to go on; its road then waits here."""
        with self._lock:
            if self._held is None:
                return False
            self._road = road
            ended = self._ended
        if ended is not None:  # by another thread, before this one was here
            self.finish(ended[0])
        return True

    def may_repeat(self) -> bool:
        """Whether another attempt may follow one that fails."""
        return self.journey.retries is not None

    def is_open(self) -> bool:
        """Whether a held attempt waits for its end."""
        return self._road is not None

    def finish(self, error: BaseException | None) -> None:
        """The held attempt is over."""
        with self._lock:
            road, self._road = self._road, None
            if road is None:
                if self._held is not None and not self.is_closed:
                    self._ended = self._ended or (error,)
                return
        held, self._held = self._held, None
        journey = self.journey
        journey.fallbacks, journey.retries = (), None  # its beginning is with the caller already
        if error is None:
            journey.ordered = Verdict.SUCCESS
        elif held is not None:
            self.failed(held, error)
        try:
            if error is None:
                road.send(None)
            else:
                road.throw(error)
        except StopIteration:
            return
        except BaseException as raised:
            if raised is not error:
                raise
        finally:
            road.close()
            self.close()

    def drop(self) -> None:
        """See `Attempt.drop`."""
        if self.is_open():
            DROPPED.append(self)

    # Answers that nobody will read

    @property
    def may_overlap(self) -> bool:
        """Whether several attempts may be under way at once: raced, or left behind in a pool."""
        return self.journey.hedges is not None or self.journey.parts.workers is not None

    def answered(self, answer: Any) -> None:
        """An attempt has a good answer, which may not be the one that is used."""
        discard = self.terms.get("discard")
        if discard is not None and self.may_overlap:
            self._spare.append((answer, lambda: discard(answer)))

    def take_spare(self, used: Any = None) -> list[Callable[[], Any]]:
        """What discards the answers so far but the one that is used."""
        spare, self._spare = self._spare, []
        return [discard for answer, discard in spare if answer is not used]


def _no_header(_name: str) -> None:
    return None


def _unguarded(journey: Journey) -> Road:
    """One attempt that nothing refuses, limits or counts; it is recorded all the same."""
    began_s = journey.now_s()
    error: BaseException | None = None
    try:
        return (yield Invoke(journey.info, journey.info.context, began_s, None, False))
    except BaseException as raised:
        error = raised
        raise
    finally:
        if journey.watch is not None:
            verdict = Verdict.SUCCESS if error is None else Verdict.FAILURE
            journey.watch(journey.info, verdict, error, journey.now_s() - began_s)
        del error


DROPPED: Final[deque[Errand]] = deque()
"""Calls whose answers were held by somebody who is gone; see `Attempt.drop`."""
