"""How long a call of requests may read: each read from the socket gets what its attempt has left.

urllib3 sets a socket's limit once before it waits for an answer; a server that sends a byte now
and then would outlive any deadline. The connections of an adapter read through a file that sets it
anew before each read. A TLS handshake is still given one limit for each of its steps.
"""

from collections.abc import Callable
from contextvars import ContextVar
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any, Final

from requests.adapters import BaseAdapter

from breakwater.sdk.attempt import Attempt, shortest_s

READING: Final[ContextVar[Attempt | None]] = ContextVar("breakwater_reading", default=None)
"""The attempt that a request is sent for now, on this thread."""


def watch_connections(adapter: BaseAdapter) -> None:
    """Have the connections that `adapter` opens from now on read within `READING`.

    An adapter that is not of urllib3 is left alone.
    """
    find: Any = getattr(adapter, "get_connection_with_tls_context", None)
    if find is None or getattr(find, "keeps_limits", False):
        return

    def pool_of(*args: Any, **options: Any) -> Any:
        pool = find(*args, **options)
        kind = getattr(pool, "ConnectionCls", None)
        if isinstance(kind, type) and not issubclass(kind, _Watched):
            pool.ConnectionCls = _watched(kind)
        return pool

    pool_of.keeps_limits = True  # type: ignore[attr-defined] # a mark
    adapter.get_connection_with_tls_context = pool_of  # type: ignore[attr-defined] # of HTTPAdapter


def _watched(kind: type) -> type:
    """The kind of connection, but for how it reads."""
    found = _KINDS.get(kind)
    if found is None:
        found = _KINDS.setdefault(kind, type(kind.__name__, (_Watched, kind), {}))
    return found


class _Response(HTTPResponse):
    """An answer that is read within the limits of the attempt it is for."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        attempt = READING.get()
        opens = sock if attempt is None else _Opened(sock, attempt)
        super().__init__(opens, *args, **options)  # type: ignore[arg-type] # it opens a file, and that is all


class _Watched:
    """Mixed into a kind of connection."""

    response_class = _Response


class _Opened:
    """A socket as `HTTPResponse` sees it: something that opens a file."""

    def __init__(self, sock: Any, attempt: Attempt) -> None:
        self._sock = sock
        self._attempt = attempt

    def makefile(self, mode: str) -> Any:
        """The file to read from."""
        return BufferedReader(_File(self._sock, self._sock.makefile(mode, 0), self._attempt.step_s))


class _File(RawIOBase):
    """The bytes of a socket; `left_s` is asked before each read."""

    def __init__(self, sock: Any, inner: Any, left_s: Callable[[], float | None]) -> None:
        super().__init__()
        self._sock = sock
        self._inner = inner
        self._left_s = left_s
        self._own_s = sock.gettimeout()

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """What has come, as far as it fits."""
        limit_s = shortest_s(self._left_s(), self._own_s)
        if self._sock.gettimeout() != limit_s:
            self._sock.settimeout(limit_s)
        count: int | None = self._inner.readinto(buffer)
        return count

    def fileno(self) -> int:
        """The socket's."""
        number: int = self._inner.fileno()
        return number

    def close(self) -> None:
        """Done with the answer; the socket may live on."""
        if not self.closed:
            self._inner.close()
        super().close()


_KINDS: Final[dict[type, type]] = {}
"""By what they were made of; as many as there are kinds of connections."""
