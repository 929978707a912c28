"""The messages of `/hystrix.stream`: one for each command, thread pool and collapser.

Every field Hystrix 1.5 sends is there, by its name and in its order. Times are whole
milliseconds, cut and not rounded, as Hystrix gives them. Where a command has no counterpart of a
Hystrix setting, the field says what is in effect: no limit of calls is the largest Java integer, no
time limit is 0, and threads are never interrupted.
"""

from collections.abc import Mapping
from typing import Any, Final

from breakwater.sdk.guard.command import Command
from breakwater.sdk.guard.config import BreakerConfig, BulkheadConfig, CollapseConfig, CommandConfig
from breakwater.sdk.guard.counting.statistics import Figures
from breakwater.sdk.guard.events import BreakerState, EventType
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.limiting.pool import PoolStats
from breakwater.sdk.guard.sharing.collapse import CollapseFigures
from breakwater.sdk.histogram import Latencies

Message = dict[str, Any]  # Any: what JSON holds
NO_LIMIT: Final = 2**31 - 1
_SHUT: Final = frozenset((BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.FORCED_OPEN))
_NO_BREAKER: Final = BreakerConfig()
_PERCENTS: Final = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 100.0)
_SIZE_PERCENTS: Final = _PERCENTS[1:]
ROLLING: Final = (
    ("rollingCountBadRequests", EventType.BAD_REQUEST),
    ("rollingCountCollapsedRequests", EventType.COLLAPSED),
    ("rollingCountEmit", EventType.EMIT),
    ("rollingCountExceptionsThrown", EventType.EXCEPTION_THROWN),
    ("rollingCountFailure", EventType.FAILURE),
    ("rollingCountFallbackEmit", EventType.FALLBACK_EMIT),
    ("rollingCountFallbackFailure", EventType.FALLBACK_FAILURE),
    ("rollingCountFallbackMissing", EventType.FALLBACK_MISSING),
    ("rollingCountFallbackRejection", EventType.FALLBACK_REJECTION),
    ("rollingCountFallbackSuccess", EventType.FALLBACK_SUCCESS),
    ("rollingCountResponsesFromCache", EventType.RESPONSE_FROM_CACHE),
    ("rollingCountSemaphoreRejected", EventType.SEMAPHORE_REJECTED),
    ("rollingCountShortCircuited", EventType.SHORT_CIRCUITED),
    ("rollingCountSuccess", EventType.SUCCESS),
    ("rollingCountThreadPoolRejected", EventType.THREAD_POOL_REJECTED),
    ("rollingCountTimeout", EventType.TIMEOUT),
)
"""The rolling counters in the order of the stream, which is not that of the ordinals."""
_EXECUTED: Final = (
    EventType.SUCCESS,
    EventType.FAILURE,
    EventType.TIMEOUT,
    EventType.BAD_REQUEST,
)


def dashboard_messages(guards: Guards, *, logs_requests: bool) -> list[Message]:
    """All messages of one tick: commands, then thread pools, then collapsers."""
    now_ms = guards.shared.clock.now_ms()
    commands = list(guards)
    figures = {command.name: command.figures() for command in commands}
    messages = [
        command_message(command, figures[command.name], now_ms, logs_requests=logs_requests)
        for command in commands
    ]
    for name, pool in sorted(guards.shared.workers.items()):
        members = [figures[each.name] for each in commands if each.pool == name and _is_on(each)]
        messages.append(pool_message(name, pool.stats(), members, now_ms))
    for name, collapser, config in collapsers_of(commands):
        messages.append(collapser_message(name, collapser.figures(), config, now_ms))
    return messages


def collapsers_of(commands: list[Command]) -> list[tuple[str, Any, CollapseConfig]]:
    """Every collapser by a name of its own, with what it goes by."""
    found = []
    for command in commands:
        config = command.config.collapse or CollapseConfig()
        for number, collapser in enumerate(command.collapsers, 1):
            name = command.name if number == 1 else f"{command.name}-{number}"
            found.append((name, collapser, config))
    return found


def command_message(
    command: Command, figures: Figures, now_ms: int, *, logs_requests: bool
) -> Message:
    """One HystrixCommand."""
    rolling = figures.rolling
    execution = _latencies(figures.execution)
    is_same = figures.total == figures.execution  # as where calls are attempts, and no more
    return {
        "type": "HystrixCommand",
        "name": command.name,
        "group": command.group,
        "currentTime": now_ms,
        "isCircuitBreakerOpen": is_shut(command),
        "errorPercentage": figures.error_percent,
        "errorCount": figures.health_errors,
        "requestCount": figures.health_total,
        **{name: rolling[event] for name, event in ROLLING},
        "currentConcurrentExecutionCount": command.bulkhead.in_flight(),
        "rollingMaxConcurrentExecutionCount": rolling[EventType.COMMAND_MAX_ACTIVE],
        "latencyExecute_mean": whole_ms(figures.execution.mean_s),
        "latencyExecute": execution,
        "latencyTotal_mean": whole_ms(figures.total.mean_s),
        "latencyTotal": execution if is_same else _latencies(figures.total),
        **_properties(command, logs_requests=logs_requests),
        "reportingHosts": 1,
        "threadPool": command.pool,
    }


