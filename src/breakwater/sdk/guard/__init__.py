"""Guard: what keeps a failing dependency from taking its callers down.

A `Command` wraps any function: bulkhead, then circuit breaker, then attempt timeout, then
fallback, in this order. `Breaker` and `Bulkhead` also stand alone; the HTTP client is built on
them. No lock is held while user code runs, and a rejection costs about a microsecond.
"""

from breakwater.sdk.guard.breaker import Breaker, BreakerConfig, BreakerState, BreakerStats, Permit
from breakwater.sdk.guard.bulkhead import Bulkhead, BulkheadStats
from breakwater.sdk.guard.command import Command, CommandStats, Fallback
from breakwater.sdk.guard.timeout import attempt_timeout

__all__ = [
    "Breaker",
    "BreakerConfig",
    "BreakerState",
    "BreakerStats",
    "Bulkhead",
    "BulkheadStats",
    "Command",
    "CommandStats",
    "Fallback",
    "Permit",
    "attempt_timeout",
]
