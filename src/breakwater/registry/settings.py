"""The bounds within which the registry works."""

import msgspec


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much the registry keeps, and for how long."""

    max_instances: int = 10_000
    max_body_bytes: int = 65_536
    max_metadata_bytes: int = 16_384
    max_lease_s: int = 86_400
    max_waiters: int = 5_000
    max_wait_s: float = 60.0
    delta_retention_s: float = 180.0
    evict_interval_s: float = 1.0
