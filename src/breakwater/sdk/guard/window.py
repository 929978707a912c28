"""Rolling windows of call outcomes: over the last seconds, or over the last calls.

Both keep running totals, so recording and reading are O(1) whatever the length. The tallies are
plain integers without a lock: on an interpreter without a global lock a race may lose one count
out of a window of many, which moves no decision that one call more or less would not move.
"""

from collections import deque
from typing import Final, Protocol

BUCKETS: Final = 10


class Window(Protocol):
    """What a breaker asks of a window."""

    total: int
    failed: int

    def record(self, is_failure: bool, now_s: float) -> None:  # noqa: FBT001 - the hot path of every call
        """Count one finished call."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class TimeWindow:
    """Outcomes of the last `length_s` seconds, in ten buckets whatever the traffic."""

    __slots__ = ("_all", "_bad", "_per_s", "_tick", "failed", "total")

    def __init__(self, length_s: float) -> None:
        self._per_s = BUCKETS / length_s
        self._tick = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._all = [0] * BUCKETS
        self._bad = [0] * BUCKETS
        self.total = 0
        self.failed = 0

    def record(self, is_failure: bool, now_s: float) -> None:  # noqa: FBT001 - see Window
        """Count one finished call in the bucket of `now_s`."""
        tick = int(now_s * self._per_s)
        if tick != self._tick:
            self._roll(tick)
        slot = self._tick % BUCKETS
        self._all[slot] += 1
        self.total += 1
        if is_failure:
            self._bad[slot] += 1
            self.failed += 1

    def _roll(self, tick: int) -> None:
        if tick < self._tick:  # another thread read the clock a moment later and was here first
            return
        for passed in range(self._tick + 1, min(tick, self._tick + BUCKETS) + 1):
            slot = passed % BUCKETS
            self._all[slot] = self._bad[slot] = 0
        self._tick = tick
        # Summed anew, not subtracted: a count lost to a race does not stay for ever.
        self.total = sum(self._all)
        self.failed = sum(self._bad)


class CountWindow:
    """Outcomes of the last `size` calls."""

    __slots__ = ("_ring", "_size", "failed", "total")

    def __init__(self, size: int) -> None:
        self._size = size
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._ring: deque[bool] = deque()
        self.total = 0
        self.failed = 0

    def record(self, is_failure: bool, now_s: float) -> None:  # noqa: ARG002, FBT001 - see Window
        """Count one finished call; the oldest makes room."""
        self._ring.append(is_failure)
        self.failed += is_failure
        if len(self._ring) > self._size:
            self.failed -= self._ring.popleft()
        self.total = len(self._ring)
