"""The platform's control state: small, durable, written by one thread."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Error as SqliteError
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from breakwater.storage.errors import (
    StorageBusyError,
    StorageClosedError,
    StorageFormatError,
    StorageUnavailableError,
)
from breakwater.storage.schema import Schema, is_current, prepare
from breakwater.storage.sqlite import needs_reopening, open_engine, translated

T = TypeVar("T")


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the database waits, and how much may wait for it."""

    busy_timeout_ms: int = 5_000
    max_waiting: int = 1_000


class StorageStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the database did since it was made; `last_failure` is empty while all goes well.

    After a refused write it stays until a write succeeds, after a refused read until a read does.
    """

    path: str
    waiting: int
    writes: int
    reads: int
    failures: int
    refused: int
    last_failure: str


class ControlDatabase:
    """One SQLite file (or memory, where `path` is None), written by a single thread.

    When `write` returns, what it did is on the disk: a commit waits for the write-ahead log to be
    synced. When it raises StorageUnavailableError nothing of it was stored; the file is opened
    anew by the next call, so a disk that was full or read-only heals without a restart, and reads
    go on meanwhile. Work is a plain function of a connection and runs in a thread of its own,
    inside one transaction: it must not keep the connection, and must not wait for anything else.

    Rooms hand over their tables with `adopt` before the first call; the file is created, and
    brought up to date, by whatever call comes first.
    """

    def __init__(self, path: Path | None, settings: StorageSettings | None = None) -> None:
        self._path = path
        self._settings = settings or StorageSettings()
        self._schemas: list[Schema] = []
        self._prepared: set[str] = set()
        self._writer_engine: Engine | None = None
        self._reader_engine: Engine | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="storage-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="storage-reader")
        self._waiting = 0
        self._counts: Counter[str] = Counter()
        self._failing: dict[str, str] = {}
        self._is_closed = False

    def adopt(self, schema: Schema) -> None:
        """Keep the tables of one more room in this database."""
        if schema.room in {held.room for held in self._schemas}:
            raise ValueError(f"the tables of {schema.room} were handed over twice")
        self._schemas.append(schema)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result once it is on the disk.

        Raises StorageUnavailableError, StorageBusyError or StorageFormatError, after which nothing
        of it is stored. If the caller is cancelled meanwhile, the work may still be carried out.
        """
        result = await self._hand_over("writes", self._writer, lambda: self._write(work))
        self._counts["writes"] += 1
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database; it cannot write.

        Raises StorageUnavailableError, StorageBusyError or StorageFormatError.
        """
        if not self._is_prepared() and not await self._hand_over(
            "reads", self._reader, self._looks_current
        ):
            await self._hand_over("reads", self._writer, self._prepared_writer)
        # Memory has one connection, and one thread uses it.
        executor = self._writer if self._path is None else self._reader
        result = await self._hand_over("reads", executor, lambda: self._read(work))
        self._counts["reads"] += 1
        return result

    async def close(self) -> None:
        """Finish the work that was handed over, then let go of the file."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shut)

    async def __aenter__(self) -> Self:
        """The database itself; the file is opened by the first call."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database."""
        await self.close()

    def stats(self) -> StorageStats:
        """Numbers for the platform's own metrics."""
        return StorageStats(
            path=str(self._path or ":memory:"),
            waiting=self._waiting,
            writes=self._counts["writes"],
            reads=self._counts["reads"],
            failures=self._counts["failures"],
            refused=self._counts["refused"],
            last_failure=self._failing.get("writes") or self._failing.get("reads", ""),
        )

    async def _hand_over(self, sort: str, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._is_closed:
            raise StorageClosedError("the database was closed", "CLOSED")
        if self._waiting >= self._settings.max_waiting:
            self._counts["refused"] += 1
            raise StorageBusyError(
                f"{self._waiting} pieces of work wait for the database already; try again later"
            )
        self._waiting += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(executor, work)
        except (StorageUnavailableError, StorageFormatError) as error:
            self._counts["failures"] += 1
            self._failing[sort] = str(error)
            raise
        else:
            self._failing.pop(sort, None)
            return result
        finally:
            self._waiting -= 1

    def _write(self, work: Callable[[Connection], T]) -> T:
        engine = self._prepared_writer()
        try:
            with engine.begin() as connection:
                return work(connection)
        except (DBAPIError, SqliteError) as error:
            raise self._judged(error, engine) from error

    def _looks_current(self) -> bool:
        """Whether the file can be read as it is, even from a disk that takes no writes."""
        if self._path is None or not self._path.exists():
            return False
        if self._read(lambda connection: is_current(connection, self._schemas)):
            self._prepared = {schema.room for schema in self._schemas}
        return self._is_prepared()

    def _read(self, work: Callable[[Connection], T]) -> T:
        if self._path is None:
            engine = self._prepared_writer()
        else:
            engine = self._reader_engine = self._reader_engine or self._engine(is_writer=False)
        try:
            with engine.connect() as connection:
                return work(connection)
        except (DBAPIError, SqliteError) as error:
            raise self._judged(error, engine) from error

    def _prepared_writer(self) -> Engine:
        engine = self._writer_engine = self._writer_engine or self._engine(is_writer=True)
        if self._is_prepared():
            return engine
        try:
            with engine.begin() as connection:
                prepare(connection, self._schemas)
        except (DBAPIError, SqliteError) as error:
            raise self._judged(error, engine) from error
        self._prepared = {schema.room for schema in self._schemas}
        return engine

    def _is_prepared(self) -> bool:
        return len(self._prepared) == len(self._schemas)

    def _engine(self, *, is_writer: bool) -> Engine:
        if is_writer and self._path is not None:
            self._make_folder(self._path.parent)
        return open_engine(
            self._path, is_writer=is_writer, busy_timeout_ms=self._settings.busy_timeout_ms
        )

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(
                f"the folder {folder} cannot be made: {error.strerror}; choose another for "
                f"{self._path} or make its parent writable",
                "SQLITE_CANTOPEN",
            ) from error

    def _judged(self, error: DBAPIError | SqliteError, engine: Engine) -> Exception:
        """The error to raise for `error`; a connection that is spoilt is opened anew next time."""
        told = translated(error, self._path)
        if told is not None and self._path is not None and needs_reopening(told):
            engine.dispose()
        return told or error

    def _shut(self) -> None:
        self._writer.shutdown(wait=True)
        self._reader.shutdown(wait=True)
        for engine in (self._reader_engine, self._writer_engine):
            if engine is not None:
                engine.dispose()
