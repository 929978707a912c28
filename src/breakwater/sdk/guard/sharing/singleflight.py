"""Single flight: of equal calls at one time one is made, the others wait for its end.

The first caller of a key leads; those who come while it is under way follow, in whatever thread
or event loop they are, and get the same answer or a fresh copy of the same error. A leader that is
cancelled hands its lead to the follower who has waited longest, so nobody suffers for another's
leaving. Who leads a key and asks for it again, directly or further down, is not made to wait for
himself: that call is made apart.

Keys are compared by the interpreter's own dictionary without any lock of ours; flights have a lock
each, held for a few instructions.
"""

import threading
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from breakwater.sdk.context import current
from breakwater.sdk.errors import DeadlineExceededError
from breakwater.sdk.guard.gate import Queued
from breakwater.sdk.guard.roles import Answer, Lead
from breakwater.sdk.guard.sharing.replay import replay

FOREVER_S: Final = float("inf")
_LEADING: ContextVar[tuple["Flight", ...]] = ContextVar("breakwater_flights", default=())


class Flight:
    """One call under way, or ended, and those who wait for it."""

    __slots__ = (
        "_error",
        "_followers",
        "_lock",
        "_table",
        "_value",
        "ended_s",
        "is_deserted",
        "key",
    )

    def __init__(self, key: Hashable, table: "dict[Hashable, Flight]") -> None:
        self.key = key
        self._table = table
        self._lock = threading.RLock()
        self._followers: list[Follower] = []
        self._value: Any = None
        self._error: BaseException | None = None
        self.ended_s: float | None = None
        self.is_deserted = False

    def join(self, command: str) -> "Follower | None":
        """A place among those who wait, None where nobody leads any more."""
        deadline_s = current().deadline_s
        follower = Follower(self, command, FOREVER_S if deadline_s is None else deadline_s)
        with self._lock:
            if self.is_deserted:
                return None
            if self.ended_s is None:
                self._followers.append(follower)
        if self.ended_s is not None:
            follower.wake()
        return follower

    def land(self, value: Any, error: BaseException | None, now_s: float) -> None:
        """The outcome, for all who wait and all who come later."""
        with self._lock:
            self._value = value
            self._error = None if error is None else replay(error)
            self.ended_s = now_s
            followers, self._followers = self._followers, []
        for follower in followers:
            follower.wake()

    def hand_over(self) -> bool:
        """The leader left; whether somebody leads in its place."""
        with self._lock:
            heir = self._followers.pop(0) if self._followers else None
            if heir is None:
                self.is_deserted = True
            else:
                heir.is_heir = True
        if heir is None:
            self.forget()
            return False
        heir.wake()
        return True

    def abandon(self, follower: "Follower") -> None:
        """A follower left; a lead it was handed goes on to the next."""
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)
            was_heir, follower.is_heir = follower.is_heir, False
        if was_heir:
            self.hand_over()

    def forget(self) -> None:
        """Take it out of its table: the next caller of the key makes a call of its own."""
        if self._table.get(self.key) is self:
            self._table.pop(self.key, None)

    @property
    def has_answer(self) -> bool:
        """Whether it ended well."""
        return self.ended_s is not None and self._error is None

    def answer(self, now_s: float) -> Answer | None:
        """The outcome, None while there is none; raises a copy of the leader's error."""
        if self.ended_s is None:
            return None
        if self._error is not None:
            raise replay(self._error)
        return Answer(self._value, max(0.0, now_s - self.ended_s))


class FlightLead(Lead):
    """Leads a flight; None: makes its call apart from all others."""

    flight: Flight | None = None


