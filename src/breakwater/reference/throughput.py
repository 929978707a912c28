"""Rates over the last seconds, from counts per second; what `/load` answers are made of."""

from collections import deque

from breakwater.model import Clock


class Rate:
    """How much was counted per second, on average over the last `span_s` whole seconds."""

    def __init__(self, clock: Clock, span_s: int = 10) -> None:
        self._clock = clock
        self._span_s = span_s
        self._began_s = clock.monotonic_s()
        self._seconds: deque[tuple[int, float]] = deque()
        self.total = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Count `amount` now."""
        second = int(self._clock.monotonic_s())
        if self._seconds and self._seconds[-1][0] == second:
            amount_so_far = self._seconds.pop()[1]
            self._seconds.append((second, amount_so_far + amount))
        else:
            self._seconds.append((second, amount))
        self.total += amount
        self._forget(second)

    def per_second(self) -> float:
        """The mean rate; over the time since the start while that is shorter than the span."""
        now_s = self._clock.monotonic_s()
        self._forget(int(now_s))
        # The second under way is left out: it would read as a dip.
        counted = sum(amount for second, amount in self._seconds if second < int(now_s))
        return counted / max(1.0, min(float(self._span_s), now_s - self._began_s))

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] < second - self._span_s:
            self._seconds.popleft()
