"""One `ipc.client.call` record for each attempt of a command, for calls that no adapter records.

A database or a cache behind a plain `Command` writes no telemetry, and a fallback hides its
failure from everybody further up: the records of its callers are all there is to see it by. What
goes the fast roads is read from the command's rolling figures once a second; the rest is
gathered here attempt by attempt, and written in the same way.
"""

import threading
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import Status
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.histogram import Histogram, Latencies
from breakwater.sdk.outcomes import status_of_error

if TYPE_CHECKING:
    from breakwater.sdk.guard.gate import CallInfo
    from breakwater.sdk.guard.travel.journey import Journey


class Ending(msgspec.Struct, frozen=True):
    """How an attempt ended, as it is recorded. was_sent: False for one that was refused."""

    status: Status
    detail: str = ""
    attempt: int = 1
    is_final: bool = True
    was_sent: bool = True
    injected: bool = False


FALLBACK: Final = Ending(Status.FALLBACK, was_sent=False)
AT_ONCE: Final = Ending(Status.SUCCESS)
SHUT: Final = Ending(Status.SHORT_CIRCUITED, "breaker_open", was_sent=False)
FULL: Final = Ending(Status.REJECTED, "bulkhead_full", was_sent=False)
MAX_ENDINGS: Final = 200
"""Kinds of endings kept apart; further ones lose their detail."""


class Tap:
    """Of one command. Attempts wait in their journey until it is known which was the final one.

    told_shut, told_full: refusals it was told of; the others are in the command's counters only.
    """

    __slots__ = ("_gathered", "_lock", "told_full", "told_shut")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gathered: dict[Ending, list[float]] = {}
        self.told_shut = self.told_full = 0

    def settled(
        self,
        journey: "Journey",
        info: "CallInfo",
        verdict: Verdict,
        error: BaseException | None,
        took_s: float | None,
    ) -> None:
        """An attempt of a journey ended, or was refused (took_s is None)."""
        status, detail = _status_of(verdict, error)
        if isinstance(error, CallRefusedError) and took_s is None:
            with self._lock:
                if status is Status.SHORT_CIRCUITED:
                    self.told_shut += 1
                else:
                    self.told_full += 1
        was_sent = took_s is not None
        ending = Ending(status, detail, info.attempt, False, was_sent, info.injected)
        waiting = journey.endings
        if waiting is None:  # the journey is over: a hedge that lost
            self._add(ending, took_s or 0.0)
            return
        waiting.append((ending, took_s or 0.0))

    def closed(self, journey: "Journey") -> None:
        """A journey is over."""
        waiting, journey.endings = journey.endings, None
        if waiting:
            ending, took_s = waiting[-1]
            waiting[-1] = (msgspec.structs.replace(ending, is_final=True), took_s)
        for ending, took_s in waiting or ():
            self._add(ending, took_s)
        if journey.from_fallback:
            self._add(FALLBACK, 0.0)

    def succeeded(self, took_s: float) -> None:
        """A first attempt on a fast road, told to its breaker at once and so not in the log."""
        self._add(AT_ONCE, took_s)

    def _add(self, ending: Ending, took_s: float) -> None:
        with self._lock:
            gathered = self._gathered
            if ending not in gathered and len(gathered) >= MAX_ENDINGS:
                ending = msgspec.structs.replace(ending, detail="")
            gathered.setdefault(ending, []).append(took_s)

    def take(self) -> dict[Ending, Latencies]:
        """What was gathered since the last time."""
        with self._lock:
            gathered, self._gathered = self._gathered, {}
        found: dict[Ending, Latencies] = {}
        for ending, seconds in gathered.items():
            histogram = Histogram()
            histogram.add(seconds)
            found[ending] = histogram.snapshot()
        return found


def refusals(since_start: tuple[int, ...]) -> tuple[int, int]:
    """Refusals by the breaker, and for want of a place, of a command's counters."""
    full = since_start[EventType.SEMAPHORE_REJECTED] + since_start[EventType.THREAD_POOL_REJECTED]
    return since_start[EventType.SHORT_CIRCUITED], full


def _status_of(verdict: Verdict, error: BaseException | None) -> tuple[Status, str]:
    if verdict is Verdict.SUCCESS:
        return Status.SUCCESS, ""
    if verdict is Verdict.IGNORED:
        return Status.BAD_REQUEST, "" if error is None else type(error).__name__
    if error is None:  # late, or called a failure by the user's code
        return _WITHOUT_ERROR.get(verdict, Status.CANCELLED), ""
    return status_of_error(error)


_WITHOUT_ERROR: Final = {
    Verdict.FAILURE: Status.UNEXPECTED_ERROR,
    Verdict.TIMEOUT: Status.TIMEOUT,
}
