"""Rolling windows of call outcomes: over the last seconds, the last calls, or the last in a row.

All keep running totals, so recording and reading are O(1) whatever the length, and successes may
be recorded many at a time. An idle window holds no memory: slots are made with the first record.
The breaker's lock covers all calls; a window has none of its own.
"""

from collections.abc import Iterable
from itertools import chain
from math import inf

from breakwater.sdk.guard.breaking.rule import Rule
from breakwater.sdk.guard.config import BreakerConfig


class TimeWindow:
    """Outcomes of the last `size` buckets of `bucket_s` each, the present one among them.

    Buckets begin at multiples of `bucket_s` on the monotonic clock. A record that is late by less
    than the window goes into the bucket of its own time; one that is later still is left out.
    """

    __slots__ = ("_all", "_bad", "_slow", "bucket_s", "failed", "size", "slow", "tick", "total")

    def __init__(self, bucket_s: float, size: int) -> None:
        self.bucket_s = bucket_s
        self.size = size
        self.clear()

    def is_like(self, other: object) -> bool:
        """Whether the other window has the same shape."""
        return isinstance(other, TimeWindow) and (
            (self.bucket_s, self.size) == (other.bucket_s, other.size)
        )

    def clear(self) -> None:
        """Forget everything."""
        self._all: list[int] = []
        self._bad: list[int] = []
        self._slow: list[int] = []
        self.tick = -1
        self.total = self.failed = self.slow = 0

    @property
    def end_s(self) -> float:
        """When the present bucket ends."""
        return (self.tick + 1) * self.bucket_s

    def is_behind(self, now_s: float) -> bool:
        """Whether `now_s` lies in a later bucket than the present one."""
        return int(now_s / self.bucket_s) > self.tick

    def step(self) -> None:
        """Go to the next bucket; the oldest leaves."""
        self.tick += 1
        if self.total:
            slot = self.tick % self.size
            self.total -= self._all[slot]
            self.failed -= self._bad[slot]
            self.slow -= self._slow[slot]
            self._all[slot] = self._bad[slot] = self._slow[slot] = 0

    def advance(self, now_s: float) -> None:
        """Go to the bucket of `now_s`; O(size) at most."""
        tick = int(now_s / self.bucket_s)
        while self.tick < tick and self.total:
            self.step()
        self.tick = max(self.tick, tick)

    def add(self, *, failed: bool, slow: bool, at_s: float) -> None:
        """Count one call that ended at `at_s`."""
        slot = self._slot(at_s)
        if slot is None:
            return
        self._all[slot] += 1
        self.total += 1
        if failed:
            self._bad[slot] += 1
            self.failed += 1
        if slow:
            self._slow[slot] += 1
            self.slow += 1

    def add_successes(self, n: int, at_s: float) -> None:
        """Count `n` good and quick calls that ended in the bucket of `at_s`."""
        slot = self._slot(at_s)
        if slot is not None:
            self._all[slot] += n
            self.total += n

    def _slot(self, at_s: float) -> int | None:
        self.advance(at_s)
        if not self._all:
            self._all, self._bad, self._slow = ([0] * self.size for _ in range(3))
        tick = int(at_s / self.bucket_s)
        return tick % self.size if tick > self.tick - self.size else None

    def slack(self, rule: Rule) -> float:
        """Bad calls to come before a rate is exceeded, with what is left as buckets leave.

        The least over the window as it is and as it will be, bucket after bucket: while it is
        above 0, neither a success nor time alone exceeds anything. O(size).
        """
        minimum, share, slow_share = rule.minimum, rule.failure_share, rule.slow_share
        total, failed, slow = self.total, self.failed, self.slow
        least = min(share, slow_share) * minimum  # of the bucket that comes next
        for slot in self._oldest_first():
            if not failed and not slow:
                break
            calls = max(total, minimum)
            least = min(least, share * calls - failed, slow_share * calls - slow)
            total -= self._all[slot]
            failed -= self._bad[slot]
            slow -= self._slow[slot]
        return least

    def _oldest_first(self) -> Iterable[int]:
        first = (self.tick + 1) % self.size
        return chain(range(first, self.size), range(first))


