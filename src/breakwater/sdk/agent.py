"""The one thread that keeps house inside a service: flush lines, report gauges, once and again.

A chore that raises is counted and called again next time; nothing a chore does can end the
thread or reach the service.
"""

import threading
from collections.abc import Callable
from typing import Final

import msgspec

from breakwater.model import Clock

TICK_S: Final = 0.2
"""How long a meter line waits at most before it is sent."""


class AgentStats(msgspec.Struct, frozen=True, kw_only=True):
    """How often the agent woke up, how many chores failed, and the latest failure."""

    is_running: bool
    ticks: int
    failures: int
    last_failure: str


class Agent:
    """Calls each chore about every so many seconds from a daemon thread.

    lateness: called with the seconds by which each wake-up came late, which shows a starved
    process also where no event loop runs.
    """

    def __init__(
        self,
        chores: list[tuple[float, Callable[[], None]]],
        clock: Clock,
        lateness: Callable[[float], None] = lambda _late_s: None,
    ) -> None:
        self._chores = chores
        self._clock = clock
        self._lateness = lateness
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._ticks = 0
        self._failures = 0
        self._last_failure = ""

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread is None:
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopping,), name="breakwater-agent", daemon=True
            )
            self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Ask the thread to end and wait for it at most `timeout_s`."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _run(self, stopping: threading.Event) -> None:
        due_s = [self._clock.monotonic_s()] * len(self._chores)
        while not stopping.is_set():
            self._tick(due_s)
            before_s = self._clock.monotonic_s()
            if not stopping.wait(TICK_S):
                self._lateness(max(0.0, self._clock.monotonic_s() - before_s - TICK_S))

    def _tick(self, due_s: list[float]) -> None:
        self._ticks += 1
        for index, (every_s, chore) in enumerate(self._chores):
            now_s = self._clock.monotonic_s()
            # Half a tick of slack, so that a one-second chore runs on every fifth tick.
            if now_s + TICK_S / 2 < due_s[index]:
                continue
            due_s[index] = now_s + every_s
            try:
                chore()
            except Exception as error:  # noqa: BLE001 - supervision edge: the service goes on
                self._failures += 1
                self._last_failure = f"{type(error).__name__}: {error}"

    def stats(self) -> AgentStats:
        """Whether the thread runs, and how it fares."""
        thread = self._thread
        return AgentStats(
            is_running=thread is not None and thread.is_alive(),
            ticks=self._ticks,
            failures=self._failures,
            last_failure=self._last_failure,
        )
