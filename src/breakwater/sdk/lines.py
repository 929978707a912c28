"""Meter lines on their way out: gathered into datagrams, sent without ever waiting.

Lines are kept until about one datagram is full or the agent thread asks for a flush, whichever
comes first. A full socket buffer, an unreachable network or a closed socket costs lines, which
are counted, and never time or an exception in the service. Wire form: docs/formats/propagation.md.
"""

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from breakwater.sdk.settings import Address

if TYPE_CHECKING:
    import socket

DATAGRAM_BYTES: Final = 1400
"""Largest payload put into one datagram; it fits an Ethernet frame with every header."""


class LineStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the meter lines since start."""

    sent_lines: int
    sent_datagrams: int
    sent_bytes: int
    dropped_lines: int
    waiting_lines: int


class LineSender:
    """Where meters write their lines; safe to use from any thread.

    `write` costs one append, and about every tenth time one non-blocking `sendto`.
    """

    def __init__(self, address: Address | None) -> None:
        self._lines: deque[str] = deque()
        self._waiting_bytes = 0
        self._sent_lines = self._sent_datagrams = self._sent_bytes = self._dropped_lines = 0
        self._address = address
        self._lock = threading.Lock()
        self._is_closed = False
        self._socket: socket.socket | None = None
        self._target: tuple[Any, ...] = ()

    def open(self) -> None:
        """Take up sending again after `close`; a new sender is open."""
        self._is_closed = False

    def _opened(self, *, may_wait: bool) -> "socket.socket | None":
        """The socket, made when first needed; None if there is nowhere to send to.

        Looking up a host name may take seconds: that is left to who may wait, and holds no lock.
        """
        if self._socket is None and self._address is not None and not self._is_closed:
            self._open_socket(self._address, may_look_up=may_wait)
        return self._socket

    def _open_socket(self, address: Address, *, may_look_up: bool) -> None:
        import socket  # noqa: PLC0415 - with the first line to send

        flags = 0 if may_look_up else socket.AI_NUMERICHOST
        try:
            family, _, _, _, target = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_DGRAM, flags=flags
            )[0]
            # Unconnected on purpose: a connected UDP socket answers for a dead listener with
            # ECONNREFUSED on the next send, and loses that datagram after the listener is back.
            made = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return  # the lines are dropped and counted
        made.setblocking(False)
        with self._lock:
            if self._socket is None and not self._is_closed:
                self._target, self._socket = target, made
                return
        made.close()  # another thread was faster

    def write(self, line: str) -> None:
        """Take one line (ASCII, ending in a newline) and return at once."""
        self._lines.append(line)
        self._waiting_bytes += len(line)  # a lost update only makes the next flush later
        if self._waiting_bytes >= DATAGRAM_BYTES:
            self._send_all(may_wait=False)

    def flush(self) -> None:
        """Send everything that waits; lines that cannot be sent now are dropped and counted.

        For the agent's thread: it looks up the platform's host name if that is still to be done.
        """
        self._send_all(may_wait=True)

    def _send_all(self, *, may_wait: bool) -> None:
        self._waiting_bytes = 0
        batch: list[str] = []
        size = 0
        while True:
            try:
                line = self._lines.popleft()
            except IndexError:
                break
            if batch and size + len(line) > DATAGRAM_BYTES:
                self._send(batch, may_wait=may_wait)
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        if batch:
            self._send(batch, may_wait=may_wait)

    def _send(self, batch: list[str], *, may_wait: bool) -> None:
        sender = self._opened(may_wait=may_wait)
        if sender is None:
            self._dropped_lines += len(batch)
            return
        payload = "".join(batch).encode("ascii", "replace")
        try:
            sender.sendto(payload, self._target)
        except OSError:  # also BlockingIOError: the socket buffer is full
            self._dropped_lines += len(batch)
            return
        self._sent_lines += len(batch)
        self._sent_datagrams += 1
        self._sent_bytes += len(payload)

    def close(self) -> None:
        """Flush, then give the socket back; later lines are counted as dropped."""
        self.flush()
        with self._lock:
            self._is_closed = True
            sender, self._socket = self._socket, None
        if sender is not None:
            sender.close()

    def stats(self) -> LineStats:
        """Counts since start; drops are those this side can see, UDP may lose more."""
        return LineStats(
            sent_lines=self._sent_lines,
            sent_datagrams=self._sent_datagrams,
            sent_bytes=self._sent_bytes,
            dropped_lines=self._dropped_lines,
            waiting_lines=len(self._lines),
        )
