"""Hedging: a second copy of a call that is slow, and whichever answers first is used.

A tail that comes from a few unlucky calls (a pause of the collector, a full queue at one replica)
is not met by both copies. The copy is sent when a call is slower than the command's own 95th
percentile, so that about one call in twenty has one, and only out of a budget that successes fill:
at most `budget_percent` extra calls per hundred that succeed, none when nothing succeeds. A copy
that fails, unless for good, makes room for the next at once; an error for good ends the race.
Only for calls that may be repeated without harm.

Sources: J. Dean and L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013; gRPC proposal A6.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import msgspec

from breakwater.sdk.guard.config import HedgeConfig
from breakwater.sdk.guard.forks import mend_after_fork

PercentileOf = Callable[[float, float], tuple[float, int]]
"""(percent, now_s) -> seconds, and of how many calls."""

REFRESH_S: Final = 1.0
_UNIT: Final = 1_000_000


class HedgeStats(msgspec.Struct, frozen=True, kw_only=True):
    """Copies sent; not sent for want of budget; calls that a copy won; budget left, in copies.

    delay_s: when a copy is sent at present, None: not yet. inline: sync calls made without a
    hedge because all threads were busy.
    """

    sent: int
    refused: int
    won: int
    level: float
    delay_s: float | None
    inline: int


class Hedge:
    """When copies are sent, for one command; any number of threads."""

    name = "hedge"

    def __init__(self, config: HedgeConfig, percentile_s: PercentileOf) -> None:
        self.config = config
        self.max_hedges = config.max_hedges
        self.threads: HedgeThreads | None = (
            HedgeThreads(config.sync_threads) if config.sync_threads else None
        )
        self._percentile_s = percentile_s
        self._known_s: float | None = config.delay_s
        self._refresh_s = float("-inf")
        self._lock = threading.RLock()
        self._gain = round(config.budget_percent * _UNIT / 100.0)
        self._full = round(config.budget_burst * _UNIT)
        self._level = self._sent = self._refused = self._won = 0

    def delay_s(self, now_s: float) -> float | None:
        """Seconds after which a copy may be sent; None: too few calls are known. Asked each call.

        The percentile is looked up once a second.
        """
        if self.config.delay_s is None and now_s >= self._refresh_s:
            self._refresh_s = now_s + REFRESH_S
            seconds, count = self._percentile_s(self.config.delay_percentile, now_s)
            self._known_s = seconds if count >= self.config.minimum_calls else None
        return self._known_s

    def succeeded(self, count: int = 1, *, won: bool = False) -> None:
        """So many calls succeeded, of which the budget is a share; won: a copy was first."""
        with self._lock:
            self._level = min(self._full, self._level + count * self._gain)
            self._won += won

    def may_send(self, now_s: float) -> bool:
        """Whether the budget has room for one more copy; if so it is taken."""
        del now_s
        with self._lock:
            if self._level < _UNIT:
                self._refused += 1
                return False
            self._level -= _UNIT
            self._sent += 1
            return True

    def stats(self) -> HedgeStats:
        """What was sent, and what may be."""
        with self._lock:
            return HedgeStats(
                sent=self._sent,
                refused=self._refused,
                won=self._won,
                level=self._level / _UNIT,
                delay_s=self._known_s,
                inline=0 if self.threads is None else self.threads.refused,
            )


class HedgeThreads:
    """At most so many daemon threads for copies of sync calls; nothing ever waits for one."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused = 0
        self._places: list[None] = [None] * most
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.RLock()
        self._started = 0
        mend_after_fork(self)

    def forked(self) -> None:
        """In a forked child there are no threads yet, and no copies under way."""
        self._lock = threading.RLock()
        self._work = SimpleQueue()
        self._places = [None] * self.most
        self._started = 0

    def try_run(self, work: Callable[[], None]) -> bool:
        """Run `work`, which must not raise, on a free thread; False, at once, if there is none."""
        try:
            self._places.pop()
        except IndexError:
            self.refused += 1
            return False
        self._work.put(work)
        with self._lock:
            if self._started < self.most - len(self._places):
                self._started += 1
                threading.Thread(
                    target=self._serve, name=f"breakwater-hedge-{self._started}", daemon=True
                ).start()
        return True

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            finally:
                del work  # an idle thread holds on to nobody's result
                self._places.append(None)
