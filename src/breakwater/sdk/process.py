"""What the process says about itself: alive, CPU, memory, and how late its event loop wakes up."""

import os
import time
from typing import TYPE_CHECKING, Final

from breakwater.model import Clock, calls
from breakwater.sdk.meters import Meters

if TYPE_CHECKING:
    import asyncio

GAUGE_TTL_S: Final = 5
"""A gauge of a process that stopped reporting is gone after this long."""
WAKE_EVERY_S: Final = 0.1


class ProcessGauges:
    """Writes the process gauges each time `report` is called; about once a second.

    process.cpu.utilization is in cores since the last report, process.memory.rss in bytes,
    process.loop.lag in seconds: how late the slowest wake-up since the last report came.
    """

    def __init__(self, meters: Meters, clock: Clock) -> None:
        self._clock = clock
        self._alive = meters.counter(calls.PROCESS_ALIVE, {})
        self._cpu = meters.gauge(calls.PROCESS_CPU, {}, ttl_s=GAUGE_TTL_S)
        self._memory = meters.gauge("process.memory.rss", {}, ttl_s=GAUGE_TTL_S)
        self._lag = meters.max_gauge(calls.PROCESS_STALL, {})
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._wall_s = clock.monotonic_s()
        self._cpu_s = time.process_time()
        self._thread_lag_s = 0.0
        self._loop_watch: LoopWatch | None = None

    def thread_was_late(self, late_s: float) -> None:
        """The agent thread woke up `late_s` late; stands in where no event loop is watched."""
        self._thread_lag_s = max(self._thread_lag_s, late_s)

    def watch_loop(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Measure this event loop from now on; call it on the loop's own thread."""
        self.forget_loop()
        self._loop_watch = LoopWatch(loop)

    def forget_loop(self) -> None:
        """Stop measuring the event loop."""
        watch, self._loop_watch = self._loop_watch, None
        if watch is not None:
            watch.cancel()

    def report(self) -> None:
        """Write one line for each gauge, and count one sign of life."""
        wall_s, cpu_s = self._clock.monotonic_s(), time.process_time()
        if wall_s > self._wall_s:
            self._cpu.set(round((cpu_s - self._cpu_s) / (wall_s - self._wall_s), 4))
        self._wall_s, self._cpu_s = wall_s, cpu_s
        self._alive.increment()
        resident = _read("/proc/self/statm")
        if resident:
            self._memory.set(int(resident.split()[1]) * self._page_bytes)
        watch = self._loop_watch
        self._lag.set(round(self._thread_lag_s if watch is None else watch.take_lag_s(), 6))
        self._thread_lag_s = 0.0


class LoopWatch:
    """Asks an event loop to call back every 100 ms and keeps the worst delay.

    While the loop is stuck the delay is seen from outside too: `take_lag_s`, called by another
    thread, counts how overdue the pending wake-up is.
    """

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = loop
        self._due_s = loop.time() + WAKE_EVERY_S
        self._worst_s = 0.0
        self._handle = loop.call_at(self._due_s, self._wake)

    def _wake(self) -> None:
        now_s = self._loop.time()
        self._worst_s = max(self._worst_s, now_s - self._due_s)
        self._due_s = now_s + WAKE_EVERY_S
        if not self._loop.is_closed():
            self._handle = self._loop.call_at(self._due_s, self._wake)

    def take_lag_s(self) -> float:
        """The worst delay since the last call, seconds, including one not over yet."""
        worst_s, self._worst_s = self._worst_s, 0.0
        if self._loop.is_closed() or not self._loop.is_running():
            return worst_s
        return max(worst_s, self._loop.time() - self._due_s, 0.0)

    def cancel(self) -> None:
        """Stop asking."""
        self._handle.cancel()


def process_started_s() -> float:
    """When this process started, seconds since the epoch, as psutil's `create_time` gives it.

    A pid together with this time names a process even after the pid was used again. Zero where
    there is no /proc.
    """
    stat, boot = _read("/proc/self/stat"), _read("/proc/stat")
    if not stat or not boot:
        return 0.0
    ticks = int(stat.rpartition(b")")[2].split()[19])
    booted = next(float(line.split()[1]) for line in boot.splitlines() if line.startswith(b"btime"))
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> bytes:
    """The content of a file of /proc; empty where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would cost each service 3 ms
            return file.read()
    except OSError:
        return b""
