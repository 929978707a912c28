"""Whether an instance may be registered as it describes itself."""

from breakwater.registry.errors import InvalidInstanceError, PayloadTooLargeError
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.settings import RegistrySettings


def admit(info: InstanceInfo, *, app: str, settings: RegistrySettings) -> None:
    """Return if `info` may be registered under `app`, else raise naming the first fault.

    The texts for missing fields are those of the Eureka server, as clients log and match them.
    """
    for value, what in (
        (info.instance_id, "instanceId"),
        (info.host_name, "hostname"),
        (info.ip_addr, "ip address"),
        (info.app, "appName"),
    ):
        if not value.strip():
            raise InvalidInstanceError(f"Missing {what}")
    if info.app != app.upper():
        raise InvalidInstanceError(
            f"Mismatched appName, expecting {app.upper()} but was {info.app}"
        )
    if not info.data_center.class_name:
        raise InvalidInstanceError("Missing dataCenterInfo")
    if not info.data_center.name.strip():
        raise InvalidInstanceError("Missing dataCenterInfo Name")
    if info.lease.duration_s > settings.max_lease_s:
        raise InvalidInstanceError(
            f"leaseInfo.durationInSecs of {info.instance_id} is {info.lease.duration_s}; "
            f"at most {settings.max_lease_s} is allowed"
        )
    bound_metadata(info, settings=settings)


def bound_metadata(info: InstanceInfo, *, settings: RegistrySettings) -> None:
    """Raise PayloadTooLargeError if the metadata of `info` takes more bytes than allowed."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in info.metadata.items())
    if size > settings.max_metadata_bytes:
        raise PayloadTooLargeError(
            f"metadata of {info.instance_id} takes {size} bytes; "
            f"at most {settings.max_metadata_bytes} are allowed"
        )
