"""What happens to leases, told to whoever has to act on it: replication, disk, views."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from breakwater.registry.instance_info import InstanceInfo


class Deed(StrEnum):
    """What was done to a lease."""

    REGISTERED = "registered"
    RENEWED = "renewed"
    CANCELLED = "cancelled"
    EVICTED = "evicted"
    OVERRIDDEN = "overridden"
    OVERRIDE_REMOVED = "override_removed"
    DESCRIBED = "described"


class Origin(StrEnum):
    """Who did it: the instance itself, a peer that passes it on, our disk, or this registry."""

    CLIENT = "client"
    PEER = "peer"
    OPERATOR = "operator"
    DISK = "disk"
    REGISTRY = "registry"


class Happening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One deed and the instance as it is after it (for an end: as it was last)."""

    deed: Deed
    origin: Origin
    info: InstanceInfo


Listener = Callable[[Happening], None]
"""Called on the event loop, between two requests; it must not wait and must not raise."""
