"""What is said of commands, thread pools and collapsers, field by field."""

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from tests.sdk.streams.dashboard import (
    COLLAPSER_IN_ORDER,
    COMMAND_IN_ORDER,
    DEMANDED_OF_COMMANDS,
    DEMANDED_OF_POOLS,
    PERCENTS,
    POOL_IN_ORDER,
    SHOWN_OF_LATENCIES,
)

from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CallRefusedError,
    Command,
    CommandConfig,
    Guards,
)
from breakwater.sdk.guard.config import AdaptiveConfig, CollapseConfig, FallbackConfig
from breakwater.sdk.streams.messages import NO_LIMIT, Message, dashboard_messages
from breakwater.sdk.streams.settings import config_message, utilization_message
from breakwater.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture
def guards(clock: FakeClock) -> Iterator[Guards]:
    """A registry of commands; its thread pools end with it."""
    made = Guards(clock=clock, random=Random(1), sleep=clock.advance)
    yield made
    for pool in made.shared.workers.values():
        pool.close()


def messages_of(guards: Guards) -> list[Message]:
    """One tick, as whoever reads the stream gets it."""
    encoded = msgspec.json.encode(dashboard_messages(guards, logs_requests=False))
    found: list[Message] = msgspec.json.decode(encoded)
    return found


def only(guards: Guards, kind: str) -> Message:
    """The one message of this type."""
    (found,) = [each for each in messages_of(guards) if each["type"] == kind]
    return found


class Dependency:
    """Takes the time it is told, and fails when it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __call__(self, seconds: float = 0.0, error: Exception | None = None) -> str:
        self._clock.advance(seconds)
        if error is not None:
            raise error
        return "answer"


def calls(command: Command, clock: FakeClock, *seconds: float, error: Any = None) -> None:
    """Call it so many times."""
    for each in seconds:
        try:
            command.call_sync(Dependency(clock), each, error)
        except (OSError, CallRefusedError):
            continue


def doubled(numbers: list[int]) -> list[int]:
    """A batch of calls."""
    return [number * 2 for number in numbers]


def test_every_field_in_order(guards: Guards) -> None:
    """A command's message holds every field of Hystrix, in its order, and no other."""
    Command("Account", guards=guards)
    message = only(guards, "HystrixCommand")
    assert list(message) == COMMAND_IN_ORDER
    assert list(message["latencyExecute"]) == list(message["latencyTotal"]) == PERCENTS


def test_dashboard_finds_what_it_demands(guards: Guards, clock: FakeClock) -> None:
    """Each of the 37 fields the stock dashboard looks up is there."""
    assert len(set(DEMANDED_OF_COMMANDS)) == len(DEMANDED_OF_COMMANDS) == 37
    command = Command("Account", guards=guards, pool="storage")
    calls(command, clock, 0.01)
    message = only(guards, "HystrixCommand")
    assert [name for name in DEMANDED_OF_COMMANDS if message.get(name) is None] == []
    assert all(key in message["latencyExecute"] for key in SHOWN_OF_LATENCIES)


@pytest.mark.parametrize(
    "config",
    [
        CommandConfig(breaker=None, bulkhead=None),
        CommandConfig(enabled=False),
        CommandConfig(adaptive=AdaptiveConfig()),
        CommandConfig(breaker=BreakerConfig(window="count")),
        CommandConfig(bulkhead=BulkheadConfig(partitions={"gold": 0.5})),
    ],
)
def test_dashboard_is_served_by_any_configuration(guards: Guards, config: CommandConfig) -> None:
    """Whatever parts a command has, the fields the dashboard demands are numbers and words."""
    Command("Account", config, guards=guards)
    message = only(guards, "HystrixCommand")
    assert [name for name in DEMANDED_OF_COMMANDS if message.get(name) is None] == []


def test_counts_are_those_of_the_statistics(guards: Guards, clock: FakeClock) -> None:
    """Successes, failures, fallbacks and refusals are counted where Hystrix counts them."""
    command = Command(
        "Account",
        CommandConfig(breaker=BreakerConfig(minimum_calls=4, failure_percent=50.0)),
        guards=guards,
        group="Storage",
        fallback=lambda error: "guest",
    )
    calls(command, clock, 0.01, 0.01)
    calls(command, clock, 0.03, 0.03, error=OSError("down"))
    calls(command, clock, 0.0)
    message = only(guards, "HystrixCommand")
    assert message["group"] == "Storage"
    assert message["isCircuitBreakerOpen"] is True
    assert message["requestCount"] == 4
    assert message["errorCount"] == 2
    assert message["errorPercentage"] == 50
    assert message["rollingCountSuccess"] == 2
    assert message["rollingCountFailure"] == 2
    assert message["rollingCountShortCircuited"] == 1
    assert message["rollingCountFallbackSuccess"] == 3
    assert message["rollingCountExceptionsThrown"] == 0
    assert message["rollingMaxConcurrentExecutionCount"] == 1
    assert message["currentConcurrentExecutionCount"] == 0


