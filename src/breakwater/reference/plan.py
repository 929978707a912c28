"""Which processes make the fleet: names, zones, ports and environment, as specs to be started."""

import os
import socket
import sys
from typing import Final
from urllib.parse import urlsplit

import msgspec

from breakwater.model import InvalidInputError, ProcessSpec, UnavailableError

ZONES: Final = ("a", "b")
HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 8100
_QUIET_PORTS: Final = range(10_000, 32_000)
_PORTS_APART: Final = 64
_PER_ZONE: Final = {
    "account": 1,
    "catalogue": 1,
    "features": 1,
    "ranker": 1,
    "session": 1,
    "licence": 1,
    "manifest": 1,
    "cdn": 2,
    "steering": 1,
    "personalization": 1,
    "playback": 1,
    "gateway": 1,
}
# numpy's own threads would fight over two cores and gain nothing on matrices this small.
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class _Place(msgspec.Struct, frozen=True):
    service: str
    zone: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.service}-{self.zone}-{self.number}" if self.zone else self.service


def fleet_plan(
    platform_url: str,
    metrics_url: str,
    *,
    base_port: int = FIRST_PORT,
    seed: int = 1,
    rps: float = 60.0,
    python: str = sys.executable,
) -> list[ProcessSpec]:
    """The fleet's processes in the order to start them: services first, the player last.

    base_port: the first of 28 consecutive ports; 0 takes free ones from the system, which another
    program could still take before the fleet starts. Raises InvalidInputError for unusable URLs
    or ports. The player's spec is named `player`; its ready_url is on its control port.
    """
    _check_url("platform_url", platform_url, "http")
    _check_url("metrics_url", metrics_url, "udp")
    places = _places()
    ports = _ports(base_port, len(places))
    shared = {
        "BREAKWATER_URL": platform_url,
        "BREAKWATER_METRICS": metrics_url,
        "BREAKWATER_HOST": HOST,
        "BREAKWATER_REFERENCE_SEED": str(seed),
        **_ONE_THREAD,
    }
    return [
        _spec(place, port, [python, "-m", "breakwater.reference", place.service], shared, rps)
        for place, port in zip(places, ports, strict=True)
    ]


def _places() -> list[_Place]:
    services = [
        _Place(service, zone, number)
        for service, count in _PER_ZONE.items()
        for zone in ZONES
        for number in range(1, count + 1)
    ]
    return [_Place("origin", ZONES[0], 1), *services, _Place("player", "", 1)]


def _spec(
    place: _Place, port: int, argv: list[str], shared: dict[str, str], rps: float
) -> ProcessSpec:
    env = {
        **shared,
        "BREAKWATER_SERVICE": place.service,
        "BREAKWATER_INSTANCE": place.name,
        "BREAKWATER_ZONE": place.zone,
        "BREAKWATER_PORT": str(port),
    }
    return ProcessSpec(
        name=place.name,
        service=place.service,
        argv=[*argv, "--rps", f"{rps:g}"] if place.service == "player" else argv,
        env=env,
        zone=place.zone,
        port=port,
        ready_url=f"http://{HOST}:{port}/healthcheck",
    )


def _ports(base_port: int, count: int) -> list[int]:
    if base_port == 0:
        return _free_ports(count)
    if not 1024 <= base_port <= 65536 - count:
        raise InvalidInputError(
            f"base_port must be 0 (any free ports) or from 1024 to {65536 - count}, not {base_port}"
        )
    return list(range(base_port, base_port + count))


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, and that nobody is likely to take in the next.

    Below those that the system gives to outgoing connections, and in another place for each
    process, so that two fleets which start at the same time do not meet.
    """
    first = os.getpid() * _PORTS_APART % len(_QUIET_PORTS)
    ports: list[int] = []
    for port in (*_QUIET_PORTS[first:], *_QUIET_PORTS[:first]):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:  # in use
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise UnavailableError(f"{count} free ports are needed, {len(ports)} are there on {HOST}")


def _check_url(name: str, url: str, scheme: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == scheme and bool(parts.hostname) and parts.port is not None
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInputError(f"{name} must look like {scheme}://host:port, not '{url}'")
