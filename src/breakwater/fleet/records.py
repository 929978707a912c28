"""What the supervisor tells about its processes."""

from enum import StrEnum

import msgspec


class FleetEventKind(StrEnum):
    """What happened to one process."""

    STARTING = "starting"
    READY = "ready"
    EXITED = "exited"
    RESTARTED = "restarted"


class FleetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a process, for a live display.

    expected: for `exited`, whether this supervisor was asked to end it. ready and total count the
    processes of the whole fleet, after this step. detail: how it ended, in words.
    """

    kind: FleetEventKind
    name: str
    service: str
    pid: int
    at_ms: int
    ready: int
    total: int
    expected: bool = True
    detail: str = ""


class ProcessState(StrEnum):
    """Where a process stands; `frozen` was stopped by a signal and can be continued."""

    STARTING = "starting"
    READY = "ready"
    FROZEN = "frozen"
    EXITED = "exited"


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it is now; usage is zero once it has ended.

    exit_code is that of the program, or minus the number of the signal that ended it.
    """

    name: str
    service: str
    pid: int
    started_ms: int
    state: ProcessState
    cpu_s: float
    rss_bytes: int
    restarts: int
    log_path: str
    exit_code: int | None = None


class FleetStats(msgspec.Struct, frozen=True, kw_only=True):
    """How much was started, and how it went, since the supervisor was made."""

    processes: int
    alive: int
    started: int
    exited: int
    exited_unasked: int
    restarts: int
    killed_after_grace: int