class Follower:
    """A `Queued` whose `claim` gives an `Answer`, or a `Lead` when the leader left."""

    __slots__ = ("_command", "_flight", "_is_woken", "_lock", "_wake", "is_heir", "until_s")

    def __init__(self, flight: Flight, command: str, until_s: float) -> None:
        self.until_s = until_s
        self.is_heir = False
        self._lock = threading.RLock()
        self._flight = flight
        self._command = command
        self._wake: Callable[[], None] | None = None
        self._is_woken = False

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is an answer, at once if there is one."""
        with self._lock:
            if not self._is_woken:
                self._wake = wake
                return
        wake()

    def wake(self) -> None:
        """There is something to claim."""
        with self._lock:
            self._is_woken = True
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def claim(self, now_s: float) -> Any:
        """An Answer, a Lead, or None; raises the leader's error, DeadlineExceededError."""
        answer = self._flight.answer(now_s)
        if answer is not None:
            return answer
        if self.is_heir:
            self.is_heir = False
            return lead(self._flight)
        if now_s >= self.until_s:
            self._flight.abandon(self)
            raise DeadlineExceededError(service=self._command)
        return None

    def abandon(self, now_s: float) -> None:
        """The follower leaves; a lead it was handed goes to the next."""
        del now_s
        self._flight.abandon(self)


def lead(flight: Flight) -> FlightLead:
    """Lead `flight` in this context, and whatever is started from it."""
    _LEADING.set((*(f for f in _LEADING.get() if f.ended_s is None), flight))
    return FlightLead(flight.key, flight)


def unlead(flight: Flight) -> None:
    """This context leads `flight` no more."""
    leading = _LEADING.get()
    if flight in leading:
        _LEADING.set(tuple(other for other in leading if other is not flight))


def leads(flight: Flight) -> bool:
    """Whether this work is part of the call that others of `flight` wait for."""
    return flight in _LEADING.get()


def is_departure(error: BaseException) -> bool:
    """Whether the leader left (cancelled, interrupted) rather than failed."""
    return not isinstance(error, Exception)


class SingleFlightStats(msgspec.Struct, frozen=True, kw_only=True):
    """Flights under way; calls led and followed, leads handed over, all since the start."""

    under_way: int
    led: int
    followed: int
    handed_over: int


class SingleFlight:
    """The flights of one command."""

    name = "single flight"

    def __init__(self, command: str) -> None:
        self._command = command
        self._flights: dict[Hashable, Flight] = {}
        self._lock = threading.RLock()
        self._led = self._followed = self._handed_over = 0

    def enter(self, key: Hashable, now_s: float) -> Answer | Lead | Queued:
        """Lead the call of `key`, or wait for the one that is under way."""
        del now_s
        while True:
            fresh = Flight(key, self._flights)
            flight = self._flights.setdefault(key, fresh)
            if flight is fresh or leads(flight):
                self._count(led=1)
                return lead(flight) if flight is fresh else FlightLead(key)
            follower = flight.join(self._command)
            if follower is not None:
                self._count(followed=1)
                return follower
            flight.forget()

    def done(self, lead: Lead, value: Any, now_s: float) -> None:
        """The leader has an answer, which all who wait get too."""
        self._land(lead, value, None, now_s)

    def failed(self, lead: Lead, error: BaseException, now_s: float) -> None:
        """The leader has none: its followers fail alike, or one leads if it only left."""
        if not is_departure(error):
            self._land(lead, None, error, now_s)
            return
        flight = lead.flight if isinstance(lead, FlightLead) else None
        if flight is None:
            return
        unlead(flight)
        if flight.hand_over():
            self._count(handed_over=1)

    def _land(self, lead: Lead, value: Any, error: BaseException | None, now_s: float) -> None:
        flight = lead.flight if isinstance(lead, FlightLead) else None
        if flight is None:
            return
        unlead(flight)
        flight.forget()
        flight.land(value, error, now_s)

    def _count(self, *, led: int = 0, followed: int = 0, handed_over: int = 0) -> None:
        with self._lock:
            self._led += led
            self._followed += followed
            self._handed_over += handed_over

    def stats(self) -> SingleFlightStats:
        """What is under way and what was."""
        with self._lock:
            return SingleFlightStats(
                under_way=len(self._flights),
                led=self._led,
                followed=self._followed,
                handed_over=self._handed_over,
            )
