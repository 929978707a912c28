"""What guarded commands do, for programs and people: sums made into what one host sees.

Turbine's numbers are sums over hosts. Counts stay sums; latencies are divided by the hosts that
report, settings that differ are shown as their mean; the error rate is that of all calls together,
not the mean of the hosts' rates.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

from breakwater.guards.merging import MOST, PROPERTY, Message, hosts_of, is_number
from breakwater.guards.reading import InstanceReading

_COUNT: Final = "rollingCount"
_LONGEST: Final = 16
"""Digits of a number that is taken for a setting."""


class CircuitState(StrEnum):
    """Where the breakers of a command stand; `mixed`: open on some of its hosts."""

    CLOSED = "closed"
    OPEN = "open"
    MIXED = "mixed"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"
    NONE = "none"


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """One command over all its hosts, within its rolling window.

    counts: by kind, as `Success` or `FallbackSuccess`. requests and errors: as its breaker counts
    them. Latencies are milliseconds of one host, the mean over hosts, by percentile. limit,
    timeout_ms, minimum_calls and open_s: of one host.
    """

    name: str
    group: str
    service: str
    hosts: int
    state: CircuitState
    open_hosts: int
    requests: int
    errors: int
    error_percent: float
    requests_per_s: float
    window_s: float
    counts: dict[str, int]
    in_flight: int
    most_in_flight: int
    latency_mean_ms: float
    latency_ms: dict[str, float]
    total_mean_ms: float
    total_ms: dict[str, float]
    isolation: str
    limit: int
    timeout_ms: int
    minimum_calls: int = 0
    open_s: float = 0.0
    pool: str = ""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One thread pool over all its hosts; numbers are sums."""

    name: str
    hosts: int
    active: int
    threads: int
    core: int
    queue: int
    queue_limit: int
    executed: int
    rejected: int
    most_active: int


class CollapserView(msgspec.Struct, frozen=True, kw_only=True):
    """One collapser over all its hosts; counts are sums, the size is that of a mean batch."""

    name: str
    hosts: int
    requests: int
    batches: int
    from_cache: int
    batch_size: float


