"""Who this process is and where its platform is: from arguments, else from the environment.

Every name can be given by argument or by an environment variable `BREAKWATER_*`; an argument
wins. What a supervisor writes into the environment of a process is therefore all it needs.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from breakwater.model import sanitize
from breakwater.sdk.errors import SettingsError

DEFAULT_URL: Final = "http://127.0.0.1:7101"
DEFAULT_METRICS: Final = "udp://127.0.0.1:1234"
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
    """

    service: str
    instance: str
    zone: str
    host: str
    port: int
    platform: Address | None
    metrics: Address | None
    guards_file: str = ""
    renewal_s: float = 5.0
    lease_s: int = 15


def resolve_settings(
    service: str | None,
    given: Mapping[str, str | int | None],
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
    host = value("host", "127.0.0.1")
    return ServiceSettings(
        service=name,
        instance=sanitize(
            value("instance") or f"{name}-{os.uname().nodename}-{port or os.getpid()}"
        ),
        zone=sanitize(value("zone")) if value("zone") else "",
        host=host,
        port=port,
        platform=_platform(value("url", DEFAULT_URL), value("token")),
        metrics=_address_or_none("metrics", value("metrics", DEFAULT_METRICS), "udp"),
        guards_file=value("guards_file"),
    )


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
