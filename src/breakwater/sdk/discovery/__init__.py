"""Discovery: this process's lease in the registry, and where everybody else is.

A lease is kept by Eureka requests (register, renew, cancel); the whereabouts of others come by a
long poll and are kept locally, so that a registry that is slow, dead or freshly restarted never
stands in the way of a call. `Resolver` chooses an instance for each call by load, zone and what
calls to it ended in (`BalancerConfig`).
"""

from breakwater.sdk.discovery.accounts import InstanceLoad
from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.bench import StandingChanged
from breakwater.sdk.discovery.changes import InstancesChanged
from breakwater.sdk.discovery.evidence import Evidence
from breakwater.sdk.discovery.lease import Lease, LeaseStats
from breakwater.sdk.discovery.picks import Pick
from breakwater.sdk.discovery.pinned import fixed_instance
from breakwater.sdk.discovery.reporting import Reporter, ReporterStats
from breakwater.sdk.discovery.resolver import (
    Resolver,
    ResolverStats,
    ServiceStats,
    is_service_name,
)
from breakwater.sdk.discovery.tally import DiscoveryMeters
from breakwater.sdk.discovery.view import RegistryView, ViewStats
from breakwater.sdk.discovery.viewfile import ViewFile

__all__ = [
    "BalancerConfig",
    "DiscoveryMeters",
    "Evidence",
    "InstanceLoad",
    "InstancesChanged",
    "Lease",
    "LeaseStats",
    "Pick",
    "RegistryView",
    "Reporter",
    "ReporterStats",
    "Resolver",
    "ResolverStats",
    "ServiceStats",
    "StandingChanged",
    "ViewFile",
    "ViewStats",
    "fixed_instance",
    "is_service_name",
]