class ServiceGuards(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one service; left_out: instances not read because too many are."""

    service: str
    commands: list[CommandView]
    pools: list[PoolView]
    collapsers: list[CollapserView]
    instances: list[InstanceReading]
    left_out: list[str]


class GuardView(msgspec.Struct, frozen=True, kw_only=True):
    """The guards of the services that were asked for, at one moment."""

    at_ms: int
    services: list[ServiceGuards]


def service_view(
    service: str,
    messages: list[Message],
    instances: list[InstanceReading],
    *,
    left_out: list[str],
) -> ServiceGuards:
    """The view of merged messages."""
    return ServiceGuards(
        service=service,
        commands=[command_view(service, each) for each in _of(messages, "HystrixCommand")],
        pools=[_pool_view(each) for each in _of(messages, "HystrixThreadPool")],
        collapsers=[_collapser_view(each) for each in _of(messages, "HystrixCollapser")],
        instances=instances,
        left_out=left_out,
    )


def _of(messages: list[Message], kind: str) -> list[Message]:
    return [message for message in messages if message["type"] == kind]


def command_view(service: str, message: Message) -> CommandView:
    """One command, whatever is missing of it."""
    hosts = max(hosts_of(message), 1)
    requests, errors = _whole(message, "requestCount"), _whole(message, "errorCount")
    window_s = _property(message, "metricsRollingStatisticalWindowInMilliseconds") / 1000
    open_hosts = _hosts_saying(message, "isCircuitBreakerOpen", hosts)
    return CommandView(
        name=str(message["name"]),
        group=_text(message.get("group")),
        service=service,
        hosts=hosts,
        state=_state(message, open_hosts, hosts),
        open_hosts=open_hosts,
        requests=requests,
        errors=errors,
        error_percent=100.0 * errors / requests if requests > 0 else 0.0,
        requests_per_s=requests / window_s if window_s > 0 else 0.0,
        window_s=window_s,
        counts={
            name.removeprefix(_COUNT): _whole(message, name)
            for name, value in message.items()
            if name.startswith(_COUNT) and is_number(value)
        },
        in_flight=_whole(message, "currentConcurrentExecutionCount"),
        most_in_flight=_whole(message, "rollingMaxConcurrentExecutionCount"),
        latency_mean_ms=_number(message, "latencyExecute_mean") / hosts,
        latency_ms=_divided(message.get("latencyExecute"), hosts),
        total_mean_ms=_number(message, "latencyTotal_mean") / hosts,
        total_ms=_divided(message.get("latencyTotal"), hosts),
        isolation=_text(message.get(f"{PROPERTY}executionIsolationStrategy")),
        limit=int(_property(message, "executionIsolationSemaphoreMaxConcurrentRequests")),
        timeout_ms=int(_property(message, "executionTimeoutInMilliseconds")),
        minimum_calls=int(_property(message, "circuitBreakerRequestVolumeThreshold")),
        open_s=_property(message, "circuitBreakerSleepWindowInMilliseconds") / 1000,
        pool=_text(message.get("threadPool")),
    )


def _state(message: Message, open_hosts: int, hosts: int) -> CircuitState:
    if _hosts_saying(message, f"{PROPERTY}circuitBreakerForceOpen", hosts) == hosts:
        return CircuitState.FORCED_OPEN
    if open_hosts:
        return CircuitState.OPEN if open_hosts == hosts else CircuitState.MIXED
    if _hosts_saying(message, f"{PROPERTY}circuitBreakerForceClosed", hosts) == hosts:
        return CircuitState.FORCED_CLOSED
    if message.get(f"{PROPERTY}circuitBreakerEnabled") is False:
        return CircuitState.NONE
    return CircuitState.CLOSED


def _hosts_saying(message: Message, name: str, hosts: int) -> int:
    """How many hosts say `true`; in some streams booleans come as words or as numbers."""
    value = message.get(name)
    if isinstance(value, dict):
        return int(min(max(_number(value, "true"), 0), hosts))
    if is_number(value):
        return int(min(max(value or 0, 0), hosts))
    return hosts if value in (True, "true") else 0


def _pool_view(message: Message) -> PoolView:
    return PoolView(
        name=str(message["name"]),
        hosts=max(hosts_of(message), 1),
        active=_whole(message, "currentActiveCount"),
        threads=_whole(message, "currentPoolSize"),
        core=_whole(message, "currentCorePoolSize"),
        queue=_whole(message, "currentQueueSize"),
        queue_limit=_whole(message, f"{PROPERTY}queueSizeRejectionThreshold"),
        executed=_whole(message, "rollingCountThreadsExecuted"),
        rejected=_whole(message, "rollingCountCommandRejections"),
        most_active=_whole(message, "rollingMaxActiveThreads"),
    )


def _collapser_view(message: Message) -> CollapserView:
    requests = _whole(message, "rollingCountRequestsBatched")
    batches = _whole(message, "rollingCountBatches")
    return CollapserView(
        name=str(message["name"]),
        hosts=max(hosts_of(message), 1),
        requests=requests,
        batches=batches,
        from_cache=_whole(message, "rollingCountResponsesFromCache"),
        batch_size=requests / batches if batches > 0 else 0.0,
    )


def _property(message: Message, name: str) -> float:
    """What the hosts go by, the mean where they differ: `{"20": 2, "40": 1}`."""
    value = message.get(PROPERTY + name)
    if not isinstance(value, dict):
        return _number(message, PROPERTY + name)
    said = {
        float(word): count
        for word, count in value.items()
        if word.isascii() and word.isdigit() and len(word) < _LONGEST and is_number(count)
    }
    hosts = sum(said.values())
    return sum(word * count for word, count in said.items()) / hosts if hosts > 0 else 0.0


def _number(message: dict[str, Any], name: str) -> float:
    value = message.get(name)
    if not is_number(value) or value is None:
        return 0.0
    return float(min(max(value, -MOST), MOST))


def _whole(message: Message, name: str) -> int:
    return int(_number(message, name))


def _divided(values: object, hosts: int) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {str(key): value / hosts for key, value in values.items() if is_number(value)}


def _text(value: object) -> str:
    """A word, or several with their numbers of hosts."""
    if isinstance(value, dict):
        return ", ".join(f"{word} ({count})" for word, count in value.items())
    return "" if value is None else str(value)
