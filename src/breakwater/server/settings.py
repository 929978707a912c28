"""Every setting of the platform, in one frozen tree.

Each room declares its own section; this module adds what belongs to the process as a whole and
the bounds that a type cannot state. Where values come from is the business of `sources`.
"""

import ipaddress
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from breakwater.chaos import ChaosSettings
from breakwater.guards import GuardSettings
from breakwater.incidents import IncidentSettings
from breakwater.ingest import IngestSettings
from breakwater.metrics import MetricsSettings
from breakwater.registry import RegistrySettings
from breakwater.server.errors import InvalidSettingError

Role = Literal["viewer", "operator", "chaos"]
"""What a token may do; each role includes the ones before it."""

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may come in: a name for the records, a role, and the SHA-256 of the token in hex."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    role: Role
    sha256: Digest


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP side.

    max_body_bytes, max_bodies_bytes: of any request, and of all under way together.
    max_requests: requests under way at once, long polls aside; further ones are answered 503.
    max_connections: open at once, fewer where the process may not open so many files.
    head_timeout_s: how long a connection may take to send the head of a request.
    body_timeout_s: longest silence within a body. stop_s: how long requests may still run after a
    stop signal.
    """

    host: str = "127.0.0.1"
    port: int = 7101
    max_body_bytes: int = 32 << 20
    max_bodies_bytes: int = 256 << 20
    max_requests: int = 512
    max_connections: int = 10_000
    head_timeout_s: float = 15.0
    body_timeout_s: float = 30.0
    stop_s: float = 0.5


class StorageSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control database: how long it waits for a lock, and how much may wait for it."""

    busy_timeout_ms: int = 5_000
    max_waiting: int = 1_000


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings; a section is named like the room it belongs to.

    data_dir: where journal, undo ledger and metrics are kept; it is made when missing.
    tokens: who may come in; without any, only this machine may, and may do everything.
    """

    data_dir: str = "breakwater-data"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tokens: list[Token] = []
    server: ServerSettings = ServerSettings()
    ingest: IngestSettings = IngestSettings()
    metrics: MetricsSettings = MetricsSettings()
    registry: RegistrySettings = RegistrySettings()
    storage: StorageSection = StorageSection()
    chaos: ChaosSettings = ChaosSettings()
    incidents: IncidentSettings = IncidentSettings()
    guards: GuardSettings = GuardSettings()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Bound(msgspec.Struct, frozen=True):
    """One allowed range: `holds` of a value, and how that is said."""

    holds: Callable[[float], bool]
    words: str


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _between(low: float, high: float) -> Bound:
    return Bound(lambda value: low <= value <= high, f"{_plain(low)} to {_plain(high)}")


BOUNDS: Final[dict[str, Bound]] = {
    "server.port": _between(0, 65_535),
    "server.stop_s": _between(0, 30),
    "server.max_body_bytes": _between(1_024, 1 << 30),
    "server.max_requests": _between(1, 100_000),
    "server.max_bodies_bytes": _between(1_024, 1 << 40),
    "server.head_timeout_s": _between(0.01, 3_600),
    "server.body_timeout_s": _between(0.01, 3_600),
    "ingest.port": _between(0, 65_535),
    "ingest.receive_buffer_bytes": _between(4_096, 1 << 30),
    "metrics.step_ms": Bound(
        lambda value: 1_000 <= value <= 60_000 and 60_000 % value == 0,
        "1000 to 60000 and a whole part of a minute",
    ),
    "metrics.block_slots": _between(0, 3_600),
    "metrics.max_series": _between(1, 100_000_000),
    "metrics.max_series_per_name": _between(1, 100_000_000),
    "metrics.max_series_per_app": _between(1, 100_000_000),
    "metrics.raw_blocks": _between(2, 100_000),
    "metrics.snapshot_every_s": _between(1, 86_400),
    "metrics.max_log_bytes": _between(1 << 20, 1 << 40),
    "registry.evict_interval_s": _between(0.01, 3_600),
    "registry.max_wait_s": _between(0, 3_600),
    "registry.probe_every_s": _between(0.1, 3_600),
    "registry.probe_timeout_s": _between(0.01, 60),
    "registry.peer_ping_s": _between(0.05, 60),
    "registry.reconcile_every_s": _between(0.1, 3_600),
    "registry.dns_port": _between(0, 65_535),
    "registry.dns_ttl_s": _between(0, 3_600),
    "chaos.max_share": _between(0, 1),
    "guards.interval_s": _between(0.05, 60),
    "guards.max_event_bytes": _between(1_024, 1 << 24),
    "guards.max_wait_s": _between(0, 3_600),
    "storage.busy_timeout_ms": _between(0, 600_000),
}
"""Bounds by dotted name; any other number must be at least zero and finite."""

_ANY_NUMBER: Final = Bound(lambda value: 0 <= value < float("inf"), "a finite number from 0")
_COUNTS: Final = Bound(lambda value: 1 <= value < float("inf"), "a whole number from 1")


def check_value(name: str, value: object, origin: str) -> None:
    """Raise InvalidSettingError when a value of the right type lies outside its bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    last = name.rpartition(".")[2]
    default = _COUNTS if last.startswith("max_") and isinstance(value, int) else _ANY_NUMBER
    bound = BOUNDS.get(name, default)
    if not bound.holds(value):
        raise InvalidSettingError(f"{name} is {value} ({origin}); allowed: {bound.words}")
