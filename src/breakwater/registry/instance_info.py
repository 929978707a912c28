"""One registered instance as Eureka describes it: address, status, lease terms, metadata."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from breakwater.model import Health, Instance

MAX_WHOLE: Final = 2**63 - 1
"""The largest number that is told, kept or taken from anybody."""
Whole = Annotated[int, msgspec.Meta(ge=0, le=MAX_WHOLE)]

MY_OWN_CLASS: Final = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
AMAZON_CLASS: Final = "com.netflix.appinfo.AmazonInfo"


class InstanceStatus(StrEnum):
    """Whether an instance takes traffic, as far as the registry knows."""

    UP = "UP"
    DOWN = "DOWN"
    STARTING = "STARTING"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    UNKNOWN = "UNKNOWN"


class Action(StrEnum):
    """What happened last to an instance, as a delta tells it."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Port(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A TCP port and whether the instance listens on it."""

    number: Whole = 0
    is_enabled: bool = False


class DataCenter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the instance runs; `class_name` is the Java class that classic clients ask for."""

    name: str = "MyOwn"
    class_name: str = MY_OWN_CLASS
    metadata: dict[str, str] = {}


class LeaseInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The terms of a lease and its milestones; 0 means that a milestone was not reached."""

    renewal_interval_s: Whole = 30
    duration_s: Whole = 90
    registration_ms: Whole = 0
    last_renewal_ms: Whole = 0
    eviction_ms: Whole = 0
    service_up_ms: Whole = 0


class InstanceInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything the registry tells about one instance; empty text stands for "not given"."""

    instance_id: str
    host_name: str
    app: str
    ip_addr: str
    status: InstanceStatus = InstanceStatus.UP
    overridden_status: InstanceStatus = InstanceStatus.UNKNOWN
    port: Port = Port(number=7001, is_enabled=True)
    secure_port: Port = Port(number=7002)
    country_id: Whole = 1
    data_center: DataCenter = DataCenter()
    lease: LeaseInfo = LeaseInfo()
    metadata: dict[str, str] = {}
    sid: str = ""
    app_group_name: str = ""
    asg_name: str = ""
    home_page_url: str = ""
    status_page_url: str = ""
    health_check_url: str = ""
    secure_health_check_url: str = ""
    vip_address: str = ""
    secure_vip_address: str = ""
    is_coordinating_discovery_server: bool = False
    last_updated_ms: Whole = 0
    last_dirty_ms: Whole = 0
    action: Action = Action.ADDED

    @property
    def zone(self) -> str:
        """The zone, from the instance's own metadata or else from its Amazon placement."""
        return self.metadata.get("zone") or self.data_center.metadata.get("availability-zone", "")

    @property
    def service(self) -> str:
        """The name the service calls itself; Eureka's application names are upper case.

        The virtual address keeps the spelling when it is the same word; else lower case.
        """
        if self.vip_address.upper() == self.app:
            return self.vip_address
        return self.app.lower()


def native(info: InstanceInfo, health: Health = Health.FRESH) -> Instance:
    """`info` in the words of `breakwater.model`."""
    port = info.port if info.port.is_enabled or not info.secure_port.is_enabled else None
    return Instance(
        service=info.service,
        instance_id=info.instance_id,
        host=info.ip_addr,
        port=(port or info.secure_port).number,
        zone=info.zone,
        status=info.status.value,
        metadata=info.metadata,
        health=health,
        up_since_ms=info.lease.service_up_ms,
    )
