"""Everything about a command that is data: limits, windows, times.

One frozen record for each part and one, `CommandConfig`, that holds them. What is code (fallbacks,
predicates, exception classes) is an argument of `Command` instead, so that a whole configuration
can come from a file, the environment or the platform, be compared, shown and written down.

A key names a field by its path: `breaker.open_s`, `bulkhead.max_concurrent`, `timeout_s`. The
live configuration lays `default`, group and command keys over these records in that order.

`SheddingConfig` is for the other side: what a server of this process takes on.
"""

from typing import Final, Literal

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.bounds import above_zero, at_least, between

Jitter = Literal["none", "full", "equal", "decorrelated"]
Mode = Literal["enabled", "disabled", "forced_open", "forced_closed", "metrics_only"]

MOST_KEPT: Final = 1_000_000
"""Of what is kept in memory one by one: permits, the calls of a window."""
MOST_BUCKETS: Final = 10_000
MOST_THREADS: Final = 10_000


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, and how it finds out that the callee is well again.

    window: `time` judges the last `window_s` seconds in `buckets` parts, `count` the last
    `window_calls` calls, `consecutive` opens after `window_calls` failures in a row.
    failure_percent, slow_percent: 0 < p <= 100 of at least `minimum_calls`; a call is slow when
    it took longer than slow_call_s (None: none is). whole_percent: rates are cut to whole percents
    before they are compared. counts_rejections: a call that a part further in refused is a failure.
    judge: at `each_call`, or at the end of each `judge_every_s` (Hystrix's health snapshot), which
    is then the length of a bucket too, so that no call's own result opens the breaker.
    open_s grows by `open_factor` with every probe round that failed, up to `max_open_s`, and is
    spread by +-open_jitter (0..1); a Retry-After of the callee may lengthen it, up to `max_open_s`
    (`honour_retry_after`), or open a closed breaker by itself (`retry_after_opens`).
    `automatic_half_open`: it turns half open by time alone.
    half_open_permits: probes of one round. decides_early: a round ends as soon as the probes still
    out cannot change its outcome; else when min(minimum_calls, half_open_permits) have reported.
    probe_lease_s: a probe that does not report within it loses its permit and its say, so keep it
    above the longest call. max_half_open_s: a round undecided for so long ends as
    `undecided_goes_to` says (0: never).
    ramp_s: after recovery the share of calls let through grows to all within it.
    mode: `disabled` never rejects and records nothing, `metrics_only` records and never rejects,
    `forced_open` rejects all, `forced_closed` records and never rejects whatever it sees.
    enforcing_percent: share of the rejections that are carried out; the others are only counted.
    """

    mode: Mode = "enabled"
    window: Literal["time", "count", "consecutive"] = "time"
    window_s: float = 10.0
    buckets: int = 10
    window_calls: int = 100
    minimum_calls: int = 20
    failure_percent: float = 50.0
    slow_call_s: float | None = None
    slow_percent: float = 100.0
    whole_percent: bool = False
    counts_rejections: bool = False
    judge: Literal["each_call", "interval"] = "each_call"
    judge_every_s: float = 0.5
    open_s: float = 2.0
    open_factor: float = 1.0
    max_open_s: float = 60.0
    open_jitter: float = 0.0
    honour_retry_after: bool = True
    retry_after_opens: bool = False
    automatic_half_open: bool = False
    half_open_permits: int = 3
    decides_early: bool = True
    probe_lease_s: float = 10.0
    max_half_open_s: float = 0.0
    undecided_goes_to: Literal["open", "closed"] = "open"
    ramp_s: float = 0.0
    enforcing_percent: float = 100.0

    def __post_init__(self) -> None:
        """Refuse values that would make a breaker that never opens or never closes."""
        for name in ("failure_percent", "slow_percent"):
            between(name, getattr(self, name), 0.0, 100.0, open_below=True)
        between("enforcing_percent", self.enforcing_percent, 0.0, 100.0)
        between("open_jitter", self.open_jitter, 0.0, 1.0)
        for name in ("minimum_calls", "half_open_permits", "window_calls"):
            between(name, getattr(self, name), 1, MOST_KEPT)
        between("buckets", self.buckets, 1, MOST_BUCKETS)
        for name in ("window_s", "open_s", "probe_lease_s", "judge_every_s", "max_open_s"):
            above_zero(name, getattr(self, name))
        for name in ("max_half_open_s", "ramp_s"):
            at_least(name, getattr(self, name), 0)
        at_least("open_factor", self.open_factor, 1)
        if self.slow_call_s is not None:
            above_zero("slow_call_s", self.slow_call_s)


def _check_shares(partitions: dict[str, float], reject_delay_s: dict[str, float]) -> None:
    for name, share in partitions.items():
        between(f"partitions.{name}", share, 0.0, 1.0, open_below=True)
    if sum(partitions.values()) > 1.0 + 1e-9:
        raise SettingsError(
            f"partitions promise {sum(partitions.values()):.3g} of the places, "
            "together at most 1 is allowed"
        )
    for name, delay_s in reject_delay_s.items():
        between(f"reject_delay_s.{name}", delay_s, 0.0, 60.0)


class BulkheadConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many calls may be under way.

    max_wait_s: how long a call waits for a place (0: refused at once), in a line of at most
    max_waiting, the first or the last that came first (wait_order). partitions: share of the
    places guaranteed to a class of callers, 0 < share, together at most 1. reject_delay_s: by
    partition, how long a refusal is held back to slow down callers that come again at once.
    isolation `thread`: calls run on a pool of `threads` with a queue of `queue` (sync calls only);
    the caller walks away at the timeout. About 20 us a call: never the default.
    """

    max_concurrent: int = 100
    max_wait_s: float = 0.0
    max_waiting: int = 100
    wait_order: Literal["fifo", "lifo"] = "fifo"
    partitions: dict[str, float] = {}
    reject_delay_s: dict[str, float] = {}
    isolation: Literal["semaphore", "thread"] = "semaphore"
    threads: int = 10
    queue: int = 0

    def __post_init__(self) -> None:
        """Refuse what admits nobody or promises more than there is."""
        between("max_concurrent", self.max_concurrent, 1, MOST_KEPT)
        between("threads", self.threads, 1, MOST_THREADS)
        between("queue", self.queue, 0, MOST_KEPT)
        at_least("max_wait_s", self.max_wait_s, 0)
        at_least("max_waiting", self.max_waiting, 1)
        _check_shares(self.partitions, self.reject_delay_s)


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many retries one dependency is given, over all its callers in this process.

    `grpc` (proposal A6): `tokens` at most, one less with each failure, `ratio` more with each
    success; retries only above half. `envoy`: at most max(`minimum`, `percent` of the calls under
    way) retries at once. `aws`: `tokens`, `cost` for each retry (`timeout_cost` after a timeout,
    `throttle_cost` after a refusal for overload), given back when the retry succeeds, one back
    for each first success. `none`: no budget.
    """

    mode: Literal["grpc", "envoy", "aws", "none"] = "grpc"
    tokens: float = 10.0
    ratio: float = 0.1
    percent: float = 20.0
    minimum: int = 3
    cost: float = 5.0
    timeout_cost: float = 10.0
    throttle_cost: float = 5.0

    def __post_init__(self) -> None:
        """Refuse budgets that cannot be spent or never fill."""
        above_zero("tokens", self.tokens)
        above_zero("ratio", self.ratio)
        between("percent", self.percent, 0.0, 100.0)
        at_least("minimum", self.minimum, 0)
        above_zero("cost", self.cost)
        above_zero("timeout_cost", self.timeout_cost)
        above_zero("throttle_cost", self.throttle_cost)


class RetryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a failed call is tried again, and how long between.

    max_attempts counts the first. Delay before attempt n+1: `initial_s` * `factor`^(n-1), at most
    `max_s`, then jitter; after a refusal for overload `throttled_initial_s` * ... instead (None: no
    difference). A Retry-After or push-back of the callee takes its place if it is at most
    `max_retry_after_s`, else there is no further attempt. nested: retry also when this process
    was itself called by a retrying caller (False keeps retries to one layer).
    """

    max_attempts: int = 3
    initial_s: float = 0.05
    throttled_initial_s: float | None = None
    factor: float = 2.0
    max_s: float = 1.0
    jitter: Jitter = "full"
    honour_retry_after: bool = True
    max_retry_after_s: float = 5.0
    nested: bool = False
    budget: BudgetConfig = BudgetConfig()

    def __post_init__(self) -> None:
        """Refuse what never tries, or waits less than nothing."""
        between("max_attempts", self.max_attempts, 1, 20)
        at_least("initial_s", self.initial_s, 0)
        if self.throttled_initial_s is not None:
            at_least("throttled_initial_s", self.throttled_initial_s, 0)
        at_least("max_s", self.max_s, 0)
        at_least("factor", self.factor, 1)
        at_least("max_retry_after_s", self.max_retry_after_s, 0)


class HedgeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second copy of a slow call, for calls that may be repeated without harm only.

    delay_s None: the command's own `delay_percentile`, known after `minimum_calls`; before, no
    hedge. budget_percent: extra calls per hundred that succeed, `budget_burst` saved up at most.
    max_hedges: further copies of one call. sync_threads: threads that copies of sync calls run
    on, first copies too (0: sync calls are not hedged; a loser cannot be stopped there).
    """

    delay_s: float | None = None
    delay_percentile: float = 95.0
    minimum_calls: int = 50
    max_hedges: int = 1
    budget_percent: float = 5.0
    budget_burst: float = 10.0
    sync_threads: int = 0

    def __post_init__(self) -> None:
        """Refuse hedges without bound."""
        if self.delay_s is not None:
            at_least("delay_s", self.delay_s, 0)
        between("delay_percentile", self.delay_percentile, 0.0, 100.0, open_below=True)
        between("budget_percent", self.budget_percent, 0.0, 100.0, open_below=True)
        at_least("budget_burst", self.budget_burst, 1)
        between("max_hedges", self.max_hedges, 1, 5)
        at_least("minimum_calls", self.minimum_calls, 1)
        between("sync_threads", self.sync_threads, 0, 64)


class FallbackConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """enabled: whether fallbacks are used; max_concurrent: how many at once, apart from calls."""

    enabled: bool = True
    max_concurrent: int = 10

    def __post_init__(self) -> None:
        """Refuse a fallback that nobody may take."""
        between("max_concurrent", self.max_concurrent, 1, MOST_KEPT)


class StaleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last good answer for each key, used when the call fails.

    ttl_s: an answer not older than this is used instead of a call (0: every call is made).
    max_stale_s: how long after that it may still stand in for a call that failed.
    max_entries: keys kept, the least recently renewed leave first.
    """

    ttl_s: float = 0.0
    max_stale_s: float = 300.0
    max_entries: int = 1_000

    def __post_init__(self) -> None:
        """Refuse a cache of nothing."""
        at_least("ttl_s", self.ttl_s, 0)
        above_zero("max_stale_s", self.max_stale_s)
        at_least("max_entries", self.max_entries, 1)


class CollapseConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many single calls as one batch: collected for `wait_s`, at most `max_batch` together.

    scope `request`: only calls of one request share a batch; `global`: all of the process.
    """

    max_batch: int = 100
    wait_s: float = 0.01
    scope: Literal["request", "global"] = "global"
    caches_requests: bool = True

    def __post_init__(self) -> None:
        """Refuse a batch of nothing."""
        at_least("max_batch", self.max_batch, 1)
        at_least("wait_s", self.wait_s, 0)


class RateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `calls` in each `per_s` seconds; a call waits at most `max_wait_s` for its turn.

    schedule `window`: exact for every stretch of `per_s`, wherever it begins; keeps a number for
    each of `calls`. `gcra`: evenly spaced, up to `burst` at once after a pause (None: `calls`; so
    up to burst + calls in one stretch); constant memory. `cycle`: as Resilience4j, `calls` in each
    period of the clock, up to twice as many around its end.
    """

    calls: int = 50
    per_s: float = 1.0
    max_wait_s: float = 0.0
    schedule: Literal["window", "gcra", "cycle"] = "window"
    burst: int | None = None

    def __post_init__(self) -> None:
        """Refuse a rate of nothing, and a window too long to keep."""
        at_least("calls", self.calls, 1)
        above_zero("per_s", self.per_s)
        at_least("max_wait_s", self.max_wait_s, 0)
        if self.schedule == "window":
            between("calls (of schedule window)", self.calls, 1, 100_000)
        if self.burst is not None:
            at_least("burst", self.burst, 1)


class AdaptiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit of calls under way that finds its own height from latency and drops.

    algorithm: `aimd`, `vegas` and `gradient2` as in Netflix's concurrency-limits, number for
    number; `guarded` is our own, with their known failures mended (docs/decisions/0013). None:
    the algorithm's own default. window_s, minimum_samples: samples are gathered so long before
    the limit moves; `guarded` moves earlier when it has plenty. max_wait_s, max_waiting,
    wait_order, partitions, reject_delay_s: as for the bulkhead. timeout_s, backoff_ratio: aimd.
    smoothing: vegas, gradient2. tolerance, queue: gradient2, guarded. long_window: gradient2.
    """

    algorithm: Literal["aimd", "vegas", "gradient2", "guarded"] = "guarded"
    initial: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    window_s: float = 1.0
    minimum_samples: int = 10
    max_wait_s: float = 0.0
    max_waiting: int = 100
    wait_order: Literal["fifo", "lifo"] = "lifo"
    partitions: dict[str, float] = {}
    reject_delay_s: dict[str, float] = {}
    timeout_s: float = 5.0
    backoff_ratio: float = 0.9
    smoothing: float | None = None
    tolerance: float | None = None
    long_window: int = 600
    queue: int = 4

    def __post_init__(self) -> None:
        """Refuse limits that cross."""
        for name in ("initial", "minimum", "maximum"):
            value = getattr(self, name)
            if value is not None:
                at_least(name, value, 1)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise SettingsError(f"minimum {self.minimum} is above maximum {self.maximum}")
        above_zero("window_s", self.window_s)
        above_zero("timeout_s", self.timeout_s)
        at_least("minimum_samples", self.minimum_samples, 1)
        between("backoff_ratio", self.backoff_ratio, 0.5, 0.9999)
        if self.tolerance is not None:
            at_least("tolerance", self.tolerance, 1)
        at_least("long_window", self.long_window, 1)
        at_least("queue", self.queue, 0)
        if self.smoothing is not None:
            between("smoothing", self.smoothing, 0.0, 1.0, open_below=True)
        at_least("max_wait_s", self.max_wait_s, 0)
        at_least("max_waiting", self.max_waiting, 1)
        _check_shares(self.partitions, self.reject_delay_s)


class ThrottleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuse a share of calls here when the callee refuses them anyway (Google's SRE book).

    P(reject) = max(0, (requests - k * accepts) / (requests + 1)) over `window_s`, at most
    `max_percent`.
    """

    k: float = 2.0
    window_s: float = 120.0
    max_percent: float = 100.0

    def __post_init__(self) -> None:
        """Refuse a k below 1, which would reject healthy calls."""
        at_least("k", self.k, 1)
        above_zero("window_s", self.window_s)
        between("max_percent", self.max_percent, 0.0, 100.0)


class StatisticsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rolling counters over `window_s` in `buckets`; latencies over `latency_window_s`."""

    window_s: float = 10.0
    buckets: int = 10
    latency_window_s: float = 60.0
    latency_buckets: int = 6

    def __post_init__(self) -> None:
        """Refuse windows of nothing."""
        above_zero("window_s", self.window_s)
        above_zero("latency_window_s", self.latency_window_s)
        between("buckets", self.buckets, 1, MOST_BUCKETS)
        between("latency_buckets", self.latency_buckets, 1, MOST_BUCKETS)


class CommandConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parts of one command; None leaves a part out.

    timeout_s: limit of one attempt. total_s: limit of the whole call with its retries and waits;
    a shorter total than attempt is refused, since it could only be a mistake.
    enabled: False lets every call through untouched and uncounted.
    """

    enabled: bool = True
    timeout_s: float | None = None
    total_s: float | None = None
    breaker: BreakerConfig | None = BreakerConfig()
    bulkhead: BulkheadConfig | None = BulkheadConfig()
    adaptive: AdaptiveConfig | None = None
    rate: RateConfig | None = None
    throttle: ThrottleConfig | None = None
    retry: RetryConfig | None = None
    hedge: HedgeConfig | None = None
    fallback: FallbackConfig = FallbackConfig()
    stale: StaleConfig | None = None
    collapse: CollapseConfig | None = None
    request_cache: bool = False
    single_flight: bool = False
    statistics: StatisticsConfig = StatisticsConfig()

    def __post_init__(self) -> None:
        """Refuse combinations that cannot do what they say."""
        for name in ("timeout_s", "total_s"):
            value = getattr(self, name)
            if value is not None:
                above_zero(name, value)
        if (
            self.timeout_s is not None
            and self.total_s is not None
            and self.timeout_s > self.total_s
        ):
            raise SettingsError(
                f"timeout_s (one attempt) is {self.timeout_s}, longer than total_s "
                f"(all attempts together) {self.total_s}"
            )


class SheddingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much work a server takes on, and whose work first.

    enabled: False takes on whatever comes. limit: requests at work at once; None: `adaptive` finds
    it. critical_plus ... sheddable: share of the limit that may be in use for a request of this
    class still to be taken in; above 1 the class may go beyond the limit. queue: requests that may
    wait (0: none); they wait at most interval_s, or target_s when the queue has not been empty for
    interval_s. refuse_late: refuse a request whose deadline is nearer than its endpoint usually
    takes. retry_after_s: told with every refusal but that one.
    """

    enabled: bool = True
    limit: int | None = None
    adaptive: AdaptiveConfig = AdaptiveConfig()
    critical_plus: float = 1.1
    critical: float = 1.0
    sheddable_plus: float = 0.9
    sheddable: float = 0.75
    queue: int = 100
    target_s: float = 0.005
    interval_s: float = 0.1
    refuse_late: bool = True
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse thresholds that would shed the important before the unimportant."""
        if self.limit is not None:
            at_least("limit", self.limit, 1)
        above_zero("sheddable", self.sheddable)
        at_least("sheddable_plus", self.sheddable_plus, self.sheddable)
        at_least("critical", self.critical, self.sheddable_plus)
        at_least("critical_plus", self.critical_plus, self.critical)
        between("queue", self.queue, 0, MOST_KEPT)
        above_zero("target_s", self.target_s)
        at_least("interval_s", self.interval_s, self.target_s)
        at_least("retry_after_s", self.retry_after_s, 0)
