"""Who this process is and where its platform is: from arguments, else from the environment.

Every name can be given by argument or by an environment variable `BREAKWATER_*`; an argument
wins. What a supervisor writes into the environment of a process is therefore all it needs.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from breakwater.model import calls, sanitize
from breakwater.sdk.errors import SettingsError

DEFAULT_URL: Final = "http://127.0.0.1:7101"
DEFAULT_METRICS: Final = "udp://127.0.0.1:1234"
MAX_DRAIN_S: Final = 600.0
_TOKEN: Final = re.compile(r"[!-~]*")
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-fA-F:.]+\]|[^/:\[\]]+):(?P<port>\d{1,5})/?"
)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A host and a port, taken from a URL such as `udp://127.0.0.1:1234`.

    token: shown with every request to a platform that lets in only who has one; empty for none.
    """

    host: str
    port: int
    token: str = ""


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the SDK needs to know about the process it runs in.

    port 0 means this process listens nowhere, so it takes no lease. `platform` None: no platform,
    so no lease, no registry view and no fault rules. `metrics` None: meters go nowhere.
    guards_file: settings of guarded commands, re-read when it changes; empty for none.
    registry: where the lease is kept and others are looked up, the first that answers; by default
    the platform. view_file: where the whereabouts of others are kept for the next start; empty
    for nowhere. drain_s: how long a service that is told to end may take to leave in peace.
    """

    service: str
    instance: str
    zone: str
    host: str
    port: int
    platform: Address | None
    metrics: Address | None
    guards_file: str = ""
    registry: tuple[Address, ...] = ()
    view_file: str = ""
    drain_s: float = 5.0
    renewal_s: float = 5.0
    lease_s: int = 15


def resolve_settings(
    service: str | None,
    given: Mapping[str, str | float | None],
    environ: Mapping[str, str] | None = None,
) -> ServiceSettings:
    """Settings from `given` (by the name of an argument of `Service`), else from the environment.

    Raises SettingsError naming the argument and variable that cannot be used.
    """
    env = os.environ if environ is None else environ

    def value(key: str, default: str = "") -> str:
        argument = given.get(key)
        return (
            str(argument) if argument is not None else env.get(f"BREAKWATER_{key.upper()}", default)
        )

    name = service if service is not None else env.get("BREAKWATER_SERVICE", "")
    if not name or sanitize(name) != name:
        raise SettingsError(
            f"service name {name!r} (BREAKWATER_SERVICE) must be one or more of -._A-Za-z0-9^~"
        )
    port = _port(value("port", "0"))
    token = value("token")
    platform = _platform(value("url", DEFAULT_URL), token)
    host = value("host", "127.0.0.1")
    return ServiceSettings(
        service=name,
        instance=sanitize(
            value("instance") or f"{name}-{os.uname().nodename}-{port or os.getpid()}"
        ),
        zone=sanitize(value("zone")) if value("zone") else "",
        host=host,
        port=port,
        platform=platform,
        metrics=_address_or_none("metrics", value("metrics", DEFAULT_METRICS), "udp"),
        guards_file=value("guards_file"),
        registry=_registry(value("registry"), token, platform),
        view_file=value("view_file"),
        drain_s=_seconds("drain_s", value("drain_s", "5")),
    )


def _registry(text: str, token: str, platform: Address | None) -> tuple[Address, ...]:
    """The addresses in `text`, separated by commas; the platform if there is none."""
    if not text:
        return () if platform is None else (platform,)
    parts = [part.strip() for part in text.split(",")]
    different = dict.fromkeys(part for part in parts if part)
    found = [_address_or_none("registry", part, "http") for part in different]
    return tuple(msgspec.structs.replace(one, token=token) for one in found if one is not None)


def _seconds(key: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_DRAIN_S:
        raise SettingsError(
            f"{key} {text!r} (BREAKWATER_{key.upper()}) must be seconds from 0 to {MAX_DRAIN_S:g}"
        )
    return seconds


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SettingsError(f"port {text!r} (BREAKWATER_PORT) must be a number from 0 to 65535")
    return int(text)


def _platform(url: str, token: str) -> Address | None:
    if not _TOKEN.fullmatch(token):
        raise SettingsError("the token (BREAKWATER_TOKEN) must be visible ASCII characters only")
    address = _address_or_none("url", url, "http")
    return None if address is None else msgspec.structs.replace(address, token=token)


def _address_or_none(key: str, text: str, scheme: str) -> Address | None:
    return None if text == "none" else parse_address(key, text, scheme)


def parse_address(key: str, text: str, scheme: str) -> Address:
    """The host and port in `scheme://host:port`; raises SettingsError naming `key` otherwise."""
    match = _ADDRESS.fullmatch(text)
    if match is None or match["scheme"] != scheme or int(match["port"]) > 65535:
        raise SettingsError(
            f"{key} {text!r} (BREAKWATER_{key.upper()}) must be {scheme}://host:port"
        )
    return Address(host=match["host"].strip("[]"), port=int(match["port"]))


def common_tags(settings: ServiceSettings) -> dict[str, str]:
    """What every meter of this process says of where it comes from."""
    tags = {calls.APP: settings.service, calls.NODE: settings.instance}
    return {**tags, calls.ZONE: settings.zone} if settings.zone else tags