class CountWindow:
    """Outcomes of the last `size` calls, one byte each."""

    __slots__ = ("_next", "_ring", "failed", "size", "slow", "total")
    end_s = inf

    def __init__(self, size: int) -> None:
        self.size = size
        self.clear()

    def is_like(self, other: object) -> bool:
        """Whether the other window has the same shape."""
        return isinstance(other, CountWindow) and self.size == other.size

    def clear(self) -> None:
        """Forget everything."""
        self._ring = bytearray()
        self._next = 0
        self.total = self.failed = self.slow = 0

    def advance(self, now_s: float) -> None:
        """Time plays no part."""

    def add(self, *, failed: bool, slow: bool, at_s: float) -> None:  # noqa: ARG002 - one shape for all windows
        """Count one call; the oldest makes room."""
        at = self._next
        self._forget(at, 1)
        self._ring[at] = failed | slow << 1
        self.failed += failed
        self.slow += slow
        self._moved(1)

    def add_successes(self, n: int, at_s: float) -> None:  # noqa: ARG002 - one shape for all windows
        """Count `n` good and quick calls, a slice at a time."""
        n = min(n, self.size)
        while n:
            at = self._next
            run = min(n, self.size - at)
            self._forget(at, run)
            self._ring[at : at + run] = bytes(run)
            self._moved(run)
            n -= run

    def _forget(self, at: int, run: int) -> None:
        if not self._ring:
            self._ring = bytearray(self.size)
        if self.failed or self.slow:
            old = self._ring[at : at + run]
            both = old.count(3)
            self.failed -= old.count(1) + both
            self.slow -= old.count(2) + both

    def _moved(self, run: int) -> None:
        self._next = (self._next + run) % self.size
        self.total = min(self.size, self.total + run)

    def slack(self, rule: Rule) -> float:
        """Bad calls to come before a rate is exceeded: nothing leaves by time alone."""
        return rule.slack(self.total, self.failed, self.slow)


class RunWindow:
    """How many calls in a row failed, and how many were slow, up to `size`.

    It reads like a window of `size` calls of which only the latest run counts, so the same rule
    judges it: all of `size` failed.
    """

    __slots__ = ("failed", "size", "slow", "total")
    end_s = inf

    def __init__(self, size: int) -> None:
        self.size = size
        self.clear()

    def is_like(self, other: object) -> bool:
        """Whether the other window has the same shape."""
        return isinstance(other, RunWindow) and self.size == other.size

    def clear(self) -> None:
        """Forget everything."""
        self.total = self.failed = self.slow = 0

    def advance(self, now_s: float) -> None:
        """Time plays no part."""

    def add(self, *, failed: bool, slow: bool, at_s: float) -> None:  # noqa: ARG002 - one shape for all windows
        """Count one call: it lengthens a run or ends it."""
        self.total = self.size
        self.failed = min(self.size, self.failed + 1) if failed else 0
        self.slow = min(self.size, self.slow + 1) if slow else 0

    def add_successes(self, n: int, at_s: float) -> None:  # noqa: ARG002 - one shape for all windows
        """Any good and quick call ends both runs."""
        self.total = self.size
        self.failed = self.slow = 0

    def slack(self, rule: Rule) -> float:
        """Bad calls to come before a rate is exceeded: nothing leaves by time alone."""
        return rule.slack(self.total, self.failed, self.slow)


Window = TimeWindow | CountWindow | RunWindow


def window_of(config: BreakerConfig) -> Window:
    """The window a configuration asks for; judged at intervals, a bucket is one interval."""
    if config.window == "count":
        return CountWindow(config.window_calls)
    if config.window == "consecutive":
        return RunWindow(config.window_calls)
    if config.judge == "interval":
        return TimeWindow(config.judge_every_s, intervals_of(config))
    return TimeWindow(config.window_s / config.buckets, config.buckets)


def intervals_of(config: BreakerConfig) -> int:
    """How many whole `judge_every_s` the window has, at least one."""
    return max(1, int(config.window_s / config.judge_every_s + 1e-9))


def interval_end_s(config: BreakerConfig, now_s: float) -> float:
    """When the interval of judging ends in which `now_s` lies."""
    return (int(now_s / config.judge_every_s) + 1) * config.judge_every_s
