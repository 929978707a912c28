"""The messages of `/hystrix/config.stream` and `/hystrix/utilization.stream`.

Names and order are those of Hystrix 1.5, but not its slips: `isForcedClosed` says whether the
breaker is forced closed, and `percentileBucketCount` counts the buckets of the percentiles.
"""

from typing import Final

from breakwater.sdk.guard.command import Command
from breakwater.sdk.guard.config import BreakerConfig, CollapseConfig
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.limiting.pool import KEEP_ALIVE_S, PoolStats
from breakwater.sdk.streams.messages import (
    Message,
    collapsers_of,
    has_breaker,
    isolation_of,
    limit_of,
    pool_override_of,
    timeout_ms_of,
    whole_ms,
)

_NO_BREAKER: Final = BreakerConfig()


def config_message(guards: Guards, *, logs_requests: bool) -> Message:
    """What every command, pool and collapser goes by now, as one HystrixConfig."""
    commands = list(guards)
    return {
        "type": "HystrixConfig",
        "commands": {
            command.name: _command_config(command, logs_requests=logs_requests)
            for command in commands
        },
        "threadpools": {
            name: _pool_config(pool.stats()) for name, pool in sorted(guards.shared.workers.items())
        },
        "collapsers": {
            name: _collapser_config(config) for name, _, config in collapsers_of(commands)
        },
    }


def utilization_message(guards: Guards) -> Message:
    """How busy every command and pool is now, as one HystrixUtilization."""
    return {
        "type": "HystrixUtilization",
        "commands": {
            command.name: {"activeCount": command.bulkhead.in_flight()} for command in guards
        },
        "threadpools": {
            name: _pool_use(pool.stats()) for name, pool in sorted(guards.shared.workers.items())
        },
    }


def _command_config(command: Command, *, logs_requests: bool) -> Message:
    config = command.config
    breaker = config.breaker or _NO_BREAKER
    statistics = config.statistics
    timeout_ms = timeout_ms_of(config)
    return {
        "threadPoolKey": command.pool,
        "groupKey": command.group,
        "execution": {
            "isolationStrategy": isolation_of(config),
            "threadPoolKeyOverride": pool_override_of(command),
            "requestCacheEnabled": config.request_cache,
            "requestLogEnabled": logs_requests,
            "timeoutEnabled": timeout_ms > 0,
            "fallbackEnabled": config.fallback.enabled,
            "timeoutInMilliseconds": timeout_ms,
            "semaphoreSize": limit_of(command),
            "fallbackSemaphoreSize": config.fallback.max_concurrent,
            "threadInterruptOnTimeout": False,
        },
        "metrics": {
            "healthBucketSizeInMs": whole_ms(
                breaker.judge_every_s
                if breaker.judge == "interval"
                else breaker.window_s / breaker.buckets
            ),
            **_metrics(
                statistics.latency_window_s,
                statistics.latency_buckets,
                statistics.window_s,
                statistics.buckets,
            ),
        },
        "circuitBreaker": {
            "enabled": has_breaker(config),
            "isForcedOpen": breaker.mode == "forced_open",
            "isForcedClosed": breaker.mode == "forced_closed",
            "requestVolumeThreshold": breaker.minimum_calls,
            "errorPercentageThreshold": int(breaker.failure_percent),
            "sleepInMilliseconds": whole_ms(breaker.open_s),
        },
    }


def _pool_config(pool: PoolStats) -> Message:
    return {
        "coreSize": pool.core,
        "maximumSize": pool.maximum,
        "actualMaximumSize": pool.maximum,
        "maxQueueSize": pool.queue_limit or -1,
        "queueRejectionThreshold": pool.queue_limit,
        "keepAliveTimeInMinutes": int(KEEP_ALIVE_S / 60.0),
        "allowMaximumSizeToDivergeFromCoreSize": False,
        "counterBucketSizeInMilliseconds": 1_000,
        "counterBucketCount": 10,
    }


def _collapser_config(config: CollapseConfig) -> Message:
    return {
        "maxRequestsInBatch": config.max_batch,
        "timerDelayInMilliseconds": whole_ms(config.wait_s),
        "requestCacheEnabled": config.caches_requests,
        "metrics": _metrics(60.0, 6, 10.0, 10),
    }


def _metrics(
    percentile_window_s: float, percentile_buckets: int, window_s: float, buckets: int
) -> Message:
    return {
        "percentileBucketSizeInMilliseconds": whole_ms(percentile_window_s / percentile_buckets),
        "percentileBucketCount": percentile_buckets,
        "percentileEnabled": True,
        "counterBucketSizeInMilliseconds": whole_ms(window_s / buckets),
        "counterBucketCount": buckets,
    }


def _pool_use(pool: PoolStats) -> Message:
    return {
        "activeCount": pool.active,
        "queueSize": pool.queue,
        "corePoolSize": pool.core,
        "poolSize": pool.size,
    }
