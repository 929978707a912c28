"""Named sets of defaults: our own, and those of Hystrix and Resilience4j, number for number.

What a library does for every command is in its configuration. What it only does where it is asked
to (Resilience4j's retry and rate limiter are decorators of their own) is in `parts`: the numbers
that such a part begins with once it is put in.

Left out is what has no meaning here. Hystrix isolates by threads unless told otherwise; a thread
for each call costs twenty times what all the rest does and asyncio has no use for it, so calls are
isolated by permits, which are as many as its pool has threads. Its request cache works for
commands that say what their key is; ours would take the arguments, so it is put in by hand.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from breakwater.sdk.guard.bounds import MOST
from breakwater.sdk.guard.config import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    CollapseConfig,
    CommandConfig,
    FallbackConfig,
    RateConfig,
    RetryConfig,
)


class Profile(msgspec.Struct, frozen=True):
    """config: gives the defaults of a command. parts: by key, those of parts that are put in."""

    config: Callable[[], CommandConfig]
    parts: Mapping[str, msgspec.Struct] = {}


def hystrix() -> CommandConfig:
    """The defaults of Hystrix 1.5: one probe, 5 s asleep, 20 calls and 50 % in 10 s."""
    return CommandConfig(
        timeout_s=1.0,
        breaker=BreakerConfig(
            window="time",
            window_s=10.0,
            buckets=20,
            minimum_calls=20,
            failure_percent=50.0,
            whole_percent=True,
            counts_rejections=True,
            judge="interval",
            judge_every_s=0.5,
            open_s=5.0,
            half_open_permits=1,
            honour_retry_after=False,
        ),
        bulkhead=BulkheadConfig(max_concurrent=10),
        fallback=FallbackConfig(max_concurrent=10),
        collapse=CollapseConfig(max_batch=int(MOST), wait_s=0.01, scope="request"),
    )


def resilience4j() -> CommandConfig:
    """The defaults of Resilience4j 2: the last 100 calls, 60 s open, ten probes."""
    return CommandConfig(
        timeout_s=1.0,
        breaker=BreakerConfig(
            window="count",
            window_calls=100,
            minimum_calls=100,
            failure_percent=50.0,
            slow_call_s=60.0,
            slow_percent=100.0,
            open_s=60.0,
            half_open_permits=10,
            decides_early=False,
            probe_lease_s=120.0,
            honour_retry_after=False,
        ),
        bulkhead=BulkheadConfig(max_concurrent=25),
    )


_RETRY: Final = RetryConfig(
    max_attempts=3,
    initial_s=0.5,
    factor=1.0,
    max_s=0.5,
    jitter="none",
    honour_retry_after=False,
    nested=True,
    budget=BudgetConfig(mode="none"),
)
_RATE: Final = RateConfig(calls=50, per_s=500e-9, max_wait_s=5.0, schedule="cycle")

PROFILES: Final = {
    "breakwater": Profile(CommandConfig),
    "hystrix": Profile(hystrix),
    "resilience4j": Profile(resilience4j, {"retry": _RETRY, "rate": _RATE}),
}
"""By name; a command, a group or a file may start from one."""
