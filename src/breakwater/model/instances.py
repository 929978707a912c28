"""One running copy of a service: how it is started, and where it is found."""

from enum import StrEnum
from typing import Annotated

import msgspec

Calls = Annotated[int, msgspec.Meta(ge=0)]


class Health(StrEnum):
    """How sure the registry is that an instance is there; a status is what it says of itself.

    FRESH: it renewed in time. LATE: its renewal is overdue, or nothing was heard of it since the
    registry itself came back. DOUBTFUL: its health check is silent, or its address refuses though
    it was never reached there; or its lease has ended, but so have many at once, and nothing proves
    that it is gone. LOST: proven gone while its lease still runs; never in a view.
    """

    FRESH = "fresh"
    LATE = "late"
    DOUBTFUL = "doubtful"
    LOST = "lost"


class Instance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where one copy of a service listens; `status` is UP, DOWN, STARTING or OUT_OF_SERVICE.

    up_since_ms: when it first said UP, 0 if it never did.
    """

    service: str
    instance_id: str
    host: str
    port: int
    zone: str = ""
    status: str = "UP"
    metadata: dict[str, str] = {}
    health: Health = Health.FRESH
    up_since_ms: int = 0


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """Every registered instance at one revision of the registry."""

    revision: int
    instances: list[Instance]


class InstanceKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The name of an instance: ids are unique within a service only."""

    service: str
    instance_id: str


class ViewChange(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from the view at revision `since` to that at `revision`.

    since None: `instances` is the whole view and nothing before it counts. Otherwise `instances`
    holds those that are new or different, and `gone` those that left.
    """

    revision: int
    since: int | None = None
    instances: list[Instance]
    gone: list[InstanceKey] = []


class CalleeReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one caller saw of one instance since its report before.

    failures: calls that failed for whatever reason, among them `refused` (nobody listens there)
    and `timeouts`. is_ejected: the caller's balancer passes the instance over. breaker: the
    state of the caller's circuit breaker for the service ("" for none).
    """

    service: str
    instance_id: str
    calls: Calls = 0
    failures: Calls = 0
    refused: Calls = 0
    timeouts: Calls = 0
    is_ejected: bool = False
    breaker: Annotated[str, msgspec.Meta(max_length=64)] = ""


class CallerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes one caller saw within the last `window_s` seconds, callee by callee."""

    caller: InstanceKey
    window_s: Annotated[float, msgspec.Meta(ge=0)]
    callees: list[CalleeReport]


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one process: `argv` (argv[0] is an executable), added environment, readiness.

    `ready_url` answers HTTP 200 once the process can take traffic; None means no such check.
    """

    name: str
    service: str
    argv: list[str]
    env: dict[str, str] = {}
    zone: str = ""
    port: int = 0
    ready_url: str | None = None
