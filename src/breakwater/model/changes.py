"""Something a person or a program did to the fleet."""

from enum import StrEnum

import msgspec


class ChangeKind(StrEnum):
    """What sort of act a change was."""

    DEPLOY = "deploy"
    CONFIG = "config"
    FLAG = "flag"
    SCALE = "scale"
    RESTART = "restart"
    FAULT = "fault"
    FAILOVER = "failover"
    INCIDENT = "incident"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One act on the fleet: what, to whom, by whom, from when to when.

    `end_ms` is None while the act lasts or when it took no time worth recording.
    """

    kind: ChangeKind
    target: str
    start_ms: int
    actor: str
    source: str
    end_ms: int | None = None
    detail: dict[str, str] = {}
    id: int | None = None
