"""Discovery: this process's lease in the registry, and where everybody else is.

A lease is kept by Eureka requests (register, renew, cancel); the whereabouts of others come by a
long poll and are kept locally, so that a registry that is slow, dead or freshly restarted never
stands in the way of a call. `Resolver` picks an instance: same zone first.
"""

from breakwater.sdk.discovery.lease import Lease, LeaseStats
from breakwater.sdk.discovery.resolver import Resolver, ResolverStats, is_service_name
from breakwater.sdk.discovery.view import RegistryView, ViewStats

__all__ = [
    "Lease",
    "LeaseStats",
    "RegistryView",
    "Resolver",
    "ResolverStats",
    "ViewStats",
    "is_service_name",
]