def test_latencies_are_whole_milliseconds(guards: Guards, clock: FakeClock) -> None:
    """The mean and the percentiles are cut to whole milliseconds."""
    command = Command("Account", guards=guards)
    calls(command, clock, 0.0109, 0.0109)
    message = only(guards, "HystrixCommand")
    assert message["latencyExecute_mean"] == 10
    assert message["latencyExecute"]["0"] == message["latencyExecute"]["100"] == 10
    assert all(isinstance(value, int) for value in message["latencyTotal"].values())


def test_properties_are_in_effect(guards: Guards) -> None:
    """Properties say what the command goes by now, after a change too."""
    command = Command("Account", CommandConfig(breaker=None, bulkhead=None), guards=guards)
    message = only(guards, "HystrixCommand")
    assert message["propertyValue_circuitBreakerEnabled"] is False
    limit = "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests"
    assert message[limit] == NO_LIMIT
    assert message["propertyValue_executionTimeoutInMilliseconds"] == 0
    assert message["propertyValue_executionIsolationThreadPoolKeyOverride"] is None
    command.configure(
        CommandConfig(
            timeout_s=0.29,
            breaker=BreakerConfig(minimum_calls=7, open_s=1.5, mode="forced_closed"),
            bulkhead=BulkheadConfig(max_concurrent=3),
            fallback=FallbackConfig(max_concurrent=4),
            request_cache=True,
        )
    )
    message = only(guards, "HystrixCommand")
    given = {
        "circuitBreakerRequestVolumeThreshold": 7,
        "circuitBreakerSleepWindowInMilliseconds": 1500,
        "circuitBreakerErrorThresholdPercentage": 50,
        "circuitBreakerForceOpen": False,
        "circuitBreakerForceClosed": True,
        "circuitBreakerEnabled": True,
        "executionIsolationStrategy": "SEMAPHORE",
        "executionIsolationThreadTimeoutInMilliseconds": 290,
        "executionTimeoutInMilliseconds": 290,
        "executionIsolationSemaphoreMaxConcurrentRequests": 3,
        "fallbackIsolationSemaphoreMaxConcurrentRequests": 4,
        "metricsRollingStatisticalWindowInMilliseconds": 10_000,
        "requestCacheEnabled": True,
    }
    assert {name: message[f"propertyValue_{name}"] for name in given} == given


def test_adaptive_limit_is_shown(guards: Guards) -> None:
    """With an adaptive limit the number shown is where that stands now."""
    Command("Account", CommandConfig(adaptive=AdaptiveConfig(initial=17)), guards=guards)
    limit = "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests"
    assert only(guards, "HystrixCommand")[limit] == 17


def threaded(guards: Guards, name: str = "Account") -> Command:
    """A command whose calls run on a pool."""
    bulkhead = BulkheadConfig(isolation="thread", threads=2, queue=3)
    config = CommandConfig(bulkhead=bulkhead)
    return Command(name, config, guards=guards, group="Storage", pool="storage")


def test_pool_fields_in_order(guards: Guards, clock: FakeClock) -> None:
    """A pool's message holds every field of Hystrix, in its order."""
    calls(threaded(guards), clock, 0.0, 0.0)
    message = only(guards, "HystrixThreadPool")
    assert list(message) == POOL_IN_ORDER
    assert [name for name in DEMANDED_OF_POOLS if message.get(name) is None] == []
    assert message["name"] == "storage"
    assert message["currentCorePoolSize"] == message["currentMaximumPoolSize"] == 2
    assert message["currentCompletedTaskCount"] == message["currentTaskCount"] == 2
    assert message["rollingCountThreadsExecuted"] == 2
    assert message["rollingMaxActiveThreads"] == 1
    assert message["propertyValue_queueSizeRejectionThreshold"] == 3
    command = only(guards, "HystrixCommand")
    assert command["propertyValue_executionIsolationStrategy"] == "THREAD"
    assert command["propertyValue_executionIsolationThreadPoolKeyOverride"] == "storage"
    assert command["threadPool"] == "storage"


