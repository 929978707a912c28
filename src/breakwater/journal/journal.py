"""The journal: every change, kept in the control database."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, cast

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)

from breakwater.journal.errors import InvalidChangeError, UnknownChangeError
from breakwater.journal.validity import validate, validate_new, validate_window
from breakwater.model import Change, ChangeKind, Clock
from breakwater.storage import ControlDatabase, Schema, StorageUnavailableError

LASTING_KINDS: Final = frozenset((ChangeKind.FAULT, ChangeKind.FAILOVER, ChangeKind.INCIDENT))
"""Kinds that last until they are closed; any other without an end happened at one moment."""

MAX_ANSWER: Final = 10_000

_TABLES = MetaData()
_CHANGES = Table(
    "changes",
    _TABLES,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("target", String, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("actor", String, nullable=False),
    Column("source", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("changes_by_start", "start_ms"),
    Index("changes_by_target", "target", "start_ms"),
    sqlite_autoincrement=True,
)
_SCHEMA: Final = Schema(room="journal", version=1, tables=_TABLES)


class JournalStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal did since it was made; `unstored` counts changes the disk refused."""

    recorded: int
    closed: int
    queries: int
    invalid: int
    unstored: int


class Journal:
    """What people and programs did to the fleet, and when.

    A change that `record` returned is on the disk. Changes are kept in the order they are told,
    and never rewritten but for their end.
    """

    def __init__(self, database: ControlDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: Counter[str] = Counter()
        database.adopt(_SCHEMA)

    def now_ms(self) -> int:
        """The time by the journal's clock, in milliseconds."""
        return self._clock.now_ms()

    async def record(
        self, change: Change, *, also: Callable[[Connection], object] | None = None
    ) -> Change:
        """Write `change` down and return it with its number, once it is on the disk.

        also: what is changed by it in the same database; both are kept, or neither. Raises
        InvalidChangeError, or what storage raises; then nothing was written.
        """
        try:
            validate_new(change)
        except InvalidChangeError:
            self._counts["invalid"] += 1
            raise
        try:
            number = await self._database.write(lambda held: _insert_with(held, change, also))
        except StorageUnavailableError:
            self._counts["unstored"] += 1
            raise
        self._counts["recorded"] += 1
        return msgspec.structs.replace(change, id=number)

    async def close(self, change_id: int, end_ms: int | None = None) -> Change:
        """Give a change its end (now, unless told) and return it.

        The first end stands: closing again changes nothing, so a caller may repeat itself after a
        crash. Raises UnknownChangeError, InvalidChangeError for an end before the start.
        """
        at_ms = self._clock.now_ms() if end_ms is None else end_ms
        change = await self._database.write(lambda connection: _close(connection, change_id, at_ms))
        self._counts["closed"] += 1
        return change

    async def change(self, change_id: int) -> Change:
        """The change of that number; raises UnknownChangeError."""
        return await self._database.read(lambda connection: _fetch(connection, change_id))

    async def changes(
        self,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        kinds: Iterable[ChangeKind] = (),
        target: str | None = None,
        limit: int = 1_000,
    ) -> list[Change]:
        """The changes that were going on at any moment from `start_ms` to `end_ms`, newest first.

        Both ends belong to the window; None leaves that side open. No kinds means all. A change
        without an end goes on for ever if its kind lasts (LASTING_KINDS), and otherwise happened
        at the moment it began. Of more than `limit` changes the newest are given.
        """
        if not 1 <= limit <= MAX_ANSWER:
            raise InvalidChangeError(f"limit must be from 1 to {MAX_ANSWER}, got {limit}")
        validate_window(start_ms, end_ms)
        wanted = _overlapping(start_ms, end_ms)
        chosen = sorted(set(kinds))
        if chosen:
            wanted.append(_CHANGES.c.kind.in_([kind.value for kind in chosen]))
        if target is not None:
            wanted.append(_CHANGES.c.target == target)
        query = select(_CHANGES).where(*wanted)
        query = query.order_by(_CHANGES.c.start_ms.desc(), _CHANGES.c.id.desc()).limit(limit)
        found = await self._database.read(
            lambda connection: [_change(row) for row in connection.execute(query)]
        )
        self._counts["queries"] += 1
        return found

    def stats(self) -> JournalStats:
        """Numbers for the platform's own metrics."""
        counts = self._counts
        return JournalStats(
            recorded=counts["recorded"],
            closed=counts["closed"],
            queries=counts["queries"],
            invalid=counts["invalid"],
            unstored=counts["unstored"],
        )


def _overlapping(start_ms: int | None, end_ms: int | None) -> list[ColumnElement[bool]]:
    """What a row fulfils if it overlaps the closed window."""
    conditions: list[ColumnElement[bool]] = []
    if end_ms is not None:
        conditions.append(_CHANGES.c.start_ms <= end_ms)
    if start_ms is not None:
        lasts = and_(
            _CHANGES.c.end_ms.is_(None),
            _CHANGES.c.kind.in_([kind.value for kind in sorted(LASTING_KINDS)]),
        )
        ended_ms = func.coalesce(_CHANGES.c.end_ms, _CHANGES.c.start_ms)
        conditions.append(or_(lasts, ended_ms >= start_ms))
    return conditions


def _insert_with(
    connection: Connection, change: Change, also: Callable[[Connection], object] | None
) -> int:
    if also is not None:
        also(connection)
    return _insert(connection, change)


def _insert(connection: Connection, change: Change) -> int:
    values = msgspec.structs.asdict(change) | {
        "kind": change.kind.value,
        "detail": msgspec.json.encode(change.detail).decode(),
    }
    del values["id"]
    key = connection.execute(insert(_CHANGES).values(**values)).inserted_primary_key
    assert key is not None, "SQLite gives every new row a key"
    return cast("int", key[0])


def _fetch(connection: Connection, change_id: int) -> Change:
    row = connection.execute(select(_CHANGES).where(_CHANGES.c.id == change_id)).one_or_none()
    if row is None:
        raise UnknownChangeError(f"there is no change {change_id}")
    return _change(row)


def _close(connection: Connection, change_id: int, end_ms: int) -> Change:
    held = _fetch(connection, change_id)
    if held.end_ms is not None:
        return held
    change = msgspec.structs.replace(held, end_ms=end_ms)
    validate(change)
    connection.execute(update(_CHANGES).where(_CHANGES.c.id == change_id).values(end_ms=end_ms))
    return change


def _change(row: Row[tuple[object, ...]]) -> Change:
    return Change(
        id=row.id,
        kind=ChangeKind(row.kind),
        target=row.target,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        actor=row.actor,
        source=row.source,
        detail=msgspec.json.decode(row.detail, type=dict[str, str]),
    )
