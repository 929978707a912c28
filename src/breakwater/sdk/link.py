"""HTTP to the platform from a background thread: one kept connection, deadlines on everything.

Whatever goes wrong (nobody listens, silence, half an answer, an answer too large) is a
`PlatformError`. `http.client` is imported by the first request, off the import path of services.
"""

import threading
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.sdk.errors import PlatformError
from breakwater.sdk.settings import Address

if TYPE_CHECKING:
    from http.client import HTTPConnection

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status and body of one answer of the platform."""

    status: int
    body: bytes


class Link:
    """A connection to the platform, for the use of one thread; `abort` is for the others.

    Of several addresses, all as good as each other, the first is asked until it fails.
    """

    def __init__(self, *addresses: Address) -> None:
        self._addresses = addresses
        self._address = addresses[0]
        self._connection: HTTPConnection | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self.reopened = 0
        """How often the platform had closed the kept connection, as it does when it restarts."""

    def request(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float
    ) -> Answer:
        """Send one request and read the whole answer; no single read waits longer than `timeout_s`.

        Raises PlatformError. A kept connection that the platform closed meanwhile is opened again
        once.
        """
        from http.client import HTTPException  # noqa: PLC0415 - costs 18 ms, services start faster

        was_kept = self._connection is not None
        try:
            return self._exchange(method, path, body, timeout_s)
        except (OSError, HTTPException, ValueError) as error:  # a host no name has is the last
            self.drop()
            if was_kept and not isinstance(error, TimeoutError) and not self._is_closed:
                self.reopened += 1
                return self.request(method, path, body, timeout_s=timeout_s)
            failed = self._address
            self.turn()
            raise PlatformError(
                f"{method} {path} on platform {failed.host}:{failed.port} "
                f"failed: {type(error).__name__}: {error}"
            ) from error

    def turn(self) -> None:
        """Ask the next address from now on; with one address, ask it anew."""
        self.drop()
        following = self._addresses.index(self._address) + 1
        self._address = self._addresses[following % len(self._addresses)]

    def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        connection = self._opened(timeout_s)
        headers = {"Accept": "application/json"}
        if self._address.token:
            headers["Authorization"] = f"Bearer {self._address.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise OSError(f"answer larger than {MAX_ANSWER_BYTES} bytes")
        if response.length:
            raise OSError(f"answer cut short, {response.length} bytes are missing")
        if response.will_close:
            self.drop()
        return Answer(status=response.status, body=content)

    def _opened(self, timeout_s: float) -> "HTTPConnection":
        from http.client import HTTPConnection  # noqa: PLC0415 - see request

        with self._lock:
            if self._is_closed:
                raise OSError("the link was closed")
            connection = self._connection
            if connection is None:
                connection = HTTPConnection(
                    self._address.host, self._address.port, timeout=timeout_s
                )
                self._connection = connection
        if connection.sock is None:
            connection.timeout = timeout_s
            connection.connect()
            if self._is_closed:  # `abort` found no socket yet
                raise OSError("the link was closed")
        else:
            connection.sock.settimeout(timeout_s)
        return connection

    def beside(self) -> "Link":
        """A link of its own to the same addresses that begins with the one asked now."""
        first = self._addresses.index(self._address)
        return Link(*self._addresses[first:], *self._addresses[:first])

    def drop(self) -> None:
        """Close the kept connection; the next request opens a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """Make a request under way in another thread fail at once, and every later one too."""
        import socket  # noqa: PLC0415 - needed at the end only

        with self._lock:
            self._is_closed = True
            connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was never connected, or is gone already
