"""Bulkhead: at most so many calls to one dependency under way; the next one is refused at once.

A pile of permits: taking one is a list pop, giving it back an append, both atomic. The fast roads
hold the list's own methods, so the list stays the same object for life; `resize` changes what is
on it. Permits are made when the pile is first found empty, so that an idle command has none.
Without a limit the pile grows whenever it is empty and only serves to count.
"""

import threading
from typing import Final

import msgspec

from breakwater.sdk.errors import CallRefusedError, SettingsError
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.verdict import Verdict

_STEP: Final = 64
_LOCK: Final = threading.RLock()
"""Held to make permits or take them off, both rare, for a few instructions."""


class BulkheadStats(msgspec.Struct, frozen=True, kw_only=True):
    """Permits in all (0: no limit), permits out now, and calls refused for want of one."""

    limit: int
    in_use: int
    rejected: int


class Bulkhead:
    """The pile; also the gate `bulkhead`. limit None: none, calls are only counted.

    permits: the pile itself; when it is empty, `replenish` may put something on it. low: the fewest
    on it since `take_peak`; who pops lowers it. owed: permits still out that a smaller limit takes
    off the pile when they come back; while it is not 0 only `try_enter` may be used.
    """

    __slots__ = (
        "__weakref__", "_total", "limit", "low", "name", "owed", "permits", "rejected",
    )  # fmt: skip

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise SettingsError(f"max_concurrent is {limit}, must be at least 1")
        self.name = "bulkhead"
        self.limit = limit
        self.rejected = 0
        self.owed = 0
        self._total = 0
        self.low = 0
        self.permits: list[None] = []

    def try_enter(self) -> bool:
        """Take a permit; False, at once, if all are out."""
        if self.owed:
            self._pay()
        permits = self.permits
        while True:
            try:
                permits.pop()
            except IndexError:
                if self.replenish():
                    continue
                self.rejected += 1
                return False
            break
        free = len(permits)
        if free < self.low:  # noqa: PLR1730 - min() is a call
            self.low = free
        return True

    def exit(self) -> None:
        """Give the permit back; exactly once for each `try_enter` that returned True."""
        self.permits.append(None)
        if self.owed:
            self._pay()

    def enter(self, call: CallInfo, now_s: float) -> Ticket:
        """A permit; raises CallRefusedError when all are out."""
        del now_s
        if not self.try_enter():
            raise CallRefusedError("bulkhead_full", call.command, call.endpoint, self.limit)
        return _TICKET

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """Give the permit back, however the attempt ended."""
        del ticket, verdict, now_s, took_s, error
        self.exit()

    def replenish(self) -> bool:
        """Make the permits that the limit allows and do not exist yet; whether there are any."""
        with _LOCK:
            missing = (
                max(_STEP, self._total)
                if self.limit is None
                else self.limit + self.owed - self._total
            )
            if missing > 0 and not self.permits:
                fresh = [None] * missing  # fails, if it does, before anything is counted
                self._total += missing
                self.low += missing
                self.permits.extend(fresh)
            return bool(self.permits)

    def resize(self, limit: int | None) -> None:
        """From now on so many; calls under way beyond it go on and their permits are not reused."""
        with _LOCK:
            self.limit = limit
            too_many = 0 if limit is None else self._total - limit
            self.owed = max(0, too_many)
            self._pay_locked()

    def _pay(self) -> None:
        with _LOCK:
            self._pay_locked()

    def _pay_locked(self) -> None:
        while self.owed:
            try:
                self.permits.pop()
            except IndexError:
                return
            self.owed -= 1
            self._total -= 1
            self.low -= 1

    def in_flight(self) -> int:
        """Permits out now."""
        return max(0, self._total - len(self.permits))

    def take_peak(self) -> int:
        """The most out at once since the last time; the present level starts the next one."""
        low, self.low = self.low, len(self.permits)
        return max(0, self._total - max(0, min(low, self.low)))

    def stats(self) -> BulkheadStats:
        """How full it is."""
        return BulkheadStats(limit=self.limit or 0, in_use=self.in_flight(), rejected=self.rejected)


_TICKET: Final = Ticket()
