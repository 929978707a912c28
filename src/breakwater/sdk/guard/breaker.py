"""A circuit breaker: stop calling what keeps failing, look again with a few calls, then believe.

closed -> open: at least `minimum_calls` in the window and `failure_percent` of them failed.
open -> half open: `open_s` later, with the next call that asks.
half open -> closed or open: `half_open_permits` probes decide, as soon as the rest cannot matter.

Three rules keep the state from moving for wrong reasons or sticking. A permit belongs to an epoch:
the result of a call admitted under an earlier epoch is stale and counts for nothing. A probe that
was cancelled, or whose outcome says nothing about the callee, gives its permit back. A probe has a
lease: one that never reports loses its permit after `probe_lease_s`, and its late result is stale.

The breaker reads no clock and makes no calls: time is passed in, so every run can be replayed.
Hystrix and resilience4j each lack one of the three rules (Hystrix#1853, resilience4j#935).
"""

import threading
from enum import StrEnum

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.window import CountWindow, TimeWindow, Window


class BreakerState(StrEnum):
    """Whether calls go through: all, none, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens, and how it finds out that the callee is well again.

    failure_percent: 0 < p <= 100. window_calls: judge the last so many calls instead of the last
    `window_s` seconds. Raises SettingsError for values that cannot work.
    """

    failure_percent: float = 50.0
    minimum_calls: int = 20
    window_s: float = 10.0
    window_calls: int | None = None
    open_s: float = 2.0
    half_open_permits: int = 3
    probe_lease_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values that would make a breaker that never opens or never closes."""
        if not 0 < self.failure_percent <= 100:
            raise SettingsError(
                f"failure_percent is {self.failure_percent}, must be above 0 to 100"
            )
        for name in ("minimum_calls", "half_open_permits"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("window_s", "open_s", "probe_lease_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, must be above 0")
        if self.window_calls is not None and self.window_calls < self.minimum_calls:
            raise SettingsError(
                f"window_calls is {self.window_calls}, must be at least minimum_calls "
                f"({self.minimum_calls})"
            )


class BreakerStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where the breaker stands and what it did since it was made."""

    state: BreakerState
    window_calls: int
    window_failures: int
    probes_out: int
    opened: int
    short_circuited: int
    stale_results: int
    expired_probes: int


class Permit:
    """Leave to make one call; hand it back by `settle` or `release`.

    While closed, all calls of one epoch share one permit object; a probe has its own.
    """

    __slots__ = ("lease_ends_s",)

    def __init__(self, lease_ends_s: float = float("inf")) -> None:
        self.lease_ends_s = lease_ends_s


class Breaker:
    """The state machine; every method takes the monotonic time and returns at once.

    Threads may share it. While it is closed nothing is locked; the short lock of the other states
    is never held across user code. `closed_permit` is what `admit` gives while closed, else None;
    to read it first saves a hot path the call and the clock.
    """

    __slots__ = (
        "_config",
        "_expired",
        "_failures",
        "_lock",
        "_opened",
        "_probes",
        "_reopens_s",
        "_short_circuited",
        "_stale",
        "_state",
        "_successes",
        "_window",
        "closed_permit",
    )  # fmt: skip

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._window: Window = (
            TimeWindow(config.window_s)
            if config.window_calls is None
            else CountWindow(config.window_calls)
        )
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self.closed_permit: Permit | None = Permit()
        self._probes: set[Permit] = set()
        self._reopens_s = 0.0
        self._successes = self._failures = 0
        self._opened = self._short_circuited = self._stale = self._expired = 0

    @property
    def config(self) -> BreakerConfig:
        """What it was made with."""
        return self._config

    @property
    def state(self) -> BreakerState:
        """Where it stands; an open breaker whose time is up turns half open with the next call."""
        return self._state

    def admit(self, now_s: float) -> Permit | None:
        """Leave to call now, or None; each permit goes back by `settle` or `release`."""
        permit = self.closed_permit
        if permit is not None:
            return permit
        if self._state is BreakerState.OPEN and now_s < self._reopens_s:
            self._short_circuited += 1
            return None
        return self._admit_probe(now_s)

    def settle(self, permit: Permit, *, is_failure: bool, now_s: float) -> None:
        """Say how a call ended; a result from an earlier epoch changes nothing."""
        if permit is self.closed_permit:
            window = self._window
            window.record(is_failure, now_s)
            if window.failed and window.total >= self._config.minimum_calls:
                self._judge(permit, now_s)
        else:
            self._settle_probe(permit, is_failure=is_failure, now_s=now_s)

    def release(self, permit: Permit) -> None:
        """Give a permit back without a verdict: the call was cancelled, or says nothing."""
        if permit is not self.closed_permit:
            with self._lock:
                self._probes.discard(permit)

    def _judge(self, permit: Permit, now_s: float) -> None:
        window = self._window
        if window.failed * 100.0 < self._config.failure_percent * window.total:
            return
        with self._lock:
            if permit is self.closed_permit:  # only the first of several threads opens it
                self._open(now_s)

    def _open(self, now_s: float) -> None:
        self._state = BreakerState.OPEN
        self.closed_permit = None
        self._probes.clear()
        self._reopens_s = now_s + self._config.open_s
        self._opened += 1

    def _close(self) -> None:
        self._window.clear()
        self._probes.clear()
        self._state = BreakerState.CLOSED
        self.closed_permit = Permit()

    def _admit_probe(self, now_s: float) -> Permit | None:
        with self._lock:
            if self.closed_permit is not None:  # it closed while we came here
                return self.closed_permit
            if self._state is BreakerState.OPEN and now_s >= self._reopens_s:
                self._state = BreakerState.HALF_OPEN
                self._successes = self._failures = 0
            if self._state is BreakerState.HALF_OPEN:
                self._expire_probes(now_s)
                used = self._successes + self._failures + len(self._probes)
                if used < self._config.half_open_permits:
                    permit = Permit(now_s + self._config.probe_lease_s)
                    self._probes.add(permit)
                    return permit
            self._short_circuited += 1
            return None

    def _expire_probes(self, now_s: float) -> None:
        hung = [probe for probe in self._probes if probe.lease_ends_s <= now_s]
        self._expired += len(hung)
        self._probes.difference_update(hung)

    def _settle_probe(self, permit: Permit, *, is_failure: bool, now_s: float) -> None:
        with self._lock:
            if permit not in self._probes or permit.lease_ends_s <= now_s:
                self._stale += 1
                return
            self._probes.discard(permit)
            self._failures += is_failure
            self._successes += not is_failure
            permits = self._config.half_open_permits
            if self._failures * 100.0 >= self._config.failure_percent * permits:
                self._open(now_s)
            elif (permits - self._successes) * 100.0 < self._config.failure_percent * permits:
                self._close()

    def stats(self) -> BreakerStats:
        """Where it stands; window counts are as of the latest call."""
        return BreakerStats(
            state=self._state,
            window_calls=self._window.total,
            window_failures=self._window.failed,
            probes_out=len(self._probes),
            opened=self._opened,
            short_circuited=self._short_circuited,
            stale_results=self._stale,
            expired_probes=self._expired,
        )
