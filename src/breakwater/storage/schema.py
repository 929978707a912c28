"""The tables one room keeps, and how an older version of them becomes the present one."""

from collections.abc import Callable, Mapping

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    update,
)

from breakwater.storage.errors import StorageFormatError

Upgrade = Callable[[Connection], None]

_LEDGER = MetaData()
_VERSIONS = Table(
    "schema_versions",
    _LEDGER,
    Column("room", String, primary_key=True),
    Column("version", Integer, nullable=False),
)


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Tables of one room at one version; `upgrades[n]` turns version n into version n + 1."""

    room: str
    version: int
    tables: MetaData
    upgrades: Mapping[int, Upgrade] = {}


def is_current(connection: Connection, schemas: list[Schema]) -> bool:
    """Whether every table is there at its present version; writes nothing."""
    held = _held_versions(connection)
    return all(held.get(schema.room) == schema.version for schema in schemas)


def prepare(connection: Connection, schemas: list[Schema]) -> None:
    """Create what is missing and upgrade what is older, inside the caller's transaction.

    Raises StorageFormatError if the file is newer than this program.
    """
    held = _held_versions(connection)
    _LEDGER.create_all(connection)
    for schema in schemas:
        _prepare_one(connection, schema, held.get(schema.room))


def _held_versions(connection: Connection) -> dict[str, int]:
    if not inspect(connection).has_table(_VERSIONS.name):
        return {}
    rows = connection.execute(select(_VERSIONS.c.room, _VERSIONS.c.version))
    return {str(row.room): int(row.version) for row in rows}


def _prepare_one(connection: Connection, schema: Schema, held: int | None) -> None:
    if held is None:
        schema.tables.create_all(connection)
        connection.execute(insert(_VERSIONS).values(room=schema.room, version=schema.version))
        return
    if held > schema.version:
        raise StorageFormatError(
            f"the tables of {schema.room} are of version {held}; this Breakwater knows versions "
            f"up to {schema.version}: use the newer Breakwater that wrote them"
        )
    for version in range(held, schema.version):
        if version not in schema.upgrades:
            raise StorageFormatError(
                f"the tables of {schema.room} are of version {version}, which this Breakwater "
                f"cannot bring up to {schema.version}"
            )
        schema.upgrades[version](connection)
    if held != schema.version:
        connection.execute(
            update(_VERSIONS).where(_VERSIONS.c.room == schema.room).values(version=schema.version)
        )
