"""Rolling statistics of one command: events by type, highest concurrency, latencies.

A call writes by `list.append` only, which is atomic with and without a global lock: a success its
duration into `log`, anything rarer its event into `events`. The lists are folded into buckets when
`turn_s` has passed, by whoever comes then; a call that succeeds never waits for a fold that another
thread has begun. Before a failure is judged, and before a reader reads, all is folded.

Every entry belongs to the bucket that was open when it was written, give or take calls that end
in the very moment of the turn on another thread; none is lost and none counts twice.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from breakwater.sdk.guard.config import StatisticsConfig
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.histogram import Histogram, Latencies, merged

_T = TypeVar("_T")
_DEFAULT: Final = StatisticsConfig()
EVENTS: Final = len(EventType)
_SUCCESS: Final = int(EventType.SUCCESS)
_MAX_ACTIVE: Final = int(EventType.COMMAND_MAX_ACTIVE)
_HEALTH: Final = (
    EventType.SUCCESS,
    EventType.FAILURE,
    EventType.TIMEOUT,
    EventType.THREAD_POOL_REJECTED,
    EventType.SEMAPHORE_REJECTED,
)
_MISSED: Final = (EventType.FALLBACK_MISSING, EventType.EXCEPTION_THROWN)
SHUT_OUT: Final = EVENTS
FULL_UP: Final = EVENTS + 1
"""Two whole calls as one entry: refused by the breaker or by the bulkhead, with no fallback. During
an outage that is nearly every call."""
_WHOLE: Final = {
    SHUT_OUT: (EventType.SHORT_CIRCUITED, *_MISSED),
    FULL_UP: (EventType.SEMAPHORE_REJECTED, *_MISSED),
}
BATCH: Final = 4096
"""Entries that a fold should find; the next one is set for when about so many are expected."""
LEAST_S: Final = 0.002
MOST_S: Final = 0.05
"""A fold comes at least so often under traffic, which bounds what a sudden burst can pile up."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did lately and since start; counts by `EventType`, in its order.

    rolling: within `window_s`; its COMMAND_MAX_ACTIVE is the highest concurrency of the window.
    since_start: its COMMAND_MAX_ACTIVE is the highest ever. execution: attempts that ran, total:
    whole calls with their waits, retries and fallbacks; both within `latency_window_s`. peak_per_s:
    calls that ran or were refused a place, a second, in the busiest bucket that is over.
    """

    window_s: float
    latency_window_s: float
    rolling: tuple[int, ...]
    since_start: tuple[int, ...]
    execution: Latencies
    total: Latencies
    peak_per_s: float = 0.0

    def count(self, event: EventType) -> int:
        """How often it happened within the window."""
        return self.rolling[event]

    @property
    def health_total(self) -> int:
        """Calls that say something of the callee, as Hystrix counts them."""
        return sum(self.rolling[event] for event in _HEALTH)

    @property
    def health_errors(self) -> int:
        """Those of `health_total` that did not succeed."""
        return self.health_total - self.rolling[EventType.SUCCESS]

    @property
    def error_percent(self) -> int:
        """Errors in hundred, rounded down as Hystrix does."""
        total = self.health_total
        return int(self.health_errors * 100 / total) if total else 0


class LatencyBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket of latencies: of calls whose attempt was the whole call, and of the others."""

    tick: int
    whole: Latencies
    execution: Latencies
    total: Latencies


def _demand(counts: list[int]) -> int:
    """Calls of a bucket that ran, or were refused a place."""
    return sum(counts[event] for event in _HEALTH) + counts[EventType.BAD_REQUEST]


def _nothing() -> None:
    """Nobody waits for the end of a fold."""


class _Bucket:
    """Counts of one bucket of time."""

    __slots__ = ("counts", "peak", "tick")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.counts = [0] * EVENTS
        self.peak = 0


class _LatencyBucket:
    """Latencies of one bucket: of calls whose attempt was the whole call, and of the others."""

    __slots__ = ("execution", "tick", "total", "whole")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.whole = Histogram()
        self.execution: Histogram | None = None
        self.total: Histogram | None = None