def test_pool_sums_its_commands(guards: Guards, clock: FakeClock) -> None:
    """What rolls of a pool is the sum over the commands that run on it."""
    calls(threaded(guards, "Account"), clock, 0.0)
    calls(threaded(guards, "Profile"), clock, 0.0, 0.0)
    assert only(guards, "HystrixThreadPool")["rollingCountThreadsExecuted"] == 3


def test_collapser_fields_in_order(guards: Guards) -> None:
    """A collapser's message holds every field of Hystrix, in its order."""
    config = CommandConfig(collapse=CollapseConfig(max_batch=5, wait_s=0.0))
    command = Command("Titles", config, guards=guards)
    titles = command.collapse(doubled)
    assert titles(21) == 42
    message = only(guards, "HystrixCollapser")
    assert list(message) == COLLAPSER_IN_ORDER
    assert list(message["batchSize"]) == PERCENTS[1:]
    assert message["rollingCountRequestsBatched"] == message["rollingCountBatches"] == 1
    assert message["batchSize_mean"] == message["batchSize"]["99.5"] == 1
    assert message["propertyValue_maxRequestsInBatch"] == 5
    assert only(guards, "HystrixCommand")["rollingCountCollapsedRequests"] == 1


def test_collapsers_of_one_command_have_names_of_their_own(guards: Guards) -> None:
    """Two collapsers of one command do not add up under one name."""
    command = Command("Titles", CommandConfig(collapse=CollapseConfig()), guards=guards)
    command.collapse(doubled)
    command.collapse(doubled)
    names = [each["name"] for each in messages_of(guards) if each["type"] == "HystrixCollapser"]
    assert names == ["Titles", "Titles-2"]


@pytest.mark.parametrize("mode", ["enabled", "forced_open", "forced_closed"])
def test_forced_closed_is_its_own_field(guards: Guards, mode: Any) -> None:
    """The configuration stream says of forced closed what is so, not what forced open is."""
    Command("Account", CommandConfig(breaker=BreakerConfig(mode=mode)), guards=guards)
    breaker = config_message(guards, logs_requests=False)["commands"]["Account"]["circuitBreaker"]
    assert breaker["isForcedOpen"] is (mode == "forced_open")
    assert breaker["isForcedClosed"] is (mode == "forced_closed")
    message = only(guards, "HystrixCommand")
    assert message["propertyValue_circuitBreakerForceClosed"] is (mode == "forced_closed")
    assert message["isCircuitBreakerOpen"] is (mode == "forced_open")


def test_config_shape(guards: Guards, clock: FakeClock) -> None:
    """One HystrixConfig holds commands, pools and collapsers by name, with Hystrix's fields."""
    calls(threaded(guards), clock, 0.0)
    Command("Titles", guards=guards).collapse(doubled)
    config = config_message(guards, logs_requests=True)
    assert list(config) == ["type", "commands", "threadpools", "collapsers"]
    account = config["commands"]["Account"]
    assert list(account) == "threadPoolKey groupKey execution metrics circuitBreaker".split()
    assert (
        list(account["execution"])
        == (
            "isolationStrategy threadPoolKeyOverride requestCacheEnabled requestLogEnabled "
            "timeoutEnabled fallbackEnabled timeoutInMilliseconds semaphoreSize "
            "fallbackSemaphoreSize threadInterruptOnTimeout"
        ).split()
    )
    assert account["execution"]["requestLogEnabled"] is True
    assert (
        list(account["metrics"])
        == (
            "healthBucketSizeInMs percentileBucketSizeInMilliseconds percentileBucketCount "
            "percentileEnabled counterBucketSizeInMilliseconds counterBucketCount"
        ).split()
    )
    assert account["metrics"]["percentileBucketCount"] == 6
    assert (
        list(config["threadpools"]["storage"])
        == (
            "coreSize maximumSize actualMaximumSize maxQueueSize queueRejectionThreshold "
            "keepAliveTimeInMinutes allowMaximumSizeToDivergeFromCoreSize "
            "counterBucketSizeInMilliseconds counterBucketCount"
        ).split()
    )
    assert (
        list(config["collapsers"]["Titles"])
        == ("maxRequestsInBatch timerDelayInMilliseconds requestCacheEnabled metrics").split()
    )


def test_utilization_shape(guards: Guards, clock: FakeClock) -> None:
    """One HystrixUtilization says how busy each command and each pool is."""
    calls(threaded(guards), clock, 0.0)
    utilization = utilization_message(guards)
    assert utilization == {
        "type": "HystrixUtilization",
        "commands": {"Account": {"activeCount": 0}},
        "threadpools": {
            "storage": {"activeCount": 0, "queueSize": 0, "corePoolSize": 2, "poolSize": 1}
        },
    }
