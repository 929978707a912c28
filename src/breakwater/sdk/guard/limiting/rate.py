"""A rate limiter: at most so many calls in a stretch of time, the rest wait for a turn or go.

A schedule hands out turns, which are points in time: `reserve` gives the earliest one that keeps
to the rate. A turn that has come is gone through at once; one within `max_wait_s` is waited for,
already reserved, so nobody overtakes and nobody is woken in vain; else the call is refused and
told when to come again. A turn given back before its time goes to the next caller, and one whose
call was not made after all is undone, so that an open breaker behind the limiter uses up nothing.

Schedules (`RateConfig.schedule`): `window`, the exact sliding log; `gcra`, the generic cell rate
algorithm (ITU-T I.371); `cycle`, that of Resilience4j's AtomicRateLimiter.
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, Protocol

import msgspec

from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import RateConfig
from breakwater.sdk.guard.gate import CallInfo, Delay, Ticket
from breakwater.sdk.guard.verdict import Verdict


class Schedule(Protocol):
    """Hands out turns; each call under the gate's lock."""

    def reserve(self, now_s: float, latest_s: float) -> float | None:
        """The earliest turn from `now_s` to `latest_s`, reserved; None if it is later."""
        ...

    def earliest_s(self, now_s: float) -> float:
        """When the next turn is, not reserved."""
        ...

    def undo(self, turn_s: float, now_s: float) -> None:
        """The turn was not used: as if it had not been reserved, as far as can be told."""
        ...


class Turn(Ticket):
    """Leave to go at a point in time."""

    __slots__ = ("turn_s",)

    def __init__(self, turn_s: float) -> None:
        self.turn_s = turn_s


class RateStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls let through at once, after a wait, and refused; returned: turns to come, given back."""

    at_once: int
    after_wait: int
    refused: int
    returned: int


class RateLimiter:
    """The gate of one command's rate."""

    name = "rate limiter"

    def __init__(self, config: RateConfig) -> None:
        self.config = config
        self._schedule = _SCHEDULES[config.schedule](config)
        self._lock = threading.RLock()
        self._returned: list[float] = []
        self._at_once = self._after_wait = self._refused = 0

    def enter(self, call: CallInfo, now_s: float) -> Ticket | Delay:
        """A turn now or soon; raises CallRefusedError (`rate_limited`) if the next is too late."""
        with self._lock:
            turn_s = self._take(now_s)
            if turn_s is None:
                self._refused += 1
                wait_s = self._schedule.earliest_s(now_s) - now_s
            elif turn_s <= now_s:
                self._at_once += 1
                return Turn(now_s)
            else:
                self._after_wait += 1
                return Delay(seconds=turn_s - now_s, ticket=Turn(turn_s))
        raise CallRefusedError(
            "rate_limited", call.command, call.endpoint, self.config.calls, wait_s
        )

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """Give the turn back if the call was not made, or its time has not come."""
        del took_s, error
        assert isinstance(ticket, Turn), "a ticket of another gate"
        if verdict is not Verdict.NOT_TRIED and verdict is not Verdict.CANCELLED:
            return
        with self._lock:
            if ticket.turn_s > now_s:
                heappush(self._returned, ticket.turn_s)
            elif verdict is Verdict.NOT_TRIED:
                self._schedule.undo(ticket.turn_s, now_s)

    def _take(self, now_s: float) -> float | None:
        """A turn that was given back, else a new one."""
        while self._returned and self._returned[0] < now_s:
            self._schedule.undo(heappop(self._returned), now_s)
        latest_s = now_s + self.config.max_wait_s
        fresh_s = self._schedule.earliest_s(now_s)
        if self._returned and self._returned[0] <= min(fresh_s, latest_s):
            return heappop(self._returned)
        return self._schedule.reserve(now_s, latest_s)

    def stats(self) -> RateStats:
        """What happened since the start."""
        with self._lock:
            return RateStats(
                at_once=self._at_once,
                after_wait=self._after_wait,
                refused=self._refused,
                returned=len(self._returned),
            )


