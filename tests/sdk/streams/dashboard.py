"""What the stock dashboard of Hystrix 1.5 demands of a message before it shows it.

Each name is one that its two validating functions look up; a message where any of them is missing
or null is thrown away with "Key Missing". The names are facts of the protocol, listed by hand and
compared with the files of hystrix-dashboard 1.5.18 as published.
"""

from typing import Final

_COUNTS = (
    "CollapsedRequests ExceptionsThrown Failure FallbackFailure FallbackRejection FallbackSuccess "
    "ResponsesFromCache SemaphoreRejected ShortCircuited Success ThreadPoolRejected Timeout "
    "BadRequests"
)
_PROPERTIES = (
    "circuitBreakerRequestVolumeThreshold circuitBreakerSleepWindowInMilliseconds "
    "circuitBreakerErrorThresholdPercentage circuitBreakerForceOpen circuitBreakerForceClosed "
    "executionIsolationStrategy "
    "executionIsolationThreadTimeoutInMilliseconds executionIsolationThreadInterruptOnTimeout "
    "executionIsolationSemaphoreMaxConcurrentRequests "
    "fallbackIsolationSemaphoreMaxConcurrentRequests requestCacheEnabled requestLogEnabled "
    "metricsRollingStatisticalWindowInMilliseconds"
)
DEMANDED_OF_COMMANDS: Final = (
    *"reportingHosts type name group isCircuitBreakerOpen errorPercentage errorCount".split(),
    "requestCount",
    *(f"rollingCount{name}" for name in _COUNTS.split()),
    "currentConcurrentExecutionCount",
    *"latencyExecute_mean latencyExecute".split(),
    *(f"propertyValue_{name}" for name in _PROPERTIES.split()),
)
SHOWN_OF_LATENCIES: Final = ("50", "90", "99", "99.5")
"""Keys of `latencyExecute` that its template prints."""

_POOL = "Active CompletedTask Task"
DEMANDED_OF_POOLS: Final = (
    *"type name reportingHosts".split(),
    *(f"current{name}Count" for name in _POOL.split()),
    *(f"current{name}Size" for name in "CorePool LargestPool MaximumPool Pool Queue".split()),
    "rollingCountThreadsExecuted",
    "rollingMaxActiveThreads",
    "propertyValue_queueSizeRejectionThreshold",
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds",
)

_ALL_COUNTS = (
    "BadRequests CollapsedRequests Emit ExceptionsThrown Failure FallbackEmit FallbackFailure "
    "FallbackMissing FallbackRejection FallbackSuccess ResponsesFromCache SemaphoreRejected "
    "ShortCircuited Success ThreadPoolRejected Timeout"
)
_ALL_PROPERTIES = (
    "circuitBreakerRequestVolumeThreshold circuitBreakerSleepWindowInMilliseconds "
    "circuitBreakerErrorThresholdPercentage circuitBreakerForceOpen circuitBreakerForceClosed "
    "circuitBreakerEnabled executionIsolationStrategy "
    "executionIsolationThreadTimeoutInMilliseconds executionTimeoutInMilliseconds "
    "executionIsolationThreadInterruptOnTimeout executionIsolationThreadPoolKeyOverride "
    "executionIsolationSemaphoreMaxConcurrentRequests "
    "fallbackIsolationSemaphoreMaxConcurrentRequests metricsRollingStatisticalWindowInMilliseconds "
    "requestCacheEnabled requestLogEnabled"
)
PERCENTS: Final = "0 25 50 75 90 95 99 99.5 100".split()
COMMAND_IN_ORDER: Final = [
    *"type name group currentTime isCircuitBreakerOpen errorPercentage errorCount".split(),
    "requestCount",
    *(f"rollingCount{name}" for name in _ALL_COUNTS.split()),
    *"currentConcurrentExecutionCount rollingMaxConcurrentExecutionCount".split(),
    *"latencyExecute_mean latencyExecute latencyTotal_mean latencyTotal".split(),
    *(f"propertyValue_{name}" for name in _ALL_PROPERTIES.split()),
    *"reportingHosts threadPool".split(),
]
POOL_IN_ORDER: Final = [
    *"type name currentTime currentActiveCount currentCompletedTaskCount".split(),
    *"currentCorePoolSize currentLargestPoolSize currentMaximumPoolSize currentPoolSize".split(),
    *"currentQueueSize currentTaskCount rollingCountThreadsExecuted".split(),
    *"rollingMaxActiveThreads rollingCountCommandRejections".split(),
    "propertyValue_queueSizeRejectionThreshold",
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds",
    "reportingHosts",
]
COLLAPSER_IN_ORDER: Final = [
    *"type name currentTime rollingCountRequestsBatched rollingCountBatches".split(),
    *"rollingCountResponsesFromCache batchSize_mean batchSize".split(),
    "propertyValue_requestCacheEnabled",
    "propertyValue_maxRequestsInBatch",
    "propertyValue_timerDelayInMilliseconds",
    "reportingHosts",
]
