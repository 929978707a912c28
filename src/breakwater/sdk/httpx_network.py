"""The network under a sync transport of httpx, where each read gets what is left of its limit.

A TLS handshake is still given one limit for each of its steps.
"""

from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, Final

import httpcore
import httpx

from breakwater.sdk.httpx_limits import Left

_PIECE_BYTES: Final = 65_536
_Options = Iterable[httpcore.SOCKET_OPTION]


def watch_network(transport: httpx.BaseTransport) -> None:
    """Have the connections that `transport` opens from now on ask a `Left` before each step.

    A transport that is not httpx's own is left alone.
    """
    pool: Any = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if isinstance(backend, httpcore.NetworkBackend) and not isinstance(backend, _Backend):
        pool._network_backend = _Backend(backend)  # noqa: SLF001 - httpx offers no other way


class _Backend(httpcore.NetworkBackend):
    """Opens such connections."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.NetworkStream:
        """A connection over TCP."""
        inner = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(inner)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: _Options | None = None
    ) -> httpcore.NetworkStream:
        """A connection within this machine."""
        return _Stream(self._inner.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        """Between attempts to connect, where the user wants several."""
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection whose reads and writes get what is left."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, at most so much."""
        return self._inner.read(max_bytes, _now_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        for start in range(0, len(buffer), _PIECE_BYTES):
            limit_s = _now_s(timeout, httpcore.WriteTimeout)
            self._inner.write(buffer[start : start + _PIECE_BYTES], limit_s)

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same, encrypted."""
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of its streams."""
        return self._inner.get_extra_info(info)


def _now_s(timeout: float | None, late: type[Exception]) -> float | None:
    """The limit of one step; raises `late` if nothing is left of it."""
    if not isinstance(timeout, Left):
        return timeout
    try:
        return timeout.now_s()
    except TimeoutError as error:
        raise late(str(error)) from error
