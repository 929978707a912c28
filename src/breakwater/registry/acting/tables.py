"""Acts as rows of the control database."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, Text, delete, select
from sqlalchemy.dialects.sqlite import insert

from breakwater.registry.acting.acts import Act
from breakwater.storage import Schema

_TABLES = MetaData()
_ACTS = Table(
    "registry_acts",
    _TABLES,
    Column("id", String, primary_key=True),
    Column("ended_ms", BigInteger, index=True),
    Column("act", Text, nullable=False),
)
SCHEMA: Final = Schema(room="registry.acting", version=1, tables=_TABLES)


def store(connection: Connection, acts: Iterable[Act], *, forget_before_ms: int) -> None:
    """Write acts in place of what is held under their ids; forget those that ended long ago."""
    for act in acts:
        values = {"ended_ms": act.ended_ms, "act": msgspec.json.encode(act).decode()}
        row = insert(_ACTS).values(id=act.id, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))
    connection.execute(delete(_ACTS).where(_ACTS.c.ended_ms < forget_before_ms))


def load(connection: Connection) -> list[Act]:
    """Every act that is held."""
    rows = connection.execute(select(_ACTS.c.act)).scalars()
    return [msgspec.json.decode(row, type=Act) for row in rows]
