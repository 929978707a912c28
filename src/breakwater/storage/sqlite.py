"""SQLite as the platform uses it: one file, a write-ahead log, every commit on the disk."""

from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import Error as SqliteError
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from breakwater.storage.errors import StorageFormatError, StorageUnavailableError

_ADVICE: Final = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_IOERR": "the disk refused to read or write; free some space or mend it",
    "SQLITE_READONLY": "the file or its disk is read-only; make it, its -wal and its -shm writable",
    "SQLITE_CANTOPEN": "the file cannot be opened; check the folder and its permissions",
    "SQLITE_PERM": "the file may not be used; check its permissions",
    "SQLITE_BUSY": "another process is writing to it; stop that process or wait",
    "SQLITE_LOCKED": "another writer holds it; wait",
    "SQLITE_NOLFS": "the file has reached the largest size this disk allows",
    "SQLITE_PROTOCOL": "another process holds its locks; wait",
    "SQLITE_NOMEM": "memory is short; free some",
}
_PASSING: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED")
_FOREIGN: Final = {
    "SQLITE_CORRUPT": "its contents are damaged; restore it from a copy or move it away",
    "SQLITE_NOTADB": "it is not an SQLite database; name another file",
}


def open_engine(path: Path | None, *, is_writer: bool, busy_timeout_ms: int) -> Engine:
    """An engine on the file `path`, or on memory that lives as long as the engine.

    Transactions are begun explicitly: a writer takes the write lock at once, so that it never
    finds out half-way that another process was faster; a reader cannot write at all.
    """
    if path is None:
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        # A reader that lingers would keep a file's old permissions alive for the writer too.
        pool = None if is_writer else NullPool
        engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool)

    @event.listens_for(engine, "connect")
    def configure(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        if is_writer:
            connection.execute("PRAGMA journal_mode=WAL")
        else:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


def translated(
    error: DBAPIError | SqliteError, path: Path | None
) -> StorageUnavailableError | StorageFormatError | None:
    """`error` as one that says what to do, or None if it speaks of the statement itself."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = getattr(cause, "sqlite_errorname", "")
    where = "the database in memory" if path is None else f"the database {path}"
    for name, advice in _FOREIGN.items():
        if reason.startswith(name):
            return StorageFormatError(f"{where} cannot be used: {advice} ({reason})")
    for name, advice in _ADVICE.items():
        if reason.startswith(name):
            return StorageUnavailableError(f"{where} cannot be used: {advice} ({reason})", reason)
    return None


def needs_reopening(error: StorageUnavailableError | StorageFormatError) -> bool:
    """Whether a connection that failed so is to be given up; one that met a full disk is sound."""
    return not (isinstance(error, StorageUnavailableError) and error.reason.startswith(_PASSING))
