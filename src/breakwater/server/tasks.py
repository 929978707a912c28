"""Loops that must not end: each is restarted when it fails, and its health is known."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import msgspec
import structlog

from breakwater.model import Clock

log = structlog.get_logger("breakwater.server")

_RESTART_S: Final = 1.0
_DOUBTFUL_S: Final = 10.0
"""For so long after a failure a loop counts as unwell."""


class LoopStats(msgspec.Struct, frozen=True, kw_only=True):
    """One loop: does it run, and how often it had to be started again."""

    is_running: bool
    failures: int


class Loop:
    """One endless piece of work, restarted a second after it fails."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], clock: Clock) -> None:
        self.name = name
        self._work = work
        self._clock = clock
        self._is_running = False
        self._failures = 0
        self._failed_s = float("-inf")

    @property
    def is_well(self) -> bool:
        """Whether it runs and has not failed in the last ten seconds."""
        return self._is_running and self._clock.monotonic_s() - self._failed_s > _DOUBTFUL_S

    async def run(self) -> None:
        """Run the work until cancelled."""
        self._is_running = True
        try:
            while True:
                await self._once()
                await anyio.sleep(_RESTART_S)
        finally:
            self._is_running = False

    async def _once(self) -> None:
        """Run the work; this is the supervision edge of everything in the background."""
        try:
            await self._work()
        except Exception:
            self._failures += 1
            self._failed_s = self._clock.monotonic_s()
            log.exception("loop.failed", loop=self.name, failures=self._failures)

    def stats(self) -> LoopStats:
        """Is it running, and how often did it fail."""
        return LoopStats(is_running=self._is_running, failures=self._failures)
