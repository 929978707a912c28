"""The control database: transactions, tables, bounds, recovery."""

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.exc import IntegrityError

from breakwater.storage import (
    ControlDatabase,
    Schema,
    StorageBusyError,
    StorageClosedError,
    StorageFormatError,
    StorageSettings,
    StorageUnavailableError,
)

pytestmark = pytest.mark.anyio

TABLES = MetaData()
NOTES = Table(
    "notes", TABLES, Column("id", Integer, primary_key=True), Column("text", String, nullable=False)
)
FOREIGN = b"not a database at all, but long enough to be mistaken for one" * 20
SCHEMA = Schema(room="notes", version=1, tables=TABLES)


def add(note: str | None) -> "Add":
    """Work that writes one note."""
    return Add(note)


class Add:
    """Writes `note` and returns its number."""

    def __init__(self, note: str | None) -> None:
        self.note = note

    def __call__(self, connection: Connection) -> int:
        key = connection.execute(insert(NOTES).values(text=self.note)).inserted_primary_key
        assert key is not None
        return int(key[0])


def everything(connection: Connection) -> list[str]:
    """Work that reads all notes."""
    return list(connection.execute(select(NOTES.c.text).order_by(NOTES.c.id)).scalars())


@pytest.fixture(params=["memory", "file"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[ControlDatabase]:
    """A new database for notes, in memory and in a file of a folder not yet there."""
    path = None if request.param == "memory" else tmp_path / "new" / "control.db"
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        yield database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database file may be made."""
    return tmp_path / "control.db"


async def test_what_is_written_can_be_read(database: ControlDatabase) -> None:
    """Reading first finds empty tables; a write is seen by the next read."""
    assert await database.read(everything) == []
    assert await database.write(add("a")) == 1
    assert await database.write(add("b")) == 2
    assert await database.read(everything) == ["a", "b"]
    stats = database.stats()
    assert (stats.writes, stats.reads, stats.failures, stats.waiting) == (2, 2, 0, 0)


async def test_work_that_fails_leaves_nothing(database: ControlDatabase) -> None:
    """One transaction is all or nothing, and the error of the work reaches the caller."""

    def half(connection: Connection) -> None:
        add("half")(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(half)
    with pytest.raises(IntegrityError):
        await database.write(add(None))
    assert await database.read(everything) == []


async def test_many_writers_are_one(database: ControlDatabase) -> None:
    """Concurrent writes are carried out one after the other, in one thread, and none is lost."""
    threads = set()

    def write(connection: Connection) -> None:
        threads.add(threading.current_thread().name)
        add("x")(connection)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(database.write, write)
    assert len(await database.read(everything)) == 50
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


async def test_readers_cannot_write(path: Path) -> None:
    """Only `write` changes anything in a file."""
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        await database.write(add("a"))
        with pytest.raises(StorageUnavailableError, match="read-only"):
            await database.read(add("b"))
        assert await database.read(everything) == ["a"]


async def test_a_file_keeps_what_was_written(path: Path) -> None:
    """A database opened again has everything, and its log is the durable kind."""
    for expected in ([], ["a"], ["a", "a"]):
        async with ControlDatabase(path) as database:
            database.adopt(SCHEMA)
            assert await database.read(everything) == expected
            await database.write(add("a"))
            modes = await database.write(
                lambda connection: [
                    connection.execute(text(f"PRAGMA {name}")).scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                ]
            )
            assert modes == ["wal", 2, 1, 5_000]


async def test_a_table_can_be_upgraded(path: Path) -> None:
    """An older file is brought up step by step; a newer one is refused and left alone."""
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        await database.write(add("a"))
    upgrades = {
        1: lambda connection: connection.execute(text("UPDATE notes SET text = text || '1'")),
        2: lambda connection: connection.execute(text("UPDATE notes SET text = text || '2'")),
    }
    newer = Schema(room="notes", version=3, tables=TABLES, upgrades=upgrades)
    for _ in range(2):
        async with ControlDatabase(path) as database:
            database.adopt(newer)
            assert await database.read(everything) == ["a12"]
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        with pytest.raises(StorageFormatError, match=r"are of version 3.*up to 1"):
            await database.read(everything)
    async with ControlDatabase(path) as database:
        database.adopt(Schema(room="notes", version=5, tables=TABLES, upgrades=upgrades))
        with pytest.raises(StorageFormatError, match="of version 3, which this Breakwater cannot"):
            await database.write(add("b"))


async def test_an_upgrade_that_fails_changes_nothing(path: Path) -> None:
    """Upgrades are one transaction: half of them is none of them."""
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        await database.write(add("a"))

    def spoil(connection: Connection) -> None:
        connection.execute(text("DELETE FROM notes"))
        raise ZeroDivisionError

    async with ControlDatabase(path) as database:
        database.adopt(Schema(room="notes", version=2, tables=TABLES, upgrades={1: spoil}))
        with pytest.raises(ZeroDivisionError):
            await database.read(everything)
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        assert await database.read(everything) == ["a"]


async def test_rooms_share_a_file(path: Path) -> None:
    """Each room adds its tables, also to a file another room made before; twice is a mistake."""
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        await database.write(add("a"))
        with pytest.raises(ValueError, match="handed over twice"):
            database.adopt(SCHEMA)
    tables = MetaData()
    Table("marks", tables, Column("id", Integer, primary_key=True))
    async with ControlDatabase(path) as database:
        database.adopt(SCHEMA)
        database.adopt(Schema(room="marks", version=1, tables=tables))
        mark = text("INSERT INTO marks VALUES (1)")
        await database.write(lambda connection: connection.execute(mark))
        assert await database.read(everything) == ["a"]


@pytest.fixture
def foreign(path: Path) -> Path:
    """A file that is no database."""
    path.write_bytes(FOREIGN)
    return path


async def test_a_foreign_file_is_refused(foreign: Path) -> None:
    """A file that is no database is named and left as it is."""
    async with ControlDatabase(foreign) as database:
        database.adopt(SCHEMA)
        for _ in range(2):
            with pytest.raises(StorageFormatError, match=r"control\.db cannot be used: it is not"):
                await database.write(add("a"))
    assert await anyio.Path(foreign).read_bytes() == FOREIGN


async def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that cannot be made is named; once the way is free, the next call succeeds."""
    (tmp_path / "taken").write_text("a file, not a folder")
    async with ControlDatabase(tmp_path / "taken" / "control.db") as database:
        database.adopt(SCHEMA)
        with pytest.raises(StorageUnavailableError, match=r"the folder .* cannot be made"):
            await database.write(add("a"))
        (tmp_path / "taken").unlink()
        assert await database.write(add("a")) == 1


async def test_another_process_in_the_way(path: Path) -> None:
    """While somebody else holds the write lock, writes are refused and reads go on."""
    async with ControlDatabase(path, StorageSettings(busy_timeout_ms=1)) as database:
        database.adopt(SCHEMA)
        await database.write(add("a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailableError, match="another process is writing") as caught:
            await database.write(add("b"))
        assert caught.value.reason == "SQLITE_BUSY"
        assert await database.read(everything) == ["a"]
        other.execute("ROLLBACK")
        other.close()
        await database.write(add("c"))
        assert await database.read(everything) == ["a", "c"]


async def test_waiting_work_is_bounded() -> None:
    """Beyond the bound work is refused at once, counted, and nothing of it is stored."""
    async with ControlDatabase(None, StorageSettings(max_waiting=1)) as database:
        database.adopt(SCHEMA)
        release = threading.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(database.write, lambda _connection: release.wait(10))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StorageBusyError, match="1 pieces of work wait"):
                await database.write(add("a"))
            release.set()
        assert database.stats().refused == 1
        assert await database.read(everything) == []


async def test_closing_finishes_what_was_begun(path: Path) -> None:
    """Work handed over before the close is done; afterwards nothing is taken."""
    database = ControlDatabase(path)
    database.adopt(SCHEMA)
    async with anyio.create_task_group() as group:
        group.start_soon(database.write, add("a"))
        await anyio.wait_all_tasks_blocked()
        await database.close()
    await database.close()
    with pytest.raises(StorageClosedError):
        await database.write(add("b"))
    with sqlite3.connect(path) as check:
        assert check.execute("SELECT text FROM notes").fetchall() == [("a",)]
    check.close()
