"""Time limits of single statements, where the driver has such a thing.

SQLite: a progress handler stops the statement, and `busy_timeout` its wait for a lock; on asyncio
an interrupt does.
PostgreSQL: `statement_timeout`, local to the transaction, so that no pooler hands it to others; set
anew when it differs by more than a tenth from what is set. With autocommit it lasts for the
connection, and is taken back by the next statement that has another limit or none.
Other async drivers: the attempt is cancelled, and the driver cancels its statement.
Other sync drivers: nothing; give the driver a timeout of its own.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from weakref import WeakKeyDictionary

from breakwater.model import Clock

_OPCODES: Final = 2_000
"""SQLite looks at the time every so many instructions, some tens of microseconds."""
_STEP: Final = math.log(1.1)


class Limits:
    """No limit at all; what all kinds have in common."""

    def hold(self, cursor: Any, seconds: float | None) -> AbstractContextManager[None]:
        """The statement that `cursor` executes within is held to so many seconds."""
        del cursor, seconds
        return nullcontext()

    def forget(self, connection: Any) -> None:
        """A transaction on this connection of the driver ended, and with it what was set in it."""


def limits_of(dialect: Any, clock: Clock) -> Limits:
    """How statements of this dialect are held to a time."""
    if dialect.is_async:
        return Limits()
    if dialect.name == "sqlite":
        return _OfSqlite(clock)
    return _OfPostgresql() if dialect.name == "postgresql" else Limits()


class _OfSqlite(Limits):
    """A statement that runs too long ends in `OperationalError: interrupted`."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic_s

    @contextmanager
    def hold(self, cursor: Any, seconds: float | None) -> Iterator[None]:
        """By a progress handler; it takes the place of the user's own."""
        if seconds is None:
            yield
            return
        stop_s = self._now_s() + seconds
        connection = cursor.connection
        own_ms, limit_ms = _pragma(connection, "busy_timeout"), rounded_up_ms(seconds)
        if limit_ms < own_ms:
            _pragma(connection, f"busy_timeout = {limit_ms}")
        connection.set_progress_handler(lambda: self._now_s() > stop_s, _OPCODES)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)
            if limit_ms < own_ms:
                _pragma(connection, f"busy_timeout = {own_ms}")


def _pragma(connection: Any, words: str) -> int:
    """What SQLite says to it, which for a setting is its new value."""
    cursor = connection.cursor()
    try:
        cursor.row_factory = None  # the user's own may give anything
        return int(cursor.execute(f"PRAGMA {words}").fetchone()[0])
    finally:
        cursor.close()


class _OfPostgresql(Limits):
    """The setting lasts as long as the transaction: one round trip for statements alike."""

    def __init__(self) -> None:
        self._local_ms: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._session_ms: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    @contextmanager
    def hold(self, cursor: Any, seconds: float | None) -> Iterator[None]:
        """By `SET statement_timeout`, if it is not set so."""
        connection = cursor.connection
        wanted_ms = 0 if seconds is None else rounded_up_ms(seconds)
        session_ms = self._session_ms.get(connection, 0)
        if self._local_ms.get(connection, session_ms) != wanted_ms:
            scope = "SESSION" if connection.autocommit else "LOCAL"
            with connection.cursor() as own:
                own.execute(f"SET {scope} statement_timeout = {wanted_ms}")
            known = self._session_ms if connection.autocommit else self._local_ms
            known[connection] = wanted_ms
        yield

    def forget(self, connection: Any) -> None:
        """A transaction is over, and with it what was local to it."""
        self._local_ms.pop(connection, None)


def rounded_up_ms(seconds: float) -> int:
    """The next step of a ladder of tenths, so that like limits are the same: whole ms, from 1."""
    wanted_ms = max(1.0, seconds * 1000.0)
    return math.ceil(1.1 ** math.ceil(math.log(wanted_ms) / _STEP - 1e-9))


def interrupt(context: Any) -> None:
    """Stop the statement that a cancelled attempt leaves behind in a thread of aiosqlite."""
    driver = context.root_connection.connection.driver_connection
    asked = getattr(driver, "interrupt", None)
    if asked is None:
        return
    stop = asked()
    try:
        stop.send(None)
    except StopIteration:
        return
    stop.close()
