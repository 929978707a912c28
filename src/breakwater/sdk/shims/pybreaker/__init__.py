"""The names of `pybreaker`, run by this guard.

    from breakwater.sdk.shims.pybreaker import CircuitBreaker, CircuitBreakerError

Arguments, states, counters, listeners, errors and the order of events are those of pybreaker 1.4.
What is different, and why:

- No lock is held while the program's code runs. There, all calls through one breaker run one after
  another, and one that hangs stops them all.
- Half open, `success_threshold` calls go at once and no more; others are refused and do not wait.
  A trial call that has not ended within a minute loses its say, and another may go.
- The result of a call that was admitted before the circuit opened moves nothing afterwards.
- Cancellation, KeyboardInterrupt and a generator closed early say nothing of the callee. There,
  they are failures.
- Async functions are guarded while they run, by `@breaker`, `call` and `call_async`; async
  generators too. There, a coroutine function has succeeded as soon as it is called. Tornado is not
  needed.
- The open time is counted on the monotonic clock, so setting the wall clock does not end it.
- What a listener raises is logged. There, it takes the place of the answer, and one that raises in
  `failure` keeps the circuit from opening.
- An excluded class with a metaclass, such as an abstract one, excludes its own errors only. There,
  it is called like a predicate, and excludes everything.
- Each process keeps its own state: CircuitRedisStorage and other storages are refused.
"""

from breakwater.sdk.shims.pybreaker.circuit import CircuitBreaker, CircuitBreakerListener
from breakwater.sdk.shims.pybreaker.states import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreakerError,
    CircuitBreakerState,
    CircuitClosedState,
    CircuitHalfOpenState,
    CircuitOpenState,
)
from breakwater.sdk.shims.pybreaker.storage import (
    CircuitBreakerStorage,
    CircuitMemoryStorage,
    CircuitRedisStorage,
)

__all__ = [
    "STATE_CLOSED",
    "STATE_HALF_OPEN",
    "STATE_OPEN",
    "CircuitBreaker",
    "CircuitBreakerError",
    "CircuitBreakerListener",
    "CircuitBreakerState",
    "CircuitBreakerStorage",
    "CircuitClosedState",
    "CircuitHalfOpenState",
    "CircuitMemoryStorage",
    "CircuitOpenState",
    "CircuitRedisStorage",
]
