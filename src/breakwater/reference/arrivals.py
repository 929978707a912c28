"""When people arrive: a Poisson process that does not wait for anybody.

Open loop: a slow fleet meets the same arrivals as a fast one, which is how a real audience behaves
and what makes queues visible. People over the limit are turned away and counted.
"""

import random
from typing import Final

from breakwater.model import Clock
from breakwater.reference.errors import MalformedRequestError

MAX_RPS: Final = 2000.0
MAX_BACKLOG_S: Final = 1.0


class Arrivals:
    """Arrival times at an adjustable mean rate of people per second."""

    def __init__(self, rng: random.Random, clock: Clock, people_per_s: float) -> None:
        self._random = rng
        self._clock = clock
        self._people_per_s = people_per_s
        self._next_s = clock.monotonic_s() + self._gap_s()

    def set_rate(self, people_per_s: float) -> None:
        """Change the rate from now on; gaps have no memory, so the next one is drawn anew."""
        self._people_per_s = people_per_s
        self._next_s = self._clock.monotonic_s() + self._gap_s()

    def due(self) -> int:
        """How many people have arrived since the last call; after a stall at most one second's."""
        now_s = self._clock.monotonic_s()
        self._next_s = max(self._next_s, now_s - MAX_BACKLOG_S)
        count = 0
        while self._next_s <= now_s:
            count += 1
            self._next_s += self._gap_s()
        return count

    def wait_s(self) -> float:
        """Seconds until the next arrival."""
        return max(0.0, self._next_s - self._clock.monotonic_s())

    def _gap_s(self) -> float:
        if self._people_per_s <= 0.0:
            return float("inf")
        return self._random.expovariate(self._people_per_s)


def check_rps(rps: float) -> float:
    """A target rate that may be set; raises MalformedRequestError naming the bounds."""
    if not 0.0 <= rps <= MAX_RPS:
        raise MalformedRequestError(f"'rps' must be from 0 to {MAX_RPS:.0f} edge requests/s")
    return rps
