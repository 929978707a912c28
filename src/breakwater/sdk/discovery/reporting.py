"""What this process saw of the instances it calls, told to the registry as evidence.

Bad news goes within a second; that all is well, every ten. A registry that does not answer hears
of it no more than a minute later, and less is told then: only the present counts.
"""

import threading
from collections.abc import Callable
from typing import Final

import msgspec

from breakwater.model import CalleeReport, CallerReport, Clock, InstanceKey
from breakwater.sdk.errors import PlatformError
from breakwater.sdk.link import Link
from breakwater.sdk.settings import Address

PATH: Final = "/api/v1/registry/evidence"
TICK_S: Final = 1.0
GOOD_NEWS_TICKS: Final = 10
LONGEST_PAUSE_TICKS: Final = 60
REQUEST_TIMEOUT_S: Final = 2.0
MAX_CALLEES: Final = 500
"""A report names so many instances at most, those with failures first."""


class ReporterStats(msgspec.Struct, frozen=True, kw_only=True):
    """Reports that were taken, and attempts that failed."""

    reports: int
    failures: int
    last_failure: str


class Reporter:
    """Sends what `take` gives, from a daemon thread, between `start` and `stop`.

    take: the outcomes since it was called before, callee by callee; called once a second.
    """

    def __init__(
        self,
        addresses: tuple[Address, ...],
        caller: InstanceKey,
        take: Callable[[], list[CalleeReport]],
        clock: Clock,
    ) -> None:
        self._addresses = addresses
        self._caller = caller
        self._take = take
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._link: Link | None = None
        self._held: dict[tuple[str, str], CalleeReport] = {}
        self._since_s = clock.monotonic_s()
        self._wait_ticks = self._failed_in_a_row = 0
        self._reports = self._failures = 0
        self._last_failure = ""

    def start(self) -> None:
        """Start to report; a second call does nothing, nor does one without a registry."""
        if self._thread is not None or not self._addresses:
            return
        self._stopping = threading.Event()
        self._link = Link(*self._addresses)
        self._thread = threading.Thread(
            target=self._run,
            args=(self._stopping, self._link),
            name="breakwater-reports",
            daemon=True,
        )
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread, breaking off the request under way."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if self._link is not None:
            self._link.abort()
        if thread is not None:
            thread.join(timeout_s)

    def _run(self, stopping: threading.Event, link: Link) -> None:
        while not stopping.wait(TICK_S):
            try:
                self.tick(link)
            except Exception as error:  # noqa: BLE001 - supervision edge: counted, tried again
                if stopping.is_set():
                    break
                self._failures += 1
                self._last_failure = f"{type(error).__name__}: {error}"
                self._failed_in_a_row = min(self._failed_in_a_row + 1, LONGEST_PAUSE_TICKS)
                self._wait_ticks = min(2**self._failed_in_a_row, LONGEST_PAUSE_TICKS)
        link.drop()

    def tick(self, link: Link) -> None:
        """Take in what was seen, and tell it if it is bad or has waited long enough."""
        for one in self._take():
            key = (one.service, one.instance_id)
            self._held[key] = _together(self._held.get(key), one)
        self._wait_ticks -= 1
        is_bad = any(one.failures or one.is_ejected for one in self._held.values())
        may_tell = not self._failed_in_a_row and is_bad
        if self._held and (may_tell or self._wait_ticks <= 0):
            self._tell(link)

    def _tell(self, link: Link) -> None:
        now_s = self._clock.monotonic_s()
        callees = sorted(self._held.values(), key=lambda one: -one.failures)[:MAX_CALLEES]
        report = CallerReport(
            caller=self._caller, window_s=round(now_s - self._since_s, 3), callees=callees
        )
        self._held.clear()
        self._since_s = now_s
        body = msgspec.json.encode(report)
        answer = link.request("POST", PATH, body, timeout_s=REQUEST_TIMEOUT_S)
        if answer.status >= 300:
            link.turn()
            raise PlatformError(f"POST {PATH} answered HTTP {answer.status}: {answer.body[:200]!r}")
        self._reports += 1
        self._failed_in_a_row = 0
        self._wait_ticks = GOOD_NEWS_TICKS

    def stats(self) -> ReporterStats:
        """Counts since start."""
        return ReporterStats(
            reports=self._reports, failures=self._failures, last_failure=self._last_failure
        )


def _together(before: CalleeReport | None, now: CalleeReport) -> CalleeReport:
    """Both reports as one; of what is a state, the later counts."""
    if before is None:
        return now
    return msgspec.structs.replace(
        now,
        calls=before.calls + now.calls,
        failures=before.failures + now.failures,
        refused=before.refused + now.refused,
        timeouts=before.timeouts + now.timeouts,
    )