class Statistics:
    """See above. peak: tells the highest concurrency since it was last asked.

    on_fold: told (n, at_s, now_s) how many successes a fold found that ended up to at_s, so that a
    breaker or a budget need not hear of each; says when it wants to be told next at the latest.
    It is called under the lock of the fold, so that whoever waited for a fold finds all successes
    told; `on_folded` after it, under none. Hot paths read `turn_s` and append to `log`; when a
    clock reading lies beyond `turn_s` they call `turn` first.
    """

    __slots__ = (
        "_buckets",
        "_config",
        "_execution",
        "_folded_s",
        "_latencies",
        "_lock",
        "_on_fold",
        "_on_folded",
        "_peak",
        "_since_start",
        "_total",
        "events",
        "is_folding",
        "log",
        "turn_s",
    )  # fmt: skip

    def __init__(
        self,
        config: StatisticsConfig = _DEFAULT,
        *,
        peak: Callable[[], int],
        on_fold: Callable[[int, float, float], float],
        on_folded: Callable[[], None] = _nothing,
    ) -> None:
        self.log: list[float] = []
        self.events: list[int] = []
        self.turn_s = float("-inf")  # the first entry opens the first bucket
        self._execution: list[float] = []
        self._total: list[float] = []
        self._folded_s = 0.0
        self._config = config
        self._peak = peak
        self._on_fold = on_fold
        self._on_folded = on_folded
        self.is_folding = False
        self._buckets: deque[_Bucket] | None = None
        self._latencies: deque[_LatencyBucket] | None = None
        self._since_start: list[int] | None = None
        self._lock = (
            threading.RLock()
        )  # a finaliser may come in the midst of a fold of its own thread

    @property
    def config(self) -> StatisticsConfig:
        """Its windows."""
        return self._config

    def configure(self, config: StatisticsConfig) -> None:
        """Go on with other windows; what was rolling starts anew, counts since start go on."""
        if config == self._config:
            return
        self.fold(self._folded_s)
        with self._lock:
            self._config = config
            self._buckets = self._latencies = None
            self.turn_s = float("-inf")

    def success(self, seconds: float, now_s: float) -> None:
        """An attempt succeeded and was the whole call; what the fast road does in line."""
        if now_s > self.turn_s:
            self.turn(now_s)
        self.log.append(seconds)

    def settled(self, seconds: float) -> None:
        """As `success`, of a call that those who count successes have heard of; after `turn`."""
        self.events.append(_SUCCESS)
        self._execution.append(seconds)
        self._total.append(seconds)

    def count(self, event: int, now_s: float, times: int = 1) -> None:
        """Something happened `times` times; COMMAND_MAX_ACTIVE cannot be counted."""
        if now_s > self.turn_s:
            self.turn(now_s)
        if times == 1:
            self.events.append(event)
        elif times <= BATCH:
            self.events.extend([event] * times)
        else:  # the items of a long stream
            self._count_many(event, now_s, times)

    def _count_many(self, event: int, now_s: float, times: int) -> None:
        self.fold(now_s)
        with self._lock:
            assert self._buckets is not None, "a fold opens a bucket"
            assert self._since_start is not None, "made with the first bucket"
            self._buckets[-1].counts[event] += times
            self._since_start[event] += times

    def executed(self, seconds: float, now_s: float) -> None:
        """An attempt ran so long, whatever its end."""
        if now_s > self.turn_s:
            self.turn(now_s)
        self._execution.append(seconds)

    def ended(self, seconds: float, now_s: float) -> None:
        """A whole call took so long."""
        if now_s > self.turn_s:
            self.turn(now_s)
        self._total.append(seconds)

    def turn(self, now_s: float, *, leaving: int = 0) -> None:
        """Fold what was written and open the bucket of `now_s`; does not wait for another fold.

        leaving: 1 for a call that ends now and is no longer counted as under way.
        """
        if self._lock.acquire(blocking=False):
            try:
                if self.is_folding:  # a finaliser within this thread's own fold
                    return
                self._fold_and_tell(now_s, leaving)
            finally:
                self._lock.release()
            self._on_folded()

    def fold(self, now_s: float, *, leaving: int = 0) -> None:
        """As `turn`, and all that was written before is told when it returns."""
        with self._lock:
            if self.is_folding:  # as in `turn`; the lists are in the midst of being emptied
                return
            self._fold_and_tell(now_s, leaving)
        self._on_folded()

    def _fold_and_tell(self, now_s: float, leaving: int) -> None:
        at_s = min(now_s, self.turn_s)
        self.is_folding = True
        try:
            found = self._fold(now_s, leaving)
            self.turn_s = min(self.turn_s, self._on_fold(found, at_s, now_s))
        finally:
            self.is_folding = False

    def _fold(self, now_s: float, leaving: int = 0) -> int:
        """Empty the lists into the bucket they belong to, then make that of `now_s` the latest.

        Returns the successes found among those of the fast road.
        """
        log, events = _taken(self.log), _taken(self.events)
        execution, total = _taken(self._execution), _taken(self._total)
        peak, is_first = self._peak(), self._buckets is None
        if not is_first:
            self._fold_counts(log, events, peak)
        if (log or execution or total) and self._latencies is not None:
            self._fold_latencies(log, execution, total)
        if self._open(now_s) and self._buckets is not None:
            under_way = self._peak() + leaving  # as the bucket opens
            self._buckets[-1].peak = max(under_way, peak) if is_first else under_way
        since_start = self._since_start
        assert since_start is not None, "made with the first bucket"
        since_start[_MAX_ACTIVE] = max(since_start[_MAX_ACTIVE], peak)
        self._set_turn(now_s, len(log) + len(events))
        return len(log)

    def _fold_counts(self, log: list[float], events: list[int], peak: int) -> None:
        assert self._buckets is not None, "folded only after a bucket was opened"
        assert self._since_start is not None, "made with the first bucket"
        bucket, since_start = self._buckets[-1], self._since_start
        for entry, times in Counter(events).items() if events else ():
            for event in _WHOLE.get(entry, (entry,)):
                bucket.counts[event] += times
                since_start[event] += times
        bucket.counts[_SUCCESS] += len(log)
        since_start[_SUCCESS] += len(log)
        bucket.peak = max(bucket.peak, peak)

    def _fold_latencies(self, log: list[float], execution: list[float], total: list[float]) -> None:
        assert self._latencies is not None, "opened together with the buckets"
        bucket = self._latencies[-1]
        bucket.whole.add(log)
        if execution:
            bucket.execution = bucket.execution or Histogram()
            bucket.execution.add(execution)
        if total:
            bucket.total = bucket.total or Histogram()
            bucket.total.add(total)

    def _open(self, now_s: float) -> bool:
        """Make the buckets of `now_s` the latest; whether those of counts were opened anew."""
        config = self._config
        tick = int(now_s * config.buckets / config.window_s)
        is_new = self._buckets is None or self._buckets[-1].tick < tick
        if self._since_start is None:
            self._since_start = [0] * EVENTS
        if self._buckets is None:
            self._buckets = deque((_Bucket(tick),))
        elif tick > self._buckets[-1].tick:
            self._buckets.append(_Bucket(tick))
        while self._buckets[0].tick <= tick - config.buckets:
            self._buckets.popleft()
        tick = int(now_s * config.latency_buckets / config.latency_window_s)
        if self._latencies is None:
            self._latencies = deque((_LatencyBucket(tick),))
        elif tick > self._latencies[-1].tick:
            self._latencies.append(_LatencyBucket(tick))
        while self._latencies[0].tick <= tick - config.latency_buckets:
            self._latencies.popleft()
        return is_new

    def _set_turn(self, now_s: float, entries: int) -> None:
        """The next fold: at the end of the bucket, or when about BATCH entries are expected."""
        config = self._config
        passed_s = max(now_s - self._folded_s, 1e-6)
        self._folded_s = now_s
        wait_s = min(max(BATCH * passed_s / max(entries, 1), LEAST_S), MOST_S)
        ends_s = min(
            _end_s(now_s, config.window_s / config.buckets),
            _end_s(now_s, config.latency_window_s / config.latency_buckets),
        )
        self.turn_s = min(now_s + wait_s, ends_s)

    def figures(self, now_s: float) -> Figures:
        """Everything up to now; folds first."""
        self.fold(now_s)
        with self._lock:
            config = self._config
            buckets, latencies = tuple(self._buckets or ()), tuple(self._latencies or ())
            rolling = [sum(column) for column in zip(*(b.counts for b in buckets), strict=True)]
            rolling[_MAX_ACTIVE] = max(bucket.peak for bucket in buckets)
            execution = merged(_present((b.whole, b.execution) for b in latencies))
            total = merged(_present((b.whole, b.total) for b in latencies))
            return Figures(
                window_s=config.window_s,
                latency_window_s=config.latency_window_s,
                rolling=tuple(rolling),
                since_start=tuple(self._since_start or ()),
                execution=execution,
                total=total,
                peak_per_s=max((_demand(bucket.counts) for bucket in buckets[:-1]), default=0)
                * config.buckets
                / config.window_s,
            )

    def highest_active(self, now_s: float) -> int:
        """The highest concurrency of the window."""
        self.fold(now_s)
        with self._lock:
            return max((bucket.peak for bucket in self._buckets or ()), default=0)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever written."""
        return self._since_start is None and not self.log and not self.events

    def since_tick(self, tick: int, now_s: float) -> list[LatencyBucket]:
        """What the latency buckets from this tick on hold; only the last one still grows."""
        self.fold(now_s)
        with self._lock:
            return [
                LatencyBucket(
                    tick=bucket.tick,
                    whole=bucket.whole.snapshot(),
                    execution=merged(_present(((bucket.execution,),))),
                    total=merged(_present(((bucket.total,),))),
                )
                for bucket in self._latencies or ()
                if bucket.tick >= tick
            ]

    def since_start(self, now_s: float) -> tuple[int, ...]:
        """Counts by event type since start; cheaper than `figures`."""
        self.fold(now_s)
        return tuple(self._since_start or ())

    def percentile_s(self, percent: float, now_s: float) -> tuple[float, int]:
        """A percentile of the executions of the latency window, and of how many."""
        self.fold(now_s)
        with self._lock:
            execution = merged(_present((b.whole, b.execution) for b in self._latencies or ()))
        return execution.percentile_s(percent), execution.count


def _taken(entries: list[_T]) -> list[_T]:
    """All entries; what is appended meanwhile stays for the next time."""
    if not entries:
        return []
    taken = entries[:]
    del entries[: len(taken)]
    return taken


def _present(pairs: Iterable[tuple[Histogram | None, ...]]) -> Iterator[Histogram]:
    return (histogram for pair in pairs for histogram in pair if histogram is not None)


def _end_s(now_s: float, width_s: float) -> float:
    """When the bucket of `now_s` ends."""
    return (int(now_s / width_s) + 1) * width_s
