"""Finding the lease an operator names."""

from typing import Final

from breakwater.registry.errors import UnknownInstanceError
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.registry import Registry

_NAMED: Final = 10


def found_lease(registry: Registry, service: str, instance_id: str) -> Lease:
    """The lease of that instance; raises UnknownInstanceError, which names who is there instead."""
    try:
        return registry.lease(service, instance_id)
    except UnknownInstanceError:
        raise _unknown(registry, service, instance_id) from None


def _unknown(registry: Registry, service: str, instance_id: str) -> UnknownInstanceError:
    """The refusal, with who is there instead."""
    there = sorted(
        lease.info.instance_id for lease in registry.leases() if lease.info.app == service.upper()
    )
    if not there:
        services = sorted({lease.info.service for lease in registry.leases()})
        return UnknownInstanceError(
            f"no instance of {service} is registered; services here: {_listed(services)}"
        )
    return UnknownInstanceError(
        f"no instance {instance_id} of {service} is registered; there are: {_listed(there)}"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}" if names else "none"
