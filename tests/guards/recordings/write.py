"""Writes the three recordings beside it: what three hosts of one service sent within two seconds.

They are made up, in the shape that Hystrix 1.5.18 sends, so that each number of the aggregate can
be worked out by hand; the byte streams have the oddities seen in the field. Run it to write them
anew: `python tests/guards/recordings/write.py`.

host-a  the plain case: LF, a ping after each tick
host-b  CRLF line ends, comments, an event in two data lines, an unknown type
host-c  starts within an event, bad JSON, an event without a name; says at last that a command left
"""

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
_COUNTS: Final = (
    "BadRequests CollapsedRequests Emit ExceptionsThrown Failure FallbackEmit FallbackFailure "
    "FallbackMissing FallbackRejection FallbackSuccess ResponsesFromCache SemaphoreRejected "
    "ShortCircuited Success ThreadPoolRejected Timeout"
).split()
_PERCENTS: Final = "0 25 50 75 90 95 99 99.5 100".split()


def latencies(base: int) -> dict[str, int]:
    """A plausible spread: from a quarter of the base to eight times it."""
    factors = (0.25, 0.5, 1, 1.5, 2, 3, 5, 6, 8)
    return {key: int(base * factor) for key, factor in zip(_PERCENTS, factors, strict=True)}


def command(name: str, at_ms: int, *, counts: dict[str, int], **given: Any) -> dict[str, Any]:
    """One HystrixCommand."""
    errors = sum(
        counts.get(each, 0)
        for each in ("Failure", "Timeout", "SemaphoreRejected", "ThreadPoolRejected")
    )
    total = errors + counts.get("Success", 0)
    base = given.get("base_ms", 10)
    is_threaded = given.get("pool") is not None
    return {
        "type": "HystrixCommand",
        "name": name,
        "group": given.get("group", "Catalogue"),
        "currentTime": at_ms,
        "isCircuitBreakerOpen": given.get("is_open", False),
        "errorPercentage": int(100 * errors / total) if total else 0,
        "errorCount": errors,
        "requestCount": total,
        **{f"rollingCount{each}": counts.get(each, 0) for each in _COUNTS},
        "currentConcurrentExecutionCount": given.get("active", 1),
        "rollingMaxConcurrentExecutionCount": given.get("most", 3),
        "latencyExecute_mean": base,
        "latencyExecute": latencies(base),
        "latencyTotal_mean": base + 1,
        "latencyTotal": latencies(base + 1),
        "propertyValue_circuitBreakerRequestVolumeThreshold": given.get("volume", 20),
        "propertyValue_circuitBreakerSleepWindowInMilliseconds": 5000,
        "propertyValue_circuitBreakerErrorThresholdPercentage": 50,
        "propertyValue_circuitBreakerForceOpen": False,
        "propertyValue_circuitBreakerForceClosed": False,
        "propertyValue_circuitBreakerEnabled": True,
        "propertyValue_executionIsolationStrategy": "THREAD" if is_threaded else "SEMAPHORE",
        "propertyValue_executionIsolationThreadTimeoutInMilliseconds": 1000,
        "propertyValue_executionTimeoutInMilliseconds": 1000,
        "propertyValue_executionIsolationThreadInterruptOnTimeout": True,
        "propertyValue_executionIsolationThreadPoolKeyOverride": None,
        "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests": 10,
        "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests": 10,
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": 10000,
        "propertyValue_requestCacheEnabled": True,
        "propertyValue_requestLogEnabled": True,
        "reportingHosts": 1,
        "threadPool": given.get("pool") or given.get("group", "Catalogue"),
    }


