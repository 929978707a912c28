"""An instance as the nested document that Eureka clients exchange, apart from its spelling.

JSON and XML spell the same document: attributes are keys with `@`, an element's own text is the
key `$`. Readers are lenient (see `fields`), writers always write the one classic form.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.instance_info import (
    AMAZON_CLASS,
    MY_OWN_CLASS,
    Action,
    DataCenter,
    InstanceInfo,
    InstanceStatus,
    LeaseInfo,
    Port,
)
from breakwater.registry.spelling.fields import (
    Document,
    integer_of,
    listed,
    part_of,
    text_map_of,
    text_of,
    truth_of,
    word_of,
)

EMPTY_MAP: Final = "java.util.Collections$EmptyMap"

_MAX_PORT: Final = 65_535
_TEXTS: Final = (
    ("sid", "sid"),
    ("appGroupName", "app_group_name"),
    ("asgName", "asg_name"),
    ("homePageUrl", "home_page_url"),
    ("statusPageUrl", "status_page_url"),
    ("healthCheckUrl", "health_check_url"),
    ("secureHealthCheckUrl", "secure_health_check_url"),
    ("vipAddress", "vip_address"),
    ("secureVipAddress", "secure_vip_address"),
)


class Applications(msgspec.Struct, frozen=True, kw_only=True):
    """What a client reads from a whole list or a delta."""

    version: str
    hash_code: str
    instances: list[InstanceInfo]


def read_instance(document: Document) -> InstanceInfo:
    """The instance that `document` describes, which need not be complete.

    A timestamp that the client did not give is 0. Raises InvalidInstanceError for a field that
    cannot be understood; fields nobody knows are passed over.
    """
    texts = {ours: text_of(document.get(theirs), theirs) for theirs, ours in _TEXTS}
    data_center = _read_data_center(document.get("dataCenterInfo"))
    host_name = text_of(document.get("hostName"), "hostName")
    overridden = document.get("overriddenStatus", document.get("overriddenstatus"))
    return InstanceInfo(
        instance_id=_instance_id(document, data_center, host_name),
        host_name=host_name,
        app=text_of(document.get("app", document.get("name")), "app").upper(),
        ip_addr=text_of(document.get("ipAddr"), "ipAddr"),
        status=word_of(document.get("status"), "status", default=InstanceStatus.UP),
        overridden_status=word_of(overridden, "overriddenStatus", default=InstanceStatus.UNKNOWN),
        port=_read_port(document.get("port"), "port", Port(number=7001, is_enabled=True)),
        secure_port=_read_port(document.get("securePort"), "securePort", Port(number=7002)),
        country_id=integer_of(document.get("countryId"), "countryId", default=1),
        data_center=data_center,
        lease=_read_lease(document.get("leaseInfo")),
        metadata=text_map_of(document.get("metadata"), "metadata"),
        is_coordinating_discovery_server=truth_of(
            document.get("isCoordinatingDiscoveryServer"),
            "isCoordinatingDiscoveryServer",
            default=False,
        ),
        last_updated_ms=integer_of(
            document.get("lastUpdatedTimestamp"), "lastUpdatedTimestamp", default=0
        ),
        last_dirty_ms=integer_of(
            document.get("lastDirtyTimestamp"), "lastDirtyTimestamp", default=0
        ),
        action=word_of(document.get("actionType"), "actionType", default=Action.ADDED),
        **texts,
    )


def read_application(document: Document) -> list[InstanceInfo]:
    """The instances of one application, whether written as a list or as one lone object."""
    members = listed(document.get("instance"))
    return [read_instance(part_of(member, "instance")) for member in members]


def read_applications(document: Document) -> Applications:
    """The instances of all applications of a whole list or a delta."""
    apps = listed(document.get("application"))
    return Applications(
        version=text_of(document.get("versions__delta"), "versions__delta"),
        hash_code=text_of(document.get("apps__hashcode"), "apps__hashcode"),
        instances=[info for app in apps for info in read_application(part_of(app, "application"))],
    )


def unwrapped(document: object, name: str) -> Document:
    """The part of `document` under `name`, or `document` itself where the wrapper was left away."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    whole = part_of(document, name)
    if name not in whole:
        return whole
    inner = listed(whole[name])
    if len(inner) != 1:
        raise InvalidInstanceError(f"one {name} is expected, got {len(inner)}")
    return part_of(inner[0], name)


