"""Redis under guard: commands and pipelines of a client, and its waits for a connection.

    cache = redis.Redis(...)                          # or redis.asyncio.Redis(...)
    guard_client(service, cache, "sessions-cache", fallback=lambda error: None)

Two guards: `sessions-cache` around each command and pipeline (faults at the point `cache`), and
`sessions-cache.pool` around each connection taken (point `pool`). The client's own repetitions are
switched off, since two layers that try again multiply; commands that only read may be tried again
by the guard if its configuration says so.

A thread's command gets what time is left as the timeout of its socket; a task's is cancelled. What
Redis answers with an error (wrong type, no script ...) is the caller's own; a lost connection, a
timeout or a server that is loading, read-only or out of memory counts against the cache. Whatever
the guard ends a command with is an error of redis too. Subscriptions are not guarded.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from breakwater.sdk.needs import not_installed

try:
    import redis
    import redis.asyncio
    from redis import exceptions as theirs
except ModuleNotFoundError as error:
    raise not_installed(error, "redis") from None

from breakwater.model import Status
from breakwater.sdk import context
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
)
from breakwater.sdk.guard import CommandConfig, Fallback
from breakwater.sdk.outbound import Outbound, OutboundStats
from breakwater.sdk.outcomes import connection_detail, status_of_answer, translated
from breakwater.sdk.pools import bound_wait, edges_of

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

DEFAULT: Final = CommandConfig(timeout_s=0.5)
POOL_DEFAULT: Final = CommandConfig(timeout_s=0.5, bulkhead=None)

READS: Final = frozenset(
    "BITCOUNT BITPOS DBSIZE EXISTS EXPIRETIME GEODIST GEOPOS GEOSEARCH GET GETBIT GETRANGE HEXISTS "
    "HGET HGETALL HKEYS HLEN HMGET HSCAN HSTRLEN HVALS LINDEX LLEN LPOS LRANGE MGET PEXPIRETIME "
    "PING PTTL SCAN SCARD SDIFF SINTER SISMEMBER SMEMBERS SMISMEMBER SSCAN STRLEN SUNION TTL TYPE "
    "XLEN XRANGE XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZMSCORE ZRANGE ZRANK ZREVRANK ZSCAN ZSCORE "
    "ZUNION".split()
)
"""Commands that change nothing, and may be repeated."""


class RefusedError(CallRefusedError, theirs.ConnectionError):
    """The guard refused; nothing was sent."""


class TimedOutError(AttemptTimedOutError, theirs.TimeoutError):
    """It ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, theirs.TimeoutError):
    """The caller's deadline had passed before."""


class InjectedError(theirs.ConnectionError):
    """A fault on purpose, with the HTTP status of its rule."""

    def __init__(self, status: int) -> None:
        super().__init__(f"injected fault (HTTP {status})")
        self.http_status = status


class RedisStats(msgspec.Struct, frozen=True, kw_only=True):
    """Commands, and connections taken from the pool, since the client came under guard."""

    commands: OutboundStats
    pool: OutboundStats


