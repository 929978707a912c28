"""Who is there: a registry of running instances that lease their place and lose it by silence.

It speaks the Eureka REST protocol (JSON and XML, classic clients unchanged) and keeps its promises
sooner: a lease ends `durationInSecs` after its last renewal, not twice that, and whoever waits on
the native view is told at once. `Registry` is pure state with one revision number; the routes are
in `breakwater.registry.http`, the terminal commands in `breakwater.registry.commands`.
"""

from breakwater.registry.errors import (
    InvalidInstanceError,
    NewerClaimError,
    PayloadTooLargeError,
    RegistryFullError,
    StaleReplicaError,
    TooManyWaitersError,
    UnknownInstanceError,
)
from breakwater.registry.instance_info import (
    Action,
    DataCenter,
    InstanceInfo,
    InstanceStatus,
    LeaseInfo,
    Port,
)
from breakwater.registry.registry import Registry, RegistryStats
from breakwater.registry.settings import RegistrySettings

__all__ = [
    "Action",
    "DataCenter",
    "InstanceInfo",
    "InstanceStatus",
    "InvalidInstanceError",
    "LeaseInfo",
    "NewerClaimError",
    "PayloadTooLargeError",
    "Port",
    "Registry",
    "RegistryFullError",
    "RegistrySettings",
    "RegistryStats",
    "StaleReplicaError",
    "TooManyWaitersError",
    "UnknownInstanceError",
]
