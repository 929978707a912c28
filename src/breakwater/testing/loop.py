"""A real asyncio event loop whose time is a `FakeClock`'s: it leaps to the next timer.

Whatever sleeps, waits or times out does so in no time and in the same order each time, so that a
simulation of an hour takes as long as its work, and a test of a timeout needs no margin.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from breakwater.testing.clock import FakeClock

T = TypeVar("T")
PATIENCE_S: Final = 30.0
"""Real seconds that a loop without any timer waits for threads and sockets."""


class StuckError(AssertionError):
    """Everything in the loop waits, and nothing will ever wake it."""


class _LeapingSelector(selectors.DefaultSelector):
    """Never waits for a timer: moves the clock there instead."""

    def __init__(self, clock: FakeClock, patience_s: float) -> None:
        super().__init__()
        self._clock = clock
        self._patience_s = patience_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; with nothing ready and a timer ahead, it is now the timer's time."""
        ready = super().select(self._patience_s if timeout is None else 0)
        if ready:
            return ready
        if timeout is None:
            raise StuckError(
                f"every task waits, no timer is set, and for {self._patience_s:g} s nothing came "
                "from other threads or sockets; is there an event that nobody sets?"
            )
        if timeout > 0:
            self._clock.advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For work within one thread; what waits for other threads or sockets does not hold time."""

    def __init__(self, clock: FakeClock, *, patience_s: float = PATIENCE_S) -> None:
        super().__init__(_LeapingSelector(clock, patience_s))
        self._clock = clock

    def time(self) -> float:
        """The clock's monotonic time."""
        return self._clock.monotonic_s()


def run_virtual(
    main: Coroutine[Any, Any, T],
    clock: FakeClock | None = None,
    *,
    patience_s: float = PATIENCE_S,
) -> T:
    """As `asyncio.run`, in virtual time; raises StuckError where a real loop would hang."""
    clock = clock or FakeClock()

    def loop() -> VirtualTimeLoop:
        return VirtualTimeLoop(clock, patience_s=patience_s)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