class GuardedClient:
    """What is around a client; made by `guard_client`."""

    def __init__(
        self, client: Any, commands: Outbound, pool: Outbound, fallback: Fallback | None
    ) -> None:
        self._commands = commands
        self._pool = pool
        self._fallback = fallback
        self._labels = Labels()
        self._own_s: WeakKeyDictionary[Any, float | None] = WeakKeyDictionary()
        self._is_async = isinstance(client, redis.asyncio.Redis)
        self._no_retry = _no_retry(is_async=self._is_async)
        client.execute_command = self._executing(client.execute_command)
        client.pipeline = self._piping(client.pipeline)
        pool_of_client = client.connection_pool
        pool_of_client.connection_kwargs["retry"] = self._no_retry
        _bound_connecting(pool_of_client, commands.command.config.timeout_s)
        if not getattr(pool_of_client.get_connection, "is_guarded", False):  # clients may share it
            pool_of_client.get_connection = self._taking(pool_of_client)

    def _executing(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """`execute_command` under guard."""
        if getattr(execute, "is_guarded", False):
            raise SettingsError(f"the client of {self._commands.peer!r} is under guard already")

        def execute_command(*args: Any, **options: Any) -> Any:
            name = str(args[0])
            terms: dict[str, Any] = {"may_retry": name.upper() in READS}
            if self._fallback is not None:
                terms["fallback"] = self._fallback
            label = self._labels.name(name.lower())
            return self._through(self._commands, label, lambda: execute(*args, **options), terms)

        execute_command.is_guarded = True  # type: ignore[attr-defined] # a mark
        return execute_command

    def _piping(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """`pipeline`, whose pipelines are executed under guard, each as one attempt."""

        def pipeline(*args: Any, **options: Any) -> Any:
            made = make(*args, **options)
            execute, at_once = made.execute, made.immediate_execute_command

            def guarded(*args: Any, **options: Any) -> Any:
                terms = {"may_retry": False}
                return self._through(
                    self._commands, "pipeline", lambda: execute(*args, **options), terms
                )

            def guarded_at_once(*args: Any, **options: Any) -> Any:
                terms = {"may_retry": False}
                label = self._labels.name(str(args[0]).lower())
                return self._through(
                    self._commands, label, lambda: at_once(*args, **options), terms
                )

            made.execute, made.immediate_execute_command = guarded, guarded_at_once
            return made

        return pipeline

    def _taking(self, pool: Any) -> Callable[..., Any]:
        """`get_connection` under guard; the connection is given the time that is left."""
        take = pool.get_connection
        terms = {"patience_s": getattr(pool, "timeout", None)}

        async def take_async(*args: Any, **options: Any) -> Any:
            connection = await take(*args, **options)
            connection.retry = self._no_retry
            return connection

        def get_connection_async(*args: Any, **options: Any) -> Any:
            return self._through(self._pool, "connect", lambda: take_async(*args, **options), terms)

        def get_connection(*args: Any, **options: Any) -> Any:
            bound_wait(getattr(pool, "pool", None), self._pool.runtime.clock)
            connection = self._through(self._pool, "connect", lambda: take(*args, **options), terms)
            connection.retry = self._no_retry
            self._limit(connection)
            return connection

        guarded = get_connection_async if self._is_async else get_connection
        guarded.is_guarded = True  # type: ignore[attr-defined] # a mark
        return guarded

    def _limit(self, connection: Any) -> None:
        """Have the connection wait for answers as long as there is time, but never longer."""
        own_s = self._own_s.setdefault(connection, connection.socket_timeout)
        left_s = context.remaining_s(self._pool.runtime.clock)
        limits = [s for s in (own_s, None if left_s is None else max(0.001, left_s)) if s]
        limit_s = min(limits, default=None)
        if limit_s == connection.socket_timeout:
            return
        connection.socket_timeout = limit_s
        update = getattr(connection, "update_current_socket_timeout", None)
        socket = getattr(connection, "_sock", None)
        if update is not None:
            update(-1)
        elif socket is not None:
            socket.settimeout(limit_s)

    def _through(
        self, outbound: Outbound, endpoint: str, call: Callable[[], Any], terms: dict[str, Any]
    ) -> Any:
        """Make the call as the client works."""
        terms = {"answer_for": _injected, "late": _late, **terms}
        if self._is_async:
            return self._through_async(outbound, endpoint, call, terms)
        try:
            return outbound.call_sync(endpoint, lambda _one: call(), **terms)
        except CallError as error:
            raise translated(error, theirs.RedisError, _OURS) from error

    async def _through_async(
        self, outbound: Outbound, endpoint: str, call: Callable[[], Any], terms: dict[str, Any]
    ) -> Any:
        async def attempt(_one: Attempt) -> Any:
            return await call()

        try:
            return await outbound.call(endpoint, attempt, **terms)
        except CallError as error:
            raise translated(error, theirs.RedisError, _OURS) from error

    def stats(self) -> RedisStats:
        """Calls since the client came under guard."""
        return RedisStats(commands=self._commands.stats(), pool=self._pool.stats())


def guard_client(
    service: "Service",
    client: "redis.Redis | redis.asyncio.Redis",
    peer: str,
    config: CommandConfig | None = None,
    *,
    pool_config: CommandConfig | None = None,
    fallback: Fallback | None = None,
) -> GuardedClient:
    """Put a client, sync or async, under guard. Raises SettingsError the second time.

    peer: the name of this Redis in records, guards and fault rules. config: of the guard around
    commands; pool_config: of the one around taking a connection. fallback: gives the answer of a
    command from its error, for example None as if nothing were cached; pipelines have none.
    """
    commands, pool = edges_of(
        service,
        peer,
        config or DEFAULT,
        pool_config or POOL_DEFAULT,
        group="redis",
        point="cache",
        classify=_classify,
    )
    return GuardedClient(client, commands, pool, fallback)


def _classify(error: BaseException) -> tuple[Status, str] | None:
    """Call status and detail of an error of redis."""
    if isinstance(error, InjectedError):
        return status_of_answer(error.http_status)
    for kinds, status in _STATUSES:
        if isinstance(error, kinds):
            return status, type(error).__name__
    if isinstance(error, theirs.ConnectionError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    return (Status.BAD_REQUEST, type(error).__name__) if isinstance(error, _ANSWERS) else None


def _injected(_attempt: Attempt, status: int) -> Any:
    raise InjectedError(status)


def _late() -> Exception:
    return theirs.TimeoutError("injected fault: no answer in time")


def _no_retry(*, is_async: bool) -> Any:
    from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415 - once for each client
    from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    from redis.retry import Retry  # noqa: PLC0415 - as above

    return (AsyncRetry if is_async else Retry)(NoBackoff(), 0)


def _bound_connecting(pool: Any, timeout_s: float | None) -> None:
    """New connections are made within the time of an attempt."""
    if timeout_s is None:
        return
    given_s = pool.connection_kwargs.get("socket_connect_timeout")
    limit_s = timeout_s if given_s is None else min(timeout_s, given_s)
    pool.connection_kwargs["socket_connect_timeout"] = limit_s


_STATUSES: Final[tuple[tuple[tuple[type[Exception], ...], Status], ...]] = (
    ((theirs.TimeoutError,), Status.TIMEOUT),
    ((theirs.MaxConnectionsError,), Status.THROTTLED),
    (
        (theirs.AuthenticationError, theirs.AuthorizationError, theirs.NoPermissionError),
        Status.ACCESS_DENIED,
    ),
    (
        (
            theirs.BusyLoadingError,
            theirs.ReadOnlyError,
            theirs.OutOfMemoryError,
            theirs.ClusterDownError,
            theirs.TryAgainError,
        ),
        Status.UNAVAILABLE,
    ),
)
_ANSWERS: Final = (theirs.ResponseError, theirs.DataError, theirs.WatchError, theirs.LockError)
_OURS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
}
