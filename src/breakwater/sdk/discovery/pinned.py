"""Instances that a program names itself instead of asking the registry."""

from breakwater.model import Instance
from breakwater.sdk.settings import parse_address


def fixed_instance(service: str, given: Instance | str) -> Instance:
    """An instance of `service` from a record, or from `http://host:port`; raises SettingsError."""
    if isinstance(given, Instance):
        return given
    address = parse_address("instances", given, "http")
    return Instance(
        service=service,
        instance_id=f"{service}-{address.host}-{address.port}",
        host=address.host,
        port=address.port,
    )
