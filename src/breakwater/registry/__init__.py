"""Who is there: a registry of running instances that lease their place and lose it by silence.

It speaks the Eureka REST protocol (JSON and XML, classic clients unchanged) and keeps its promises
sooner: a lease ends `durationInSecs` after its last renewal, not twice that, and whoever waits on
the native view is told at once. `Registry` is pure state with one revision number; `Directory` is
all of it wired for a server. The routes are in `breakwater.registry.http`, the terminal commands
in `breakwater.registry.commands`.
"""

from typing import TYPE_CHECKING

from breakwater.registry.errors import (
    InvalidInstanceError,
    NewerClaimError,
    PayloadTooLargeError,
    PeerFailedError,
    RegistryFullError,
    StaleReplicaError,
    TooManyWaitersError,
    UnknownInstanceError,
    UnusablePeerError,
)
from breakwater.registry.holding.registry import Registry
from breakwater.registry.holding.stats import RegistryStats
from breakwater.registry.instance_info import (
    Action,
    DataCenter,
    InstanceInfo,
    InstanceStatus,
    LeaseInfo,
    Port,
)
from breakwater.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from breakwater.registry.directory import Directory, DirectoryStats

__all__ = [
    "Action",
    "DataCenter",
    "Directory",
    "DirectoryStats",
    "InstanceInfo",
    "InstanceStatus",
    "InvalidInstanceError",
    "LeaseInfo",
    "NewerClaimError",
    "PayloadTooLargeError",
    "PeerFailedError",
    "Port",
    "Registry",
    "RegistryFullError",
    "RegistrySettings",
    "RegistryStats",
    "StaleReplicaError",
    "TooManyWaitersError",
    "UnknownInstanceError",
    "UnusablePeerError",
]


def __getattr__(name: str) -> object:
    """Import what serves HTTP only when it is asked for: commands have no use for it."""
    if name not in {"Directory", "DirectoryStats"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - part of the delay

    return getattr(import_module(f"{__name__}.directory"), name)
