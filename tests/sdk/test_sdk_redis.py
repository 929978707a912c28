"""Redis under guard, against a server of our own, sync and async."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis import exceptions
from tests.sdk.databases import redis as redis_server
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import BRIEF, PATIENT, break_at, failures, guard_in, mend, permits_out

from breakwater.sdk import (
    BulkheadConfig,
    CallRefusedError,
    CommandConfig,
    DeadlineExceededError,
    RetryConfig,
    Service,
    SettingsError,
    deadline,
)
from breakwater.sdk.guard import Command
from breakwater.sdk.redis import guard_client

AGAIN = CommandConfig(timeout_s=PATIENCE_S, retry=RetryConfig(max_attempts=3, initial_s=0.0))
pytestmark = pytest.mark.slow
"""A server of its own has to be started."""


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Where Redis listens."""
    with redis_server() as port:
        yield port


@pytest.fixture
def cache_of(shop_service: Service, server: int) -> Iterator[Callable[..., Any]]:
    """Makes guarded clients, closed at the end; the cache is empty at first."""
    clients: list[Any] = []
    with redis.Redis(port=server) as plain:
        plain.flushall()

    def make(config: CommandConfig = PATIENT, **given: Any) -> Any:
        options: dict[str, Any] = {"pool_config": PATIENT}
        options.update({k: given.pop(k) for k in ("fallback", "pool_config") if k in given})
        client = redis.Redis(**{"port": server, **given})
        guard_client(shop_service, client, "sessions", config, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def guard(service: Service, name: str = "sessions") -> Command:
    """The guard of this name."""
    return guard_in(service, name)


def test_commands_and_pipelines_are_recorded(
    cache_of: Callable[..., Any], meters: MeterListener
) -> None:
    """By the name of the command; taking a connection is recorded too."""
    cache = cache_of()
    cache.set("a", 1)
    assert cache.get("a") == b"1"
    with cache.pipeline() as pipe:
        assert pipe.incr("a").incr("a").execute() == [2, 3]
    with cache.pipeline() as pipe:
        pipe.watch("a")
        assert pipe.get("a") == b"3"
        pipe.multi()
        pipe.set("a", 7)
        pipe.execute()
    with cache.lock("l", timeout=PATIENCE_S):
        assert cache.transaction(lambda pipe: pipe.get("a")) == [b"7"]
    for label in ("set", "get", "pipeline", "watch", "connect"):
        line = meters.wait_for("ipc.client.call", "ipc.server.app=sessions", f"endpoint={label},")
        assert "ipc.status=success" in line


def test_a_client_is_guarded_once_and_may_share_its_pool(
    shop_service: Service, cache_of: Callable[..., Any]
) -> None:
    """Two guards around one another would count everything twice."""
    cache = cache_of()
    with pytest.raises(SettingsError, match="already"):
        guard_client(shop_service, cache, "again")
    other = redis.Redis(connection_pool=cache.connection_pool)
    guard_client(shop_service, other, "other", PATIENT)
    other.set("a", 1)
    assert guard(shop_service, "sessions.pool").stats().calls["success"] == 1


def test_what_redis_answers_is_not_its_fault(
    shop_service: Service, cache_of: Callable[..., Any], meters: MeterListener
) -> None:
    """A wrong type is the caller's own affair."""
    cache = cache_of()
    cache.set("a", "text")
    with pytest.raises(exceptions.ResponseError):
        cache.lpush("a", 1)
    meters.wait_for("ipc.endpoint=lpush", "ipc.status=bad_request")
    assert failures(guard(shop_service)) == 0


def test_a_slow_answer_is_waited_for_no_longer_than_the_limit(
    shop_service: Service, cache_of: Callable[..., Any], meters: MeterListener
) -> None:
    """The answer that comes late is not taken for the next one's."""
    cache = cache_of(socket_timeout=PATIENCE_S)
    cache.get("a")
    guard(shop_service).configure(BRIEF)
    with pytest.raises(exceptions.TimeoutError):
        cache.execute_command("BLPOP", "nothing", 0)
    guard(shop_service).configure(PATIENT)
    meters.wait_for("ipc.endpoint=blpop", "ipc.status=timeout")
    assert failures(guard(shop_service)) == 1
    cache.set("a", 1)
    assert cache.get("a") == b"1"
    assert permits_out(guard(shop_service)) == 0


def test_the_deadline_limits_commands_and_then_lets_go(
    shop_service: Service, cache_of: Callable[..., Any]
) -> None:
    """The timeout of a connection is its own again for who comes without a deadline."""
    cache = cache_of(CommandConfig(), socket_timeout=PATIENCE_S)
    with deadline(0.05), pytest.raises(exceptions.TimeoutError):
        cache.execute_command("BLPOP", "nothing", 0)
    with deadline(-1.0), pytest.raises(DeadlineExceededError) as late:
        cache.get("a")
    assert isinstance(late.value, exceptions.TimeoutError)
    cache.get("a")
    (connection,) = cache.connection_pool._available_connections
    assert connection.socket_timeout == PATIENCE_S


def test_a_dead_server_is_one_failure_without_hidden_repetitions(
    shop_service: Service, cache_of: Callable[..., Any], refusing: int, meters: MeterListener
) -> None:
    """The client's own retries are off; reads are tried again by the guard where told to."""
    cache = cache_of(PATIENT, port=refusing)
    with pytest.raises(exceptions.ConnectionError):
        cache.get("a")
    assert guard(shop_service, "sessions.pool").stats().calls["failure"] == 1
    meters.wait_for("ipc.endpoint=get", "ipc.status=connection_error", "refused")
    again = cache_of(AGAIN, port=refusing)
    with pytest.raises(exceptions.ConnectionError):
        again.get("a")
    assert guard(shop_service, "sessions-2").stats().calls["failure"] == 3
    with pytest.raises(exceptions.ConnectionError):
        again.incr("a")
    assert guard(shop_service, "sessions-2").stats().calls["failure"] == 4


def test_a_fallback_answers_as_if_nothing_were_cached(
    cache_of: Callable[..., Any], refusing: int, meters: MeterListener
) -> None:
    """For commands; a pipeline fails."""
    cache = cache_of(PATIENT, port=refusing, fallback=lambda _error: None)
    assert cache.get("a") is None
    with pytest.raises(exceptions.ConnectionError):
        cache.pipeline().get("a").execute()
    meters.wait_for("ipc.endpoint=get", "ipc.status=fallback")


def test_a_full_guard_refuses_as_redis_would(
    shop_service: Service, cache_of: Callable[..., Any]
) -> None:
    """The error is both ours and a ConnectionError."""
    cache = cache_of(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    with guard(shop_service).entered(), pytest.raises(exceptions.ConnectionError) as refused:
        cache.get("a")
    assert isinstance(refused.value, CallRefusedError)


def test_faults_hit_commands_or_connections(
    shop_service: Service, cache_of: Callable[..., Any], meters: MeterListener
) -> None:
    """At the point `cache`, or at `pool`; within the attempt, and marked."""
    cache = cache_of()
    cache.set("a", 1)
    break_at(shop_service, "cache", "error", peer="sessions", endpoint="get", status=503)
    with pytest.raises(exceptions.ConnectionError, match="injected"):
        cache.get("a")
    cache.set("a", 2)
    break_at(shop_service, "cache", "hang")
    guard(shop_service).configure(BRIEF)
    with pytest.raises(exceptions.TimeoutError):
        cache.get("a")
    guard(shop_service).configure(PATIENT)
    assert failures(guard(shop_service)) == 2
    break_at(shop_service, "pool", "error", peer="sessions")
    with pytest.raises(exceptions.ConnectionError, match="injected"):
        cache.get("a")
    assert failures(guard(shop_service, "sessions.pool")) == 1
    mend(shop_service)
    assert cache.get("a") == b"2"
    meters.wait_for("ipc.endpoint=get", "ipc.failure.injected=true", "ipc.status=unavailable")
    meters.wait_for("ipc.endpoint=connect", "ipc.failure.injected=true")


def test_waiting_for_a_connection_ends_with_the_deadline(
    shop_service: Service, server: int, meters: MeterListener
) -> None:
    """However long a blocking pool would wait."""
    kind: Any = redis.BlockingConnectionPool
    pool = kind(port=server, max_connections=1, timeout=3600)
    client = redis.Redis(connection_pool=pool)
    guard_client(shop_service, client, "sessions", PATIENT, pool_config=PATIENT)
    held = pool.get_connection()
    with deadline(0.1), pytest.raises((exceptions.ConnectionError, exceptions.TimeoutError)):
        client.get("a")
    pool.release(held)
    assert client.get("nothing") is None
    client.close()
    pool.disconnect()


@pytest.fixture
async def on_loop(service_of: Callable[..., Service], anyio_backend: str) -> AsyncIterator[Service]:
    """The service on an event loop."""
    async with service_of("shop", url="none") as service:
        yield service


@pytest.mark.anyio
async def test_an_async_client_is_guarded_on_its_loop(
    on_loop: Service, server: int, meters: MeterListener
) -> None:
    """Commands and pipelines; a late one is cancelled and its answer never taken for another's."""
    client: Any = redis.asyncio.Redis(port=server)
    async with client as cache:
        guard_client(on_loop, cache, "sessions", PATIENT, pool_config=PATIENT)
        await cache.set("a", 1)
        assert await cache.get("a") == b"1"
        async with cache.pipeline() as pipe:
            assert await pipe.incr("a").incr("a").execute() == [2, 3]
        guard(on_loop).configure(BRIEF)
        with pytest.raises(exceptions.TimeoutError):
            await cache.execute_command("BLPOP", "nothing", 0)
        guard(on_loop).configure(PATIENT)
        assert await cache.get("a") == b"3"
        with deadline(-1.0), pytest.raises(exceptions.TimeoutError):
            await cache.get("a")
        break_at(on_loop, "cache", "error", status=503)
        with pytest.raises(exceptions.ConnectionError, match="injected"):
            await cache.get("a")
        break_at(on_loop, "pool", "hang")
        guard(on_loop).configure(BRIEF)
        with pytest.raises(exceptions.TimeoutError):
            await cache.get("a")
        mend(on_loop)
        assert permits_out(guard(on_loop)) == 0
    for label, status in (("get", "success"), ("pipeline", "success"), ("blpop", "timeout")):
        await asyncio.to_thread(meters.wait_for, f"endpoint={label},", f"ipc.status={status}")


@pytest.mark.anyio
async def test_an_async_fallback_may_be_awaited(on_loop: Service, refusing: int) -> None:
    """As elsewhere."""

    async def miss(_error: Exception) -> bytes:
        return b"miss"

    async with redis.asyncio.Redis(port=refusing) as cache:
        guard_client(on_loop, cache, "sessions", PATIENT, fallback=miss)
        assert await cache.get("a") == b"miss"
