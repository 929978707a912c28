"""The figures of a registry."""

import msgspec

from breakwater.registry.holding.classic import ClassicStats


class RegistryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry holds now, and what it did since it started."""

    revision: int
    applications: int
    instances: int
    instances_by_status: dict[str, int]
    recent_changes: int
    registrations: int
    renewals: int
    unknown_renewals: int
    cancellations: int
    evictions: int
    refused: int
    lost_time_s: float
    classic: ClassicStats
