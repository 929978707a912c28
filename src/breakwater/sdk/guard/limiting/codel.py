"""The queue in front of a server: in order while it is short, newest first when it is not.

Controlled delay as Facebook published it (Maurer, "Fail at Scale", ACM Queue 13(8), 2015): a
request may wait `interval_s`; but when the queue has not been empty for that long, it is a
standing queue, not a burst, and may wait `target_s` only. Under such an overload the newest
request is served first, since the oldest are those whose callers are about to give up.
"""

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

RANKS: Final = 4
"""Classes of importance, 0 the most important; served in this order."""


class Entry(Protocol):
    """What may stand in the queue."""

    rank: int


T = TypeVar("T", bound=Entry)


class CodelQueue(Generic[T]):
    """At most `limit` entries; reads no clock and wakes nobody."""

    __slots__ = ("_emptied_s", "_interval_s", "_lines", "_target_s", "limit", "size")

    def __init__(self, *, limit: int, target_s: float, interval_s: float) -> None:
        self.limit = limit
        self.size = 0
        self._target_s = target_s
        self._interval_s = interval_s
        self._emptied_s: float | None = None
        self._lines: tuple[deque[T], ...] = tuple(deque() for _ in range(RANKS))

    def configure(self, *, limit: int, target_s: float, interval_s: float) -> None:
        """Go by other numbers; who waits goes on waiting, even beyond a smaller limit."""
        self.limit = limit
        self._target_s = target_s
        self._interval_s = interval_s

    def is_overloaded(self, now_s: float) -> bool:
        """Whether the queue is a standing one."""
        emptied_s = self._emptied_s
        return self.size > 0 and emptied_s is not None and now_s - emptied_s > self._interval_s

    def patience_s(self, now_s: float) -> float:
        """How long a request that comes now may wait."""
        return self._target_s if self.is_overloaded(now_s) else self._interval_s

    def push(self, entry: T, now_s: float) -> T | None:
        """Take `entry` in. A full queue gives up a less important one, or `entry` itself."""
        if self.limit == 0:
            return entry
        if self.size == 0:
            self._emptied_s = now_s
        if self.size >= self.limit:
            worst = max(rank for rank in range(RANKS) if self._lines[rank])
            if worst <= entry.rank:
                return entry
            loser = self._lines[worst].popleft()
            self._lines[entry.rank].append(entry)
            return loser
        self._lines[entry.rank].append(entry)
        self.size += 1
        return None

    def pop(self, now_s: float) -> T | None:
        """The next to be served: the most important, and of these the first that came.

        Under overload it is the last that came.
        """
        is_overloaded = self.is_overloaded(now_s)
        for line in self._lines:
            if line:
                self._shrink(now_s)
                return line.pop() if is_overloaded else line.popleft()
        return None

    def first_rank(self) -> int | None:
        """The rank of whom `pop` would give; None if nobody waits."""
        return next((rank for rank in range(RANKS) if self._lines[rank]), None)

    def remove(self, entry: T, now_s: float) -> bool:
        """Take out one that will not wait any longer; whether it was there."""
        line = self._lines[entry.rank]
        if entry not in line:
            return False
        line.remove(entry)
        self._shrink(now_s)
        return True

    def _shrink(self, now_s: float) -> None:
        self.size -= 1
        if self.size == 0:
            self._emptied_s = now_s
