"""SQLAlchemy under guard: what an engine executes, and its waits for a connection.

    engine = create_engine(...)                       # or create_async_engine(...)
    guard_engine(service, engine, "titles-db")

Two guards: `titles-db` around each statement (faults at the point `database`), `titles-db.pool`
around each connection taken from the pool (point `pool`). Records name what a statement is for:
`select.titles`. A statement is one attempt, never repeated, for it may be part of a transaction;
taking a connection may be tried again if its configuration says so. Rows fetched afterwards,
commit and rollback are not guarded.

A disconnect, a timeout, a lock or a server without resources counts against the database; a
constraint, a syntax error or a conflict of transactions is the caller's own. Whatever the guard
ends a statement with is an `OperationalError` of SQLAlchemy too. Where a statement can be held to
a time: see `breakwater.sdk.sql_limits`.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from breakwater.sdk.needs import not_installed

try:
    from sqlalchemy import Engine, event, exc
    from sqlalchemy.pool import QueuePool
    from sqlalchemy.util import concurrency
except ModuleNotFoundError as error:
    raise not_installed(error, "sqlalchemy") from None

from breakwater.model import Status
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
)
from breakwater.sdk.guard import CommandConfig
from breakwater.sdk.outbound import Outbound, OutboundStats
from breakwater.sdk.outcomes import translated
from breakwater.sdk.pools import bound_wait, edges_of
from breakwater.sdk.sql_limits import interrupt, limits_of
from breakwater.sdk.sql_words import label_of, status_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from breakwater.sdk.service import Service

DEFAULT: Final = CommandConfig(timeout_s=5.0)
POOL_DEFAULT: Final = CommandConfig(timeout_s=5.0, bulkhead=None)
"""The pool is a bulkhead already."""


class _OfSqlalchemy:
    """Fields that SQLAlchemy's own errors have."""

    statement: Any = None
    params: Any = None
    orig: Any = None
    hide_parameters: Any = True
    connection_invalidated: Any = False
    ismulti: Any = None


class RefusedError(CallRefusedError, _OfSqlalchemy, exc.OperationalError):
    """The guard refused; nothing was executed."""


