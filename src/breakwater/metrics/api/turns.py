"""Whose query is next: a few run at once, and no caller may have all of them.

Pure bookkeeping for one event loop. Among the callers that wait, the one with the fewest queries
running comes first, then the one that used least lately, then the one that waits longest. When too
many wait, it is the caller with the most waiting who is refused, not whoever comes last.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from breakwater.metrics.errors import BusyError

_HALF_LIFE_S: Final = 10.0
_FORGOTTEN: Final = 1.0
_MOST_CALLERS: Final = 1_000


class Turn:
    """One query that waits or runs; `settled` is called once, with the reason when refused."""

    __slots__ = ("caller", "is_running", "settled")

    def __init__(self, caller: str, settled: Callable[[BusyError | None], None]) -> None:
        self.caller = caller
        self.settled = settled
        self.is_running = False


class _Caller(msgspec.Struct):
    """What one caller has running and waiting, and what it used lately, halved every 10 s."""

    running: int = 0
    waiting: deque[Turn] = msgspec.field(default_factory=deque)
    used: float = 0.0
    seen_s: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it runs or waits."""
        return not self.running and not self.waiting

    def used_at(self, now_s: float) -> float:
        """What was used, as it counts now."""
        return self.used * math.exp2((self.seen_s - now_s) / _HALF_LIFE_S)


class Turns:
    """Places for `at_once` queries, of which one caller may take all but one.

    At most `most_waiting` wait. `now_s` reads a monotonic clock. Every method is O(callers).
    """

    def __init__(self, at_once: int, most_waiting: int, now_s: Callable[[], float]) -> None:
        self._at_once = at_once
        self._most_each = max(at_once - 1, 1)
        self._most_waiting = most_waiting
        self._now_s = now_s
        self._callers: dict[str, _Caller] = {}
        self.running = 0
        self.waiting = 0
        self.refused = 0

    def enter(self, turn: Turn) -> None:
        """Take a place, or wait for one; raises BusyError, or refuses another one that waits."""
        caller = self._callers.get(turn.caller)
        if caller is None:
            self._make_room()
            caller = self._callers[turn.caller] = _Caller(seen_s=self._now_s())
        if self._may_run(caller) and not caller.waiting:
            self._start(caller, turn)
            return
        if self.waiting >= self._most_waiting:
            self._refuse_one(caller)
        caller.waiting.append(turn)
        self.waiting += 1

    def leave(self, turn: Turn, used: float = 0.0) -> None:
        """Give the place back, or stop waiting for one; `used` says how much was read."""
        caller = self._callers.get(turn.caller)
        if caller is None:
            return
        if turn.is_running:
            turn.is_running = False
            caller.running -= 1
            self.running -= 1
            now_s = self._now_s()
            caller.used = caller.used_at(now_s) + used
            caller.seen_s = now_s
        elif turn in caller.waiting:
            caller.waiting.remove(turn)
            self.waiting -= 1
        self._grant()

    def _may_run(self, caller: _Caller) -> bool:
        return self.running < self._at_once and caller.running < self._most_each

    def _start(self, caller: _Caller, turn: Turn) -> None:
        turn.is_running = True
        caller.running += 1
        self.running += 1
        turn.settled(None)

    def _grant(self) -> None:
        now_s = self._now_s()
        while self.running < self._at_once:
            ready = [each for each in self._callers.values() if each.waiting]
            ready = [each for each in ready if self._may_run(each)]
            if not ready:
                return
            chosen = min(ready, key=lambda each: (each.running, each.used_at(now_s)))
            self.waiting -= 1
            self._start(chosen, chosen.waiting.popleft())

    def _refuse_one(self, arriving: _Caller) -> None:
        """Refuse the newest of the caller that has the most waiting."""
        self.refused += 1
        error = BusyError(f"{self.waiting} queries are waiting; try again later")
        greediest = max(self._callers.values(), key=lambda each: len(each.waiting))
        if len(greediest.waiting) <= len(arriving.waiting) + 1:
            raise error
        self.waiting -= 1
        greediest.waiting.pop().settled(error)

    def _make_room(self) -> None:
        """Forget callers of whom nothing is to be remembered, once there are many."""
        if len(self._callers) < _MOST_CALLERS:
            return
        now_s = self._now_s()
        idle = [
            name for name, each in self._callers.items() if not each.running + len(each.waiting)
        ]
        idle.sort(key=lambda name: self._callers[name].used_at(now_s))
        for place, name in enumerate(idle):
            is_spent = self._callers[name].used_at(now_s) < _FORGOTTEN
            if is_spent or place < _MOST_CALLERS // 10:
                del self._callers[name]