def _properties(command: Command, *, logs_requests: bool) -> Message:
    """What the command goes by at present."""
    config = command.config
    breaker = config.breaker or _NO_BREAKER
    timeout_ms = timeout_ms_of(config)
    return {
        "propertyValue_circuitBreakerRequestVolumeThreshold": breaker.minimum_calls,
        "propertyValue_circuitBreakerSleepWindowInMilliseconds": whole_ms(breaker.open_s),
        "propertyValue_circuitBreakerErrorThresholdPercentage": int(breaker.failure_percent),
        "propertyValue_circuitBreakerForceOpen": breaker.mode == "forced_open",
        "propertyValue_circuitBreakerForceClosed": breaker.mode == "forced_closed",
        "propertyValue_circuitBreakerEnabled": has_breaker(config),
        "propertyValue_executionIsolationStrategy": isolation_of(config),
        "propertyValue_executionIsolationThreadTimeoutInMilliseconds": timeout_ms,
        "propertyValue_executionTimeoutInMilliseconds": timeout_ms,
        "propertyValue_executionIsolationThreadInterruptOnTimeout": False,
        "propertyValue_executionIsolationThreadPoolKeyOverride": pool_override_of(command),
        "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests": limit_of(command),
        "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests": (
            config.fallback.max_concurrent
        ),
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": (
            whole_ms(config.statistics.window_s)
        ),
        "propertyValue_requestCacheEnabled": config.request_cache,
        "propertyValue_requestLogEnabled": logs_requests,
    }


def pool_message(name: str, pool: PoolStats, members: list[Figures], now_ms: int) -> Message:
    """One HystrixThreadPool; members: figures of the commands that run on it.

    What rolls is the sum over its commands. Several commands may have had their highest
    concurrency at different times, so the highest number of threads is at most what is given.
    """
    highest = sum(figures.rolling[EventType.COMMAND_MAX_ACTIVE] for figures in members)
    window_s = max((figures.window_s for figures in members), default=10.0)
    return {
        "type": "HystrixThreadPool",
        "name": name,
        "currentTime": now_ms,
        "currentActiveCount": pool.active,
        "currentCompletedTaskCount": pool.completed,
        "currentCorePoolSize": pool.core,
        "currentLargestPoolSize": pool.largest,
        "currentMaximumPoolSize": pool.maximum,
        "currentPoolSize": pool.size,
        "currentQueueSize": pool.queue,
        "currentTaskCount": pool.tasks,
        "rollingCountThreadsExecuted": sum(
            figures.rolling[event] for figures in members for event in _EXECUTED
        ),
        "rollingMaxActiveThreads": max(pool.active, min(pool.maximum, highest)),
        "rollingCountCommandRejections": sum(
            figures.rolling[EventType.THREAD_POOL_REJECTED] for figures in members
        ),
        "propertyValue_queueSizeRejectionThreshold": pool.queue_limit,
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": whole_ms(window_s),
        "reportingHosts": 1,
    }


def collapser_message(
    name: str, figures: CollapseFigures, config: CollapseConfig, now_ms: int
) -> Message:
    """One HystrixCollapser; a call answered by an equal one's is from the cache, not batched."""
    return {
        "type": "HystrixCollapser",
        "name": name,
        "currentTime": now_ms,
        "rollingCountRequestsBatched": figures.requests - figures.shared,
        "rollingCountBatches": figures.batches,
        "rollingCountResponsesFromCache": figures.shared,
        "batchSize_mean": int(figures.mean_size),
        "batchSize": {f"{p:g}": figures.size_percentile(p) for p in _SIZE_PERCENTS},
        "propertyValue_requestCacheEnabled": config.caches_requests,
        "propertyValue_maxRequestsInBatch": config.max_batch,
        "propertyValue_timerDelayInMilliseconds": whole_ms(config.wait_s),
        "reportingHosts": 1,
    }


def is_shut(command: Command) -> bool:
    """Whether calls are kept out; a breaker that only probes counts as open, as in Hystrix."""
    breaker = command.parts.breaker
    return breaker is not None and breaker.state in _SHUT


def has_breaker(config: CommandConfig) -> bool:
    """Whether a breaker has a say."""
    return config.breaker is not None and config.breaker.mode != "disabled"


def isolation_of(config: CommandConfig) -> str:
    """THREAD where calls run on a pool, else SEMAPHORE."""
    bulkhead = config.bulkhead
    return "THREAD" if bulkhead is not None and bulkhead.isolation == "thread" else "SEMAPHORE"


def timeout_ms_of(config: CommandConfig) -> int:
    """The limit of an attempt, else of the call, else 0."""
    limit_s = config.timeout_s if config.timeout_s is not None else config.total_s
    return 0 if limit_s is None else whole_ms(limit_s)


def pool_override_of(command: Command) -> str | None:
    """The pool of a command that is not its group's."""
    return None if command.pool == command.group else command.pool


def limit_of(command: Command) -> int:
    """How many calls may be under way: what an adaptive limit says now, else the bulkhead."""
    made: Mapping[str, tuple[object, Any]] = command.parts.made
    config = command.config
    if config.adaptive is not None and "adaptive" in made:
        return int(made["adaptive"][1].stats().limit)
    bulkhead: BulkheadConfig | None = config.bulkhead
    return NO_LIMIT if bulkhead is None else bulkhead.max_concurrent


def _is_on(command: Command) -> bool:
    return isolation_of(command.config) == "THREAD"


def _latencies(latencies: Latencies) -> dict[str, int]:
    values_s = latencies.percentiles_s(_PERCENTS)
    return {f"{p:g}": whole_ms(value_s) for p, value_s in zip(_PERCENTS, values_s, strict=True)}


def whole_ms(seconds: float) -> int:
    """Whole milliseconds, cut; the slack is for products like 0.29 * 1000."""
    return int(seconds * 1000.0 + 1e-6)
