"""Time as something that is passed in, so that every run can be replayed."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a room reads the time; wall time in integer milliseconds UTC."""

    def now_ms(self) -> int:
        """Wall-clock time, milliseconds since the epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary origin that never run backwards."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Wall-clock time of this machine in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Monotonic time of this machine in seconds."""
        return time.monotonic()