def pool(name: str, at_ms: int, *, active: int, executed: int) -> dict[str, Any]:
    """One HystrixThreadPool."""
    return {
        "type": "HystrixThreadPool",
        "name": name,
        "currentTime": at_ms,
        "currentActiveCount": active,
        "currentCompletedTaskCount": executed * 3,
        "currentCorePoolSize": 10,
        "currentLargestPoolSize": 10,
        "currentMaximumPoolSize": 10,
        "currentPoolSize": 10,
        "currentQueueSize": 0,
        "currentTaskCount": executed * 3 + active,
        "rollingCountThreadsExecuted": executed,
        "rollingMaxActiveThreads": active + 2,
        "rollingCountCommandRejections": 0,
        "propertyValue_queueSizeRejectionThreshold": 5,
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": 10000,
        "reportingHosts": 1,
    }


def collapser(name: str, at_ms: int, *, requests: int, batches: int) -> dict[str, Any]:
    """One HystrixCollapser."""
    size = requests // batches
    return {
        "type": "HystrixCollapser",
        "name": name,
        "currentTime": at_ms,
        "rollingCountRequestsBatched": requests,
        "rollingCountBatches": batches,
        "rollingCountResponsesFromCache": 2,
        "batchSize_mean": size,
        "batchSize": dict.fromkeys(_PERCENTS[1:], size),
        "propertyValue_requestCacheEnabled": True,
        "propertyValue_maxRequestsInBatch": 2147483647,
        "propertyValue_timerDelayInMilliseconds": 10,
        "reportingHosts": 1,
    }


def tick(host: int, number: int) -> list[dict[str, Any]]:
    """What host 0, 1 or 2 says at one of the four ticks; the last is what counts."""
    at_ms = 1_700_000_000_000 + number * 500 + host
    ranker_fails = host < 2
    return [
        command(
            "AccountById",
            at_ms,
            counts={"Success": 90 + number + host, "BadRequests": 1, "ResponsesFromCache": host},
            group="Account",
            base_ms=8 + 4 * host,
            volume=20 if host < 2 else 40,
        ),
        command(
            "Titles-Żółw/by id",
            at_ms,
            counts={"Success": 200, "Timeout": number, "CollapsedRequests": 60},
            pool="storage",
            base_ms=20,
            active=host,
        ),
        command(
            "Ranker",
            at_ms,
            counts={
                "Success": 0 if ranker_fails else 50,
                "Failure": 30 if ranker_fails else 0,
                "ShortCircuited": 70 if ranker_fails else 0,
                "FallbackSuccess": 100 if ranker_fails else 0,
            },
            is_open=ranker_fails,
            base_ms=40,
        ),
        pool("storage", at_ms, active=host + 1, executed=200 + number),
        collapser("TitleBatch", at_ms, requests=60, batches=20),
    ]


def lines_of(message: dict[str, Any]) -> str:
    """One event as Hystrix writes it."""
    return f"data: {json.dumps(message, ensure_ascii=False, separators=(',', ':'))}\n\n"


def plain(host: int) -> str:
    """Four ticks with a ping after each."""
    return "".join("".join(map(lines_of, tick(host, number))) + "ping: \n\n" for number in range(4))


def host_b() -> str:
    """See above."""
    two_lines = 'data: {"type":"HystrixCommand",\ndata: "name":"TwoLines","reportingHosts":1}\n\n'
    other = 'data: {"type":"HystrixUtilization","commands":{}}\n\n'
    text = ": a comment\nretry: 100\n\n" + two_lines + other + plain(1)
    return text.replace("\n", "\r\n")


def host_c() -> str:
    """See above."""
    tail = '"reportingHosts":1}\n\n'
    bad = 'data: {"type":"HystrixCommand","name":\n\ndata: [1,2]\n\ndata: {"type":"x"}\n\n'
    left = 'data: {"deleteData":"true","type":"HystrixCommand","name":"Ranker"}\n\n'
    return tail + bad + plain(2) + left + 'data: {"type":"HystrixCommand","name":"NeverEnds"'


if __name__ == "__main__":
    for name, text in (("a", plain(0)), ("b", host_b()), ("c", host_c())):
        (FOLDER / f"host-{name}.stream").write_bytes(text.encode())
