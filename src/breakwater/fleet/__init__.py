"""Processes on this machine: started together, watched, and never left behind.

A `Supervisor` starts `model.ProcessSpec`s in parallel, tells when each can take traffic, keeps
their output in files and stops them in good order. Whatever ends the supervisor, a clean exit, an
error, Ctrl-C or `kill -9`, its processes end with it. By default nothing that died is started
again: an experiment has to see its dead; a `RestartBudget` changes that.
"""

from breakwater.fleet.errors import (
    DuplicateProcessError,
    InvalidSpecError,
    ProcessesLeftError,
    StartFailedError,
    SupervisorStoppedError,
    UnknownProcessError,
)
from breakwater.fleet.records import (
    FleetEvent,
    FleetEventKind,
    FleetStats,
    ProcessRecord,
    ProcessState,
)
from breakwater.fleet.restarts import RestartBudget
from breakwater.fleet.supervisor import Supervisor

__all__ = [
    "DuplicateProcessError",
    "FleetEvent",
    "FleetEventKind",
    "FleetStats",
    "InvalidSpecError",
    "ProcessRecord",
    "ProcessState",
    "ProcessesLeftError",
    "RestartBudget",
    "StartFailedError",
    "Supervisor",
    "SupervisorStoppedError",
    "UnknownProcessError",
]
