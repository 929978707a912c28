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
    serves_deltas: bool = True
    limits_fetches: bool = False
    limits_standard_clients: bool = False
    privileged_clients: list[str] = []
    fetch_burst: int = 10
    fetches_per_s: int = 500
    full_fetches_per_s: int = 100
    peers: list[str] = []
    url: str = ""
    peer_token: str = ""
    peer_ping_s: float = 2.0
    reconcile_every_s: float = 15.0
    start_copy_s: float = 10.0
    max_peer_tasks: int = 30_000
    dns_host: str = "127.0.0.1"
    dns_port: int = 0
    dns_domain: str = "breakwater"
    dns_ttl_s: int = 1
    probing: bool = True
    probe_every_s: float = 5.0
    probe_timeout_s: float = 1.0
    max_probes_per_s: int = 200
    preserve_s: float = 900.0
    max_callees: int = 1_000
    prometheus_file: str = ""