class _Window:
    """The last `calls` turns in order; the next is `per_s` after the `calls`-th from the end."""

    def __init__(self, config: RateConfig) -> None:
        self._calls = config.calls
        self._per_s = config.per_s
        self._turns: list[float] = []

    def earliest_s(self, now_s: float) -> float:
        turns = self._turns
        if len(turns) < self._calls:
            return now_s
        return max(now_s, turns[-self._calls] + self._per_s)

    def reserve(self, now_s: float, latest_s: float) -> float | None:
        turn_s = self.earliest_s(now_s)
        if turn_s > latest_s:
            return None
        insort(self._turns, turn_s)
        if len(self._turns) >= 2 * self._calls + _SPARE:  # amortised: the old half is done with
            del self._turns[: -self._calls]
        return turn_s

    def undo(self, turn_s: float, now_s: float) -> None:
        del now_s
        place = bisect_left(self._turns, turn_s)
        if place < len(self._turns) and self._turns[place] == turn_s:
            del self._turns[place]


class _Gcra:
    """`tat`, the theoretical arrival time: a call conforms from tat - tolerance on."""

    def __init__(self, config: RateConfig) -> None:
        self._interval_s = config.per_s / config.calls
        burst = config.calls if config.burst is None else config.burst
        self._tolerance_s = (burst - 1) * self._interval_s
        self._tat_s = self._busy_since_s = float("-inf")

    def earliest_s(self, now_s: float) -> float:
        return max(now_s, self._tat_s - self._tolerance_s)

    def reserve(self, now_s: float, latest_s: float) -> float | None:
        turn_s = self.earliest_s(now_s)
        if turn_s > latest_s:
            return None
        if turn_s > self._tat_s:
            self._tat_s = self._busy_since_s = turn_s
        self._tat_s += self._interval_s
        return turn_s

    def undo(self, turn_s: float, now_s: float) -> None:
        """Only a turn since the last pause still shows in `tat`; a pause has paid for earlier."""
        del now_s
        if turn_s >= self._busy_since_s:
            self._tat_s -= self._interval_s


class _Cycle:
    """`calls` permits for each period, counted from the first call; below zero lies the future."""

    def __init__(self, config: RateConfig) -> None:
        self._calls = config.calls
        self._per_s = config.per_s
        self._origin_s: float | None = None
        self._cycle = 0
        self._permits = config.calls

    def _turn(self, now_s: float) -> None:
        """Move on to the period of `now_s`; periods in between each bring their permits."""
        if self._origin_s is None:
            self._origin_s = now_s
        cycle = int((now_s - self._origin_s) // self._per_s)
        passed = cycle - self._cycle
        if passed > 0:
            self._permits = min(self._calls, self._permits + passed * self._calls)
            self._cycle = cycle

    def earliest_s(self, now_s: float) -> float:
        self._turn(now_s)
        if self._permits > 0 or self._origin_s is None:
            return now_s
        ahead = -self._permits // self._calls + 1
        return max(now_s, self._origin_s + (self._cycle + ahead) * self._per_s)

    def reserve(self, now_s: float, latest_s: float) -> float | None:
        turn_s = self.earliest_s(now_s)
        if turn_s > latest_s:
            return None
        self._permits -= 1
        return turn_s

    def undo(self, turn_s: float, now_s: float) -> None:
        self._turn(now_s)
        assert self._origin_s is not None, "a turn was given"
        if turn_s >= self._origin_s + self._cycle * self._per_s:
            self._permits = min(self._calls, self._permits + 1)


_SPARE: Final = 64
_SCHEDULES: Final[dict[str, Callable[[RateConfig], Schedule]]] = {
    "window": _Window,
    "gcra": _Gcra,
    "cycle": _Cycle,
}
