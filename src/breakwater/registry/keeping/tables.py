"""The rows that leases and ends are kept in."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
)

from breakwater.registry.holding.groups import Switch
from breakwater.registry.instance_info import InstanceInfo, InstanceStatus
from breakwater.storage import Schema

_TABLES = MetaData()
_INSTANCES = Table(
    "registry_instances",
    _TABLES,
    Column("app", String, primary_key=True),
    Column("instance_id", String, primary_key=True),
    Column("via", String, nullable=False),
    Column("override_ms", BigInteger, nullable=False),
    Column("info", Text, nullable=False),
)
_ENDINGS = Table(
    "registry_endings",
    _TABLES,
    Column("app", String, primary_key=True),
    Column("instance_id", String, primary_key=True),
    Column("last_dirty_ms", BigInteger, nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("override", String),
    Column("override_ms", BigInteger, nullable=False),
)
SCHEMA: Final = Schema(room="registry", version=1, tables=_TABLES)

_GROUP_TABLES = MetaData()
_GROUPS = Table(
    "registry_groups",
    _GROUP_TABLES,
    Column("name", String, primary_key=True),
    Column("is_enabled", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
GROUP_SCHEMA: Final = Schema(room="registry.groups", version=1, tables=_GROUP_TABLES)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(InstanceInfo)


class KeptInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One lease as it is kept; `override_ms` is when its override was set or taken away, or 0."""

    info: InstanceInfo
    via: str = ""
    override_ms: int = 0


class KeptEnding(msgspec.Struct, frozen=True, kw_only=True):
    """One end as it is kept; `at_ms` is wall time, for monotonic time ends with the process."""

    app: str
    instance_id: str
    last_dirty_ms: int
    is_final: bool
    at_ms: int
    override: InstanceStatus | None = None
    override_ms: int = 0


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """All that was kept; damaged: rows that could not be read and were passed over."""

    instances: list[KeptInstance]
    endings: list[KeptEnding]
    damaged: int
    groups: list[Switch] = []


def store(
    connection: Connection,
    instances: list[KeptInstance],
    endings: list[KeptEnding],
    *,
    forget_before_ms: int,
    groups: list[Switch] | None = None,
) -> None:
    """Put the present state of some instances in place of what was kept of them.

    groups: all that is known of groups; None where that has not changed.
    """
    _clear(connection, ((one.info.app, one.info.instance_id) for one in instances))
    _clear(connection, ((one.app, one.instance_id) for one in endings))
    if instances:
        connection.execute(insert(_INSTANCES), [_row_of(one) for one in instances])
    if endings:
        connection.execute(insert(_ENDINGS), [msgspec.structs.asdict(one) for one in endings])
    connection.execute(delete(_ENDINGS).where(_ENDINGS.c.at_ms < forget_before_ms))
    if groups is not None:
        connection.execute(delete(_GROUPS))
    if groups:
        connection.execute(insert(_GROUPS), [msgspec.structs.asdict(one) for one in groups])


def recall(connection: Connection) -> Recalled:
    """Everything that is kept."""
    instances = []
    damaged = 0
    for row in connection.execute(select(_INSTANCES)):
        try:
            info = _DECODER.decode(row.info)
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged += 1
            continue
        instances.append(KeptInstance(info=info, via=row.via, override_ms=row.override_ms))
    endings = [
        KeptEnding(
            app=row.app,
            instance_id=row.instance_id,
            last_dirty_ms=row.last_dirty_ms,
            is_final=row.is_final,
            at_ms=row.at_ms,
            override=InstanceStatus(row.override) if row.override else None,
            override_ms=row.override_ms,
        )
        for row in connection.execute(select(_ENDINGS).order_by(_ENDINGS.c.at_ms))
    ]
    groups = [
        Switch(row.name, row.is_enabled, row.at_ms) for row in connection.execute(select(_GROUPS))
    ]
    return Recalled(instances=instances, endings=endings, damaged=damaged, groups=groups)


def _row_of(kept: KeptInstance) -> dict[str, object]:
    return {
        "app": kept.info.app,
        "instance_id": kept.info.instance_id,
        "via": kept.via,
        "override_ms": kept.override_ms,
        "info": _ENCODER.encode(kept.info).decode(),
    }


def _clear(connection: Connection, keys: Iterable[tuple[str, str]]) -> None:
    places = [{"of_app": app, "of_id": instance_id} for app, instance_id in keys]
    if not places:
        return
    for table in (_INSTANCES, _ENDINGS):
        connection.execute(
            delete(table).where(
                table.c.app == bindparam("of_app"), table.c.instance_id == bindparam("of_id")
            ),
            places,
        )
