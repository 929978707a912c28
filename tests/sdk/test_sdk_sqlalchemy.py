"""SQLAlchemy under guard, on SQLite and on PostgreSQL, sync and async."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.pool import QueuePool
from tests.sdk.databases import postgresql
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import (
    BRIEF,
    PATIENT,
    break_at,
    failures,
    guard_in,
    mend,
    permits_out,
    waits_of,
)

from breakwater.model import SystemClock
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
from breakwater.sdk.sqlalchemy import guard_engine

ENDLESS = text(
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
)


@pytest.fixture
def engine_of(shop_service: Service, tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Makes guarded engines on one SQLite file, disposed of at the end."""
    engines: list[Engine] = []

    def make(config: CommandConfig = PATIENT, **given: Any) -> Engine:
        pool_config = given.pop("pool_config", None)
        engine = create_engine(f"sqlite:///{tmp_path}/shop.db", poolclass=QueuePool, **given)
        guard_engine(shop_service, engine, "titles-db", config, pool_config=pool_config)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispose()


def guard(service: Service, name: str = "titles-db") -> Command:
    """The guard of this name."""
    return guard_in(service, name)


def test_statements_and_connections_are_recorded(
    engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """By what they are for, single or many at once."""
    engine = engine_of()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE titles (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO titles VALUES (:id)"), [{"id": 1}, {"id": 2}])
        connection.exec_driver_sql("UPDATE titles SET id = id + 10")
        assert connection.execute(text("SELECT count(*) FROM titles")).scalar() == 2
    for label in ("create.titles", "insert.titles", "update.titles", "select.titles", "connect"):
        line = meters.wait_for("ipc.client.call", "ipc.server.app=titles-db", label)
        assert "ipc.status=success" in line


def test_an_engine_is_guarded_once(shop_service: Service, engine_of: Callable[..., Engine]) -> None:
    """Two guards around one another would count everything twice."""
    with pytest.raises(SettingsError, match="already"):
        guard_engine(shop_service, engine_of(), "again")


def test_what_the_caller_did_wrong_is_not_the_databases_fault(
    shop_service: Service, engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """Constraints and syntax are recorded, and never open the breaker."""
    engine = engine_of()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE titles (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO titles VALUES (1)"))
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text("INSERT INTO titles VALUES (1)"))
    with pytest.raises(exc.OperationalError), engine.begin() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    meters.wait_for("insert.titles", "ipc.status=bad_request", "sqlite_constraint")
    meters.wait_for("select.nowhere", "ipc.status=bad_request", "sqlite_error")
    assert failures(guard(shop_service)) == 0


def test_a_slow_statement_is_stopped_at_the_limit(
    shop_service: Service, engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """And the connection is as good as before."""
    engine = engine_of()
    with engine.connect() as connection:
        guard(shop_service).configure(BRIEF)
        with pytest.raises(exc.OperationalError, match="interrupted"):
            connection.execute(ENDLESS)
        guard(shop_service).configure(PATIENT)
        assert connection.execute(text("SELECT 1")).scalar() == 1
    meters.wait_for("ipc.status=timeout", "with.r")
    assert failures(guard(shop_service)) == 1
    assert permits_out(guard(shop_service)) == 0


def test_the_deadline_stops_a_statement_too(
    shop_service: Service, engine_of: Callable[..., Engine]
) -> None:
    """One cut short by it says nothing of the database; past it nothing is executed."""
    with engine_of().connect() as connection:
        with deadline(0.2), pytest.raises(exc.OperationalError, match="interrupted"):
            connection.execute(ENDLESS)
        assert failures(guard(shop_service)) == 0
        with deadline(-1.0), pytest.raises(DeadlineExceededError) as late:
            connection.execute(text("SELECT 1"))
    assert isinstance(late.value, exc.OperationalError)


def test_a_locked_database_is_a_failure(
    shop_service: Service, engine_of: Callable[..., Engine]
) -> None:
    """The caller did nothing wrong."""
    engine = engine_of(connect_args={"timeout": 0.0})
    with engine.begin() as first:
        first.execute(text("CREATE TABLE titles (id INTEGER PRIMARY KEY)"))
    with engine.connect() as first, engine.connect() as second:
        first.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(exc.OperationalError, match="locked"):
            second.exec_driver_sql("BEGIN IMMEDIATE")
        first.rollback()
    assert failures(guard(shop_service)) == 1


def test_a_full_guard_refuses_as_sqlalchemy_would(
    shop_service: Service, engine_of: Callable[..., Engine]
) -> None:
    """The error is both ours and an OperationalError, and has a message of its own."""
    engine = engine_of(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    with (
        guard(shop_service).entered(),
        engine.connect() as connection,
        pytest.raises(exc.OperationalError) as refused,
    ):
        connection.execute(text("SELECT 1"))
    assert isinstance(refused.value, CallRefusedError)
    assert "titles-db" in str(refused.value)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_faults_at_the_database_look_like_the_drivers_own(
    shop_service: Service, engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """Errors and slowness, on the statements of the endpoint, within the attempt."""
    engine = engine_of()
    with engine.connect() as connection:
        break_at(shop_service, "database", "error", peer="titles-db", endpoint="select", status=503)
        with pytest.raises(exc.OperationalError, match="injected fault"):
            connection.execute(text("SELECT 1"))
        connection.execute(text("PRAGMA user_version"))
        break_at(shop_service, "database", "hang", peer="titles-db")
        guard(shop_service).configure(BRIEF)
        with pytest.raises(exc.OperationalError, match="no answer in time"):
            connection.execute(text("SELECT 1"))
        mend(shop_service)
        guard(shop_service).configure(PATIENT)
        connection.execute(text("SELECT 1"))
    assert failures(guard(shop_service)) == 2
    meters.wait_for("ipc.failure.injected=true", "ipc.status=unavailable")
    meters.wait_for("ipc.failure.injected=true", "ipc.status=timeout")


def test_faults_at_the_pool_hit_connections_only(
    shop_service: Service, engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """As the driver's errors when connecting, and as the pool's own timeout."""
    engine = engine_of(pool_timeout=0.05)
    with engine.connect() as connection:
        break_at(shop_service, "pool", "error", peer="titles-db", status=503)
        connection.execute(text("SELECT 1"))
        with pytest.raises(exc.OperationalError, match="injected fault"):
            engine.connect()
        break_at(shop_service, "pool", "hang")
        with pytest.raises(exc.TimeoutError):
            engine.connect()
    mend(shop_service)
    with engine.connect():
        pass
    assert failures(guard(shop_service, "titles-db.pool")) == 2
    meters.wait_for("ipc.failure.injected=true", "ipc.endpoint=connect", "pool_timeout")


def test_waiting_for_a_connection_ends_with_the_deadline(
    engine_of: Callable[..., Engine], meters: MeterListener
) -> None:
    """However long the pool would wait."""
    engine = engine_of(pool_size=1, max_overflow=0, pool_timeout=3600.0)
    with engine.connect(), deadline(0.2), pytest.raises(exc.TimeoutError):
        engine.connect()
    meters.wait_for("ipc.endpoint=connect", "ipc.status=timeout", "deadline")
    with engine.connect():
        pass


def test_connecting_may_be_tried_again(
    shop_service: Service, engine_of: Callable[..., Engine], tmp_path: Path
) -> None:
    """If its configuration says so; statements never are."""
    retry = RetryConfig(max_attempts=3, initial_s=0.0)
    again = CommandConfig(retry=retry, timeout_s=PATIENCE_S)
    engine = engine_of(again, pool_config=again)
    with engine.connect() as connection:
        break_at(shop_service, "database", "error")
        with pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT 1"))
    assert shop_service.runtime.faults.stats().calls_hit == 1
    break_at(shop_service, "pool", "error")
    with pytest.raises(exc.OperationalError):
        engine.connect()
    assert shop_service.runtime.faults.stats().calls_hit == 4


def test_a_pool_made_anew_is_guarded_too(
    shop_service: Service, engine_of: Callable[..., Engine]
) -> None:
    """An engine gets another one when it is disposed of."""
    engine = engine_of()
    engine.dispose()
    before = guard(shop_service, "titles-db.pool").stats().calls.get("success", 0)
    with engine.connect():
        pass
    assert guard(shop_service, "titles-db.pool").stats().calls["success"] == before + 1


# Async


async def async_engine_of(shop_service: Service, url: str, config: CommandConfig = PATIENT) -> Any:
    """A guarded async engine; skips without its driver."""
    driver = url.partition("+")[2].partition(":")[0]
    for needed in (driver, "greenlet"):
        pytest.importorskip(needed, reason=f"needs {needed}: pip install {needed}")
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - needs greenlet

    engine = create_async_engine(url)
    guard_engine(shop_service, engine, "titles-db", config)
    return engine


@pytest.fixture
async def on_loop(service_of: Callable[..., Service], anyio_backend: str) -> AsyncIterator[Service]:
    """The service on an event loop."""
    async with service_of("shop", url="none") as service:
        yield service


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_async_engine_is_guarded_on_its_loop(
    on_loop: Service, tmp_path: Path, meters: MeterListener
) -> None:
    """A slow statement is cancelled and stopped; the loop goes on meanwhile."""
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    engine = await async_engine_of(on_loop, url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE titles (id INTEGER PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO titles VALUES (1)"))
        async with engine.connect() as connection:
            guard(on_loop).configure(BRIEF)
            with pytest.raises(exc.OperationalError) as late:
                await connection.execute(ENDLESS)
            guard(on_loop).configure(PATIENT)
            assert "attempt_timeout" in str(late.value)
            answer = await connection.execute(text("SELECT id FROM titles"))
            assert answer.scalar() == 1
    finally:
        await engine.dispose()
    await asyncio.to_thread(meters.wait_for, "ipc.status=timeout", "with.r")
    await asyncio.to_thread(meters.wait_for, "ipc.status=success", "connect")
    assert permits_out(guard(on_loop)) == 0


@pytest.mark.anyio
async def test_async_faults_block_no_loop(on_loop: Service, tmp_path: Path) -> None:
    """A hang at the pool or the database holds up its own task only, and ends when mended."""
    engine = await async_engine_of(on_loop, f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    try:
        async with engine.connect() as connection:
            for point in ("database", "pool"):
                break_at(on_loop, point, "hang")
                is_waiting = waits_of(on_loop.runtime.faults)
                execute = connection.execute(text("SELECT 1"))
                hung = asyncio.ensure_future(execute if point == "database" else _open(engine))
                if point == "pool":
                    execute.close()
                assert await asyncio.to_thread(is_waiting.wait, PATIENCE_S)
                assert not hung.done()
                mend(on_loop)
                async with asyncio.timeout(PATIENCE_S):
                    await hung
    finally:
        await engine.dispose()


async def _open(engine: Any) -> None:
    async with engine.connect():
        pass


# PostgreSQL


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of our own."""
    with postgresql() as address:
        yield address


@pytest.mark.slow
def test_postgresql_stops_a_statement_at_the_limit(
    shop_service: Service, postgres: str, meters: MeterListener
) -> None:
    """By statement_timeout, which is set once for like limits and again after a rollback."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    engine = create_engine(f"postgresql+psycopg://{postgres}")
    guard_engine(shop_service, engine, "titles-db", CommandConfig(timeout_s=0.5))
    shown = text("SHOW statement_timeout")
    with engine.connect() as connection:
        set_to = connection.execute(shown).scalar()
        with pytest.raises(exc.OperationalError, match="statement timeout"):
            connection.execute(text("SELECT pg_sleep(30)"))
        connection.rollback()
        assert connection.execute(shown).scalar() == set_to
        connection.rollback()
        with deadline(0.4):
            assert connection.execute(shown).scalar() != set_to
    with engine.connect() as connection:
        assert connection.execute(shown).scalar() == set_to
    engine.dispose()
    meters.wait_for("ipc.status=timeout", "sqlstate_57014")
    assert failures(guard(shop_service)) == 1


@pytest.mark.slow
def test_a_lost_connection_is_a_failure(
    shop_service: Service, postgres: str, meters: MeterListener
) -> None:
    """And a unique key is not."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    engine = create_engine(f"postgresql+psycopg://{postgres}")
    guard_engine(shop_service, engine, "titles-db", PATIENT)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE titles (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO titles VALUES (1)"))
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text("INSERT INTO titles VALUES (1)"))
    assert failures(guard(shop_service)) == 0
    with engine.connect() as victim, engine.connect() as other:
        number = victim.execute(text("SELECT pg_backend_pid()")).scalar()
        other.execute(text("SELECT pg_terminate_backend(:number)"), {"number": number})
        with pytest.raises(exc.OperationalError) as lost:
            victim.execute(text("SELECT 1"))
        assert lost.value.connection_invalidated
    engine.dispose()
    meters.wait_for("ipc.status=connection_error", "disconnect")
    meters.wait_for("ipc.status=bad_request", "sqlstate_23505")
    assert failures(guard(shop_service)) == 1


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_an_async_statement_is_cancelled_in_the_server(
    on_loop: Service, postgres: str, driver: str
) -> None:
    """The connection can be used again after a rollback."""
    url = f"postgresql+{driver}://{postgres}"
    engine = await async_engine_of(on_loop, url)
    busy = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(30)%' "
        "AND pid <> pg_backend_pid() AND state = 'active'"
    )
    try:
        async with engine.connect() as connection:
            guard(on_loop).configure(BRIEF)
            with pytest.raises(exc.OperationalError):
                await connection.execute(text("SELECT pg_sleep(30)"))
            guard(on_loop).configure(PATIENT)
            await connection.rollback()
            assert (await connection.execute(busy)).scalar() == 0
    finally:
        await engine.dispose()


def test_waiting_for_a_lock_of_sqlite_ends_at_the_limit(engine_of: Callable[..., Engine]) -> None:
    """And the connection's own patience is what it was."""
    engine = engine_of(BRIEF, connect_args={"timeout": PATIENCE_S})
    own_ms = text("PRAGMA busy_timeout")
    with engine.connect() as first, engine.connect() as second:
        first.exec_driver_sql("BEGIN IMMEDIATE")
        began_s = SystemClock().monotonic_s()
        with pytest.raises(exc.OperationalError, match="locked"):
            second.exec_driver_sql("BEGIN IMMEDIATE")
        assert SystemClock().monotonic_s() - began_s < PATIENCE_S / 2
        cursor: Any = second.connection.cursor()
        assert cursor.execute(str(own_ms)).fetchone()[0] == PATIENCE_S * 1000
        first.rollback()


@pytest.mark.slow
def test_a_limit_set_under_autocommit_is_taken_back(shop_service: Service, postgres: str) -> None:
    """The next user of the connection, who has no limit, is not held to the last one's."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    engine = create_engine(
        f"postgresql+psycopg://{postgres}", isolation_level="AUTOCOMMIT", pool_size=1
    )
    guard_engine(shop_service, engine, "titles-db", CommandConfig())
    shown = text("SHOW statement_timeout")
    with deadline(60.0), engine.connect() as connection:
        assert connection.execute(shown).scalar() != "0"
    with engine.connect() as connection:
        assert connection.execute(shown).scalar() == "0"
    engine.dispose()