class TimedOutError(  # type: ignore[misc] # fields of one name: ours hold
    AttemptTimedOutError, _OfSqlalchemy, exc.OperationalError
):
    """It ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, _OfSqlalchemy, exc.OperationalError):
    """The caller's deadline had passed before."""


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statements, and connections taken from the pool, since the engine came under guard."""

    statements: OutboundStats
    pool: OutboundStats


class GuardedEngine:
    """An engine under guard; made by `guard_engine`."""

    def __init__(self, engine: Engine, statements: Outbound, pool: Outbound) -> None:
        self._dialect: Any = engine.dialect
        self._statements = statements
        self._pool = pool
        self._labels = Labels()
        self._limits = limits_of(self._dialect, statements.runtime.clock)
        dialect = self._dialect
        event.listen(engine, "do_execute", self._listener(dialect.do_execute))
        event.listen(engine, "do_executemany", self._listener(dialect.do_executemany))
        event.listen(engine, "do_execute_no_params", self._listener(dialect.do_execute_no_params))
        event.listen(engine, "checkout", lambda driver, *_: self._limits.forget(driver))
        for end in _ENDS:
            event.listen(engine, end, self._ended)
        event.listen(engine, "engine_disposed", self._watch_pool)
        self._watch_pool(engine)

    def _listener(self, execute: Callable[..., None]) -> Callable[..., bool]:
        """Executes in the dialect's stead, under guard."""

        def run(cursor: Any, statement: str, *rest: Any) -> bool:
            execution = rest[-1]

            def whole() -> None:
                try:
                    execute(cursor, statement, *rest)
                except self._dialect.loaded_dbapi.Error as error:
                    driver = getattr(cursor, "connection", None)
                    if self._dialect.is_disconnect(error, driver, cursor):
                        error.breakwater_lost = True
                    raise

            def attempt(one: Attempt) -> None:
                with self._limits.hold(cursor, one.left_s()):
                    whole()

            async def attempt_async(_one: Attempt) -> None:
                try:
                    await concurrency.greenlet_spawn(whole)
                except asyncio.CancelledError:
                    interrupt(execution)
                    raise

            label = self._labels.name(label_of(statement))
            self._through(
                self._statements,
                label,
                attempt,
                attempt_async,
                may_retry=False,
                late=self._late_statement,
            )
            return True

        return run

    def _ended(self, connection: Any, *_: Any) -> None:
        if not connection.closed and not connection.invalidated:
            self._limits.forget(connection.connection.dbapi_connection)

    def _watch_pool(self, engine: Engine) -> None:
        """Guard the pool the engine has now; it gets another when it is disposed of."""
        pool: Any = engine.pool
        connect = pool.connect
        patience_s = getattr(pool, "_timeout", None)
        if isinstance(pool, QueuePool):
            bound_wait(getattr(pool, "_pool", None), self._pool.runtime.clock)

        def attempt(_one: Attempt) -> Any:
            return connect()

        async def attempt_async(_one: Attempt) -> Any:
            return await concurrency.greenlet_spawn(connect)

        def guarded() -> Any:
            return self._through(
                self._pool, "connect", attempt, attempt_async, patience_s=patience_s, late=_late
            )

        guarded.is_guarded = True  # type: ignore[attr-defined] # a mark
        pool.connect = guarded

    def _through(
        self,
        outbound: Outbound,
        endpoint: str,
        attempt: Callable[[Attempt], Any],
        attempt_async: Callable[[Attempt], Any],
        **terms: Any,
    ) -> Any:
        """Make the call as the engine works: on this thread, or on the loop it came from."""
        terms["answer_for"] = self._injected
        try:
            if self._dialect.is_async and concurrency.in_greenlet():
                return _await(outbound.call(endpoint, attempt_async, **terms))
            return outbound.call_sync(endpoint, attempt, **terms)
        except CallError as error:
            raise translated(error, exc.OperationalError, _OURS) from error

    def _injected(self, attempt: Attempt, status: int) -> Any:
        """An error of the driver, which SQLAlchemy wraps as it does a real one."""
        raise self._of_driver(f"injected fault at {attempt.endpoint}", status)

    def _late_statement(self) -> Exception:
        return self._of_driver("injected fault: no answer in time", 504)

    def _of_driver(self, message: str, status: int) -> Exception:
        kind = self._dialect.loaded_dbapi.OperationalError
        error: Exception = kind(f"{message} (HTTP {status})")
        error.sqlstate = _STATES.get(status, "XX000")  # type: ignore[attr-defined] # see sql_words
        return error

    def stats(self) -> EngineStats:
        """Calls since the engine came under guard."""
        return EngineStats(statements=self._statements.stats(), pool=self._pool.stats())


def guard_engine(
    service: "Service",
    engine: "Engine | AsyncEngine",
    peer: str,
    config: CommandConfig | None = None,
    *,
    pool_config: CommandConfig | None = None,
) -> GuardedEngine:
    """Put an engine, sync or async, under guard; once for each, before it is used.

    Raises SettingsError the second time.

    peer: the database's name in records, guards and fault rules. config: of the guard around
    statements; pool_config: of the one around taking a connection.
    """
    sync: Engine = engine if isinstance(engine, Engine) else engine.sync_engine
    if getattr(sync.pool.connect, "is_guarded", False):
        raise SettingsError(f"the engine for {peer!r} is under guard already")

    def classify(error: BaseException) -> tuple[Status, str] | None:
        return _classify(error, sync.dialect)

    statements, pool = edges_of(
        service,
        peer,
        config or DEFAULT,
        pool_config or POOL_DEFAULT,
        group="sqlalchemy",
        point="database",
        classify=classify,
    )
    return GuardedEngine(sync, statements, pool)


def _classify(error: BaseException, dialect: Any) -> tuple[Status, str] | None:
    """Call status and detail of an error of SQLAlchemy or of its driver."""
    if isinstance(error, exc.TimeoutError):
        return Status.TIMEOUT, "pool_timeout"
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if not isinstance(error, dialect.loaded_dbapi.Error):
        return None
    return status_of(error, is_disconnect=getattr(error, "breakwater_lost", False))


def _late() -> Exception:
    return exc.TimeoutError("no connection came free in time", code="3o7r")


_await: Final[Callable[[Any], Any]] = (
    getattr(concurrency, "await_", None) or getattr(concurrency, "await_only")  # noqa: B009 - 2.0
)
_ENDS: Final = (
    "commit",
    "rollback",
    "rollback_savepoint",
    "commit_twophase",
    "rollback_twophase",
)
_STATES: Final = {408: "57014", 429: "53300", 502: "57P03", 503: "57P03", 504: "57014"}
"""What PostgreSQL would call it."""
_OURS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
}