def write_instance(info: InstanceInfo, *, is_compact: bool = False) -> dict[str, object]:
    """The document of `info`; the compact form leaves out what only a person would read."""
    document: dict[str, object] = {
        "instanceId": info.instance_id,
        "hostName": info.host_name,
        "app": info.app,
        "ipAddr": info.ip_addr,
        "status": info.status.value,
    }
    if not is_compact:
        document["overriddenStatus"] = info.overridden_status.value
    document["port"] = _write_port(info.port)
    document["securePort"] = _write_port(info.secure_port)
    if not is_compact:
        document["countryId"] = info.country_id
    document["dataCenterInfo"] = _write_data_center(info.data_center)
    if not is_compact:
        document["leaseInfo"] = _write_lease(info.lease)
        document["metadata"] = info.metadata or {"@class": EMPTY_MAP}
    document.update(_write_texts(info, is_compact=is_compact))
    coordinating = "true" if info.is_coordinating_discovery_server else "false"
    document["isCoordinatingDiscoveryServer"] = coordinating
    document["lastUpdatedTimestamp"] = str(info.last_updated_ms)
    document["lastDirtyTimestamp"] = str(info.last_dirty_ms)
    document["actionType"] = info.action.value
    return document


def hash_code(statuses: Iterable[InstanceStatus]) -> str:
    """The reconciliation code of a list: `STATUS_count_` for each status, sorted by name."""
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.value] = counts.get(status.value, 0) + 1
    return "".join(f"{name}_{counts[name]}_" for name in sorted(counts))


def _instance_id(document: Document, data_center: DataCenter, host_name: str) -> str:
    given = text_of(document.get("instanceId"), "instanceId")
    return given or data_center.metadata.get("instance-id", "") or host_name


def _read_port(value: object, name: str, default: Port) -> Port:
    if not isinstance(value, dict):
        number = integer_of(value, name, default=default.number, high=_MAX_PORT)
        return Port(number=number, is_enabled=default.is_enabled)
    number = integer_of(value.get("$"), f"{name}.$", default=default.number, high=_MAX_PORT)
    is_enabled = truth_of(value.get("@enabled"), f"{name}.@enabled", default=default.is_enabled)
    return Port(number=number, is_enabled=is_enabled)


def _read_data_center(value: object) -> DataCenter:
    part = part_of(value, "dataCenterInfo")
    if not part:
        return DataCenter(name="", class_name="")
    name = text_of(part.get("name"), "dataCenterInfo.name")
    given = text_of(part.get("@class"), "dataCenterInfo.@class")
    return DataCenter(
        name=name,
        class_name=given or (AMAZON_CLASS if name == "Amazon" else MY_OWN_CLASS),
        metadata=text_map_of(part.get("metadata"), "dataCenterInfo.metadata"),
    )


def _read_lease(value: object) -> LeaseInfo:
    part = part_of(value, "leaseInfo")

    def number(name: str, default: int = 0) -> int:
        return integer_of(part.get(name), f"leaseInfo.{name}", default=default)

    renewal_name = "lastRenewalTimestamp"
    if renewal_name not in part:
        renewal_name = "renewalTimestamp"
    return LeaseInfo(
        renewal_interval_s=number("renewalIntervalInSecs") or 30,
        duration_s=number("durationInSecs") or 90,
        registration_ms=number("registrationTimestamp"),
        last_renewal_ms=number(renewal_name),
        eviction_ms=number("evictionTimestamp"),
        service_up_ms=number("serviceUpTimestamp"),
    )


def _write_port(port: Port) -> dict[str, object]:
    return {"$": port.number, "@enabled": "true" if port.is_enabled else "false"}


def _write_data_center(data_center: DataCenter) -> dict[str, object]:
    document: dict[str, object] = {"@class": data_center.class_name, "name": data_center.name}
    if data_center.metadata:
        document["metadata"] = data_center.metadata
    return document


def _write_lease(lease: LeaseInfo) -> dict[str, object]:
    return {
        "renewalIntervalInSecs": lease.renewal_interval_s,
        "durationInSecs": lease.duration_s,
        "registrationTimestamp": lease.registration_ms,
        "lastRenewalTimestamp": lease.last_renewal_ms,
        "evictionTimestamp": lease.eviction_ms,
        "serviceUpTimestamp": lease.service_up_ms,
    }


def _write_texts(info: InstanceInfo, *, is_compact: bool) -> dict[str, object]:
    texts: dict[str, object] = {}
    for theirs, ours in _TEXTS:
        if is_compact and (theirs == "sid" or theirs.endswith("Url")):
            continue
        if value := getattr(info, ours):
            texts[theirs] = value
    return texts
