"""What is asked for, what would be done, and what was done: the records of chaos."""

from enum import StrEnum
from typing import Literal

import msgspec

from breakwater.model import CallPoint, FaultRule


class ChaosKind(StrEnum):
    """The faults that can be asked for."""

    LATENCY = "latency"
    ERRORS = "errors"
    HANG = "hang"
    SLOW_EDGE = "slow_edge"
    CPU_BURN = "cpu_burn"
    FREEZE = "freeze"
    CRASH = "crash"


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault as a person or a drill asks for it; None means the kind's own default.

    latency, errors, hang: at `service` on requests it receives, only those of `caller` if given;
    or with `point` on what it asks of others: outbound, cache, database, queue, or pool for the
    wait for a connection; only of `peer` if given, by the name `service` has for it.
    slow_edge: at `caller` on requests it sends to `service`: time lost between the two.
    cpu_burn, freeze, crash: to one instance of `service`, drawn at random unless `instance` or
    `all_instances` is given; naming `all_instances` also lifts the cap on the share of a service.
    instance: of `caller` for slow_edge, of `service` otherwise. percent: share of calls, above 0
    to 100. headers: all must be equal on the request. threads: how many burn, 1 to 16.
    """

    kind: ChaosKind
    service: str
    instance: str | None = None
    all_instances: bool = False
    caller: str | None = None
    point: CallPoint | None = None
    peer: str | None = None
    endpoint: str | None = None
    percent: float | None = None
    delay_ms: float | None = None
    jitter_ms: float | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    threads: int | None = None
    duration_s: float = 60.0
    actor: str = "unknown"
    reason: str = ""


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a fault touches: the service, the instance if it is only one, and in words what."""

    service: str
    what: str
    instance: str | None = None


class ProcessAct(msgspec.Struct, frozen=True, kw_only=True):
    """A signal to one process of this machine.

    started_ticks: field 22 of /proc/<pid>/stat, which tells the process from a later one of the
    same pid; in a plan it is what the instance registered, true within `slack_ticks`, in a fault
    it is exact. stop is undone by continuing; kill cannot be undone.
    """

    signal: Literal["stop", "kill"]
    instance: str
    pid: int
    started_ticks: int
    slack_ticks: int = 0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """This machine, as far as decisions need it.

    hosts: names and addresses it may be registered under. booted_s: seconds since the epoch at
    its boot. ticks_per_s: the kernel's clock ticks, in which process start times are counted.
    """

    hosts: frozenset[str]
    booted_s: float
    ticks_per_s: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a request comes to: rules for services, signals to processes, and both in words."""

    request: FaultRequest
    rules: list[FaultRule]
    acts: list[ProcessAct]
    targets: list[Touch]


class FaultState(StrEnum):
    """`active` until somebody undoes it or its time is over."""

    ACTIVE = "active"
    UNDONE = "undone"
    EXPIRED = "expired"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was started; `ends_ms` is its time limit, `ended_ms` when it really ended.

    change_id: its row in the journal. note: what a person should know, for example that a crash
    is over only when somebody starts the instance again.
    """

    id: str
    state: FaultState
    started_ms: int
    ends_ms: int
    request: FaultRequest
    targets: list[Touch]
    acts: list[ProcessAct] = []
    ended_ms: int | None = None
    change_id: int | None = None
    note: str = ""


class ChaosStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start of the platform; the last two should be zero.

    unwritten_ends: ended faults whose end is not yet in the journal or the ledger.
    damaged_ledger_lines: lines of the undo ledger that could not be read at the start.
    """

    leashed: bool
    active: int
    started: int
    undone: int
    expired: int
    refused: int
    recovered: int
    waiters: int
    unwritten_ends: int
    damaged_ledger_lines: int
