"""Looking for oneself: is anybody listening at the address an instance gave?

Only that address is asked, and a health check only where its URL leads to the same host: whoever
may register could otherwise have this process call any address within its reach. Redirects are
not followed, and of an answer no more than the first line is read. Addresses that belong to no
machine (link-local ones, where clouds hand out secrets, multicast, 0.0.0.0) are never asked.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import anyio
import msgspec

from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.judging.verdicts import Finding

AGAIN_AFTER_S: Final = 0.5
"""What is bad counts when it is seen again after so long: a listener may just be replaced, a
process may be busy for a moment."""

_HEAD_BYTES: Final = 4_096
_ADDRESSES: Final = 4
"""So many addresses behind one name are tried at most."""
_NO_WAY: Final = frozenset((errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))
"""This machine has no addresses of that kind: not a matter of the instance."""


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where to look: the address, and the health check (port and path) if there is one there."""

    host: str
    port: int
    health_port: int = 0
    health_path: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe found, in one word and as it was said."""

    finding: Finding
    said: str = ""


Place = tuple[str, str, int]
"""A service, and an address where one of its instances listens."""

Probe = Callable[[Target], Awaitable[Sight]]
"""Looks at one address; it must end by itself."""


def target_of(info: InstanceInfo) -> Target | None:
    """Where to look for an instance; None where it listens nowhere."""
    port = _port_of(info)
    if port is None:
        return None
    health_port, health_path = _health_check(info)
    return Target(host=info.ip_addr, port=port, health_port=health_port, health_path=health_path)


def place_of(info: InstanceInfo) -> Place | None:
    """Where an instance listens, which no other of its service can do at the same time."""
    port = _port_of(info)
    return None if port is None else (info.app, info.ip_addr, port)


def _port_of(info: InstanceInfo) -> int | None:
    plain = info.port.is_enabled or not info.secure_port.is_enabled
    port = (info.port if plain else info.secure_port).number
    return port if 0 < port < 65_536 else None


def _health_check(info: InstanceInfo) -> tuple[int, str]:
    """Port and path of the health check, if it is asked in clear text and of the same host."""
    if not info.health_check_url.startswith("http://"):
        return 0, ""
    try:
        parts = urlsplit(info.health_check_url)
        port = parts.port or 80
    except ValueError:
        return 0, ""
    path = parts.path or "/"
    path = f"{path}?{parts.query}" if parts.query else path
    is_plain = path.isascii() and path.isprintable() and " " not in path
    if not is_plain or parts.hostname not in {info.ip_addr.lower(), info.host_name.lower()}:
        return 0, ""
    return port, path


class SocketProbe:
    """Connects, and asks the health check where there is one; `timeout_s` for each of the two."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def __call__(self, target: Target) -> Sight:
        """Look once; twice where nobody listens, or nobody answers."""
        sight = await self._look(target)
        if sight.finding in {Finding.REFUSED, Finding.SILENT}:
            await anyio.sleep(AGAIN_AFTER_S)
            sight = await self._look(target)
        return sight

    async def _look(self, target: Target) -> Sight:
        found = await self._connect(target.host, target.port)
        if isinstance(found, Sight):
            return found
        with found:
            if not target.health_port:
                return Sight(finding=Finding.ACCEPTS, said="takes connections")
            if target.health_port == target.port:
                return await self._ask(found, target)
        elsewhere = await self._connect(target.host, target.health_port)
        if isinstance(elsewhere, Sight):
            said = f"takes connections; its health check does not ({elsewhere.said})"
            return Sight(finding=Finding.SILENT, said=said)
        with elsewhere:
            return await self._ask(elsewhere, target)

    async def _connect(self, host: str, port: int) -> socket.socket | Sight:
        """A connection, or why there is none."""
        finding = Finding.UNREACHABLE
        try:
            with anyio.fail_after(self._timeout_s):
                return await _connected(host, port)
        except ConnectionRefusedError:
            finding, said = Finding.REFUSED, "connection refused"
        except TimeoutError:
            said = f"no answer in {self._timeout_s:g} s"
        except OSError as error:
            said = error.strerror or str(error)
        except ValueError as error:
            said = f"no address: {error}"
        return Sight(finding=finding, said=said)

    async def _ask(self, connection: socket.socket, target: Target) -> Sight:
        """One request and the first line of its answer."""
        loop = asyncio.get_running_loop()
        host = f"[{target.host}]" if ":" in target.host else target.host
        request = (
            f"GET {target.health_path} HTTP/1.1\r\nhost: {host}:{target.health_port}\r\n"
            "user-agent: breakwater-registry\r\naccept: */*\r\nconnection: close\r\n\r\n"
        )
        try:
            with anyio.fail_after(self._timeout_s):
                await loop.sock_sendall(connection, request.encode())
                head = await loop.sock_recv(connection, _HEAD_BYTES)
        except OSError as error:
            said = "takes connections, but its health check does not answer"
            if not isinstance(error, TimeoutError):
                said = f"{said} ({error.strerror or error})"
            return Sight(finding=Finding.SILENT, said=said)
        if not head:
            return Sight(finding=Finding.SILENT, said="its health check answers nothing")
        line = head.split(b"\r\n", 1)[0].decode("latin-1")[:60]
        return Sight(finding=Finding.ANSWERS, said=f"health check: {line}")


async def _connected(host: str, port: int) -> socket.socket:
    """A connection to an address; a name is looked up in a thread. Raises OSError.

    Of a name with several addresses the first that takes the connection; nobody listens there only
    if that is so at all of them that can be asked from here.
    """
    failure: OSError | None = None
    for family, address in await _places(host, port):
        try:
            return await _connected_to(family, address)
        except OSError as error:
            if failure is None or failure.errno in _NO_WAY:
                failure = error
            elif error.errno not in {errno.ECONNREFUSED, *_NO_WAY}:
                failure = error  # one that cannot be told leaves the whole untold
    raise failure or OSError("the name has no address")


async def _places(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """The addresses behind a name, or the one it is itself, without those of no machine."""
    try:
        numbers = [ipaddress.ip_address(host)]
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        numbers = [ipaddress.ip_address(each[4][0]) for each in found[:_ADDRESSES]]
    places: list[tuple[int, tuple[str, int]]] = []
    for number in numbers:
        meant = getattr(number, "ipv4_mapped", None) or number
        if meant.is_link_local or meant.is_multicast or meant.is_unspecified:
            raise OSError(f"{number} is no address that is asked")
        family = socket.AF_INET if number.version == 4 else socket.AF_INET6
        places.append((family, (str(number), port)))
    return places


async def _connected_to(family: int, address: tuple[str, int]) -> socket.socket:
    loop = asyncio.get_running_loop()
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        is_itself = connection.getsockname() == connection.getpeername()
    except BaseException:
        connection.close()
        raise
    if is_itself:  # the kernel connects a free local port to itself when both are the same
        connection.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens")
    return connection
