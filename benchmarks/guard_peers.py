"""The peers' rows of `make bench-guard`, run in the environment of `guard_peers.lock`.

Each library is used as its own documentation shows, for the same function, on its happy path or
with its breaker open. The libraries are imported by name, since mypy does not know them.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.guard_timing import Case, identity, identity_async, main


def _fail(_x: int) -> None:
    raise ValueError


def _open(call: Callable[[int], Any], times: int = 6) -> Callable[[int], Any]:
    """Fail so often that the breaker opens."""
    for _ in range(times):
        try:
            call(0)
        except Exception:  # noqa: BLE001 - the failures wanted
            continue
    return call


def circuitbreaker(fn: Callable[..., Any]) -> Any:
    """The decorator of `circuitbreaker`."""
    library = import_module("circuitbreaker")

    return library.circuit(recovery_timeout=3600)(fn)


def pybreaker(fn: Callable[..., Any]) -> Any:
    """The decorator of `pybreaker`."""
    library = import_module("pybreaker")

    return library.CircuitBreaker(fail_max=5, reset_timeout=3600)(fn)


def aiobreaker(fn: Callable[..., Any]) -> Any:
    """The decorator of `aiobreaker`."""
    library = import_module("aiobreaker")

    hour = dt.timedelta(hours=1)
    return library.CircuitBreaker(fail_max=5, timeout_duration=hour)(fn)


def purgatory(fn: Callable[..., Any]) -> Any:
    """The decorator of `purgatory`."""
    library = import_module("purgatory")

    kind = library.SyncCircuitBreakerFactory
    if asyncio.iscoroutinefunction(fn):
        kind = library.AsyncCircuitBreakerFactory
    return kind(default_threshold=5, default_ttl=3600)("measured")(fn)


def hyx(name: str, **given: Any) -> Any:
    """A part of `hyx` by name."""
    module, decorator = {
        "breaker": ("circuitbreaker", "consecutive_breaker"),
        "bulkhead": ("bulkhead", "bulkhead"),
        "timeout": ("timeout", "timeout"),
        "retry": ("retry", "retry"),
    }[name]
    return getattr(import_module(f"hyx.{module}.api"), decorator)(**given)(identity_async)


def pyresilience(fn: Callable[..., Any], *names: str) -> Any:
    """`pyresilience` with some of its parts."""
    library = import_module("pyresilience")

    parts = {
        "circuit_breaker": library.CircuitBreakerConfig(recovery_timeout=3600.0),
        "bulkhead": library.BulkheadConfig(),
        "timeout": library.TimeoutConfig(seconds=1.0),
        "retry": library.RetryConfig(),
    }
    return library.resilient(**{name: parts[name] for name in names})(fn)


def tenacity(fn: Callable[..., Any]) -> Any:
    """The decorator of `tenacity`."""
    library = import_module("tenacity")

    return library.retry(stop=library.stop_after_attempt(3))(fn)


def stamina(fn: Callable[..., Any]) -> Any:
    """The decorator of `stamina`."""
    library = import_module("stamina")

    return library.retry(on=ValueError, attempts=3)(fn)


def backoff(fn: Callable[..., Any]) -> Any:
    """The decorator of `backoff`."""
    library = import_module("backoff")

    return library.on_exception(library.expo, ValueError, max_tries=3)(fn)


def pyfailsafe() -> Any:
    """`pyfailsafe` with retry and breaker."""
    library = import_module("failsafe")

    safe = library.Failsafe(
        retry_policy=library.RetryPolicy(allowed_retries=2),
        circuit_breaker=library.CircuitBreaker(maximum_failures=5),
    )

    async def call(x: int) -> Any:
        return await safe.run(lambda: identity_async(x))

    return call


BREAKER_AND_BULKHEAD = ("circuit_breaker", "bulkhead")
CASES = [
    Case("circuitbreaker", "sync", lambda: circuitbreaker(identity)),
    Case("pybreaker", "sync", lambda: pybreaker(identity)),
    Case("aiobreaker", "sync", lambda: aiobreaker(identity)),
    Case("purgatory", "sync", lambda: purgatory(identity)),
    Case("backoff", "sync", lambda: backoff(identity)),
    Case("tenacity @retry", "sync", lambda: tenacity(identity)),
    Case("stamina", "sync", lambda: stamina(identity)),
    Case(
        "pyresilience breaker+bulkhead",
        "sync",
        lambda: pyresilience(identity, *BREAKER_AND_BULKHEAD),
    ),
    Case(
        "pyresilience breaker+bulkhead+timeout",
        "sync",
        lambda: pyresilience(identity, *BREAKER_AND_BULKHEAD, "timeout"),
    ),
    Case("circuitbreaker, open", "sync refused", lambda: _opened_by(circuitbreaker)),
    Case("pybreaker, open", "sync refused", lambda: _opened_by(pybreaker)),
    Case("aiobreaker, open", "sync refused", lambda: _opened_by(aiobreaker)),
    Case("purgatory, open", "sync refused", lambda: _opened_by(purgatory)),
    Case(
        "pyresilience, open",
        "sync refused",
        lambda: _open(pyresilience(_fail, "circuit_breaker")),
    ),
    Case("circuitbreaker, async", "async", lambda: circuitbreaker(identity_async)),
    Case("purgatory, async", "async", lambda: purgatory(identity_async)),
    Case("hyx breaker, async", "async", lambda: hyx("breaker", failure_threshold=5)),
    Case(
        "hyx bulkhead, async", "async", lambda: hyx("bulkhead", max_concurrency=10, max_capacity=20)
    ),
    Case("hyx timeout, async", "async", lambda: hyx("timeout", max_delay_secs=1.0)),
    Case("hyx retry, async", "async", lambda: hyx("retry", attempts=3)),
    Case("pyfailsafe retry+breaker, async", "async", pyfailsafe),
    Case("backoff, async", "async", lambda: backoff(identity_async)),
    Case("tenacity @retry, async", "async", lambda: tenacity(identity_async)),
    Case("stamina, async", "async", lambda: stamina(identity_async)),
    Case(
        "pyresilience breaker+bulkhead, async",
        "async",
        lambda: pyresilience(identity_async, *BREAKER_AND_BULKHEAD),
    ),
    Case(
        "pyresilience breaker+bulkhead+timeout, async",
        "async",
        lambda: pyresilience(identity_async, *BREAKER_AND_BULKHEAD, "timeout"),
    ),
]


def _opened_by(decorate: Callable[..., Any]) -> Callable[[int], Any]:
    return _open(decorate(_fail))


if __name__ == "__main__":
    main(CASES)
