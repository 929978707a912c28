"""The UDP port of the line protocol.

The kernel's receive buffer is the only queue: it is as large as the system allows, what does not
fit is dropped there and counted there, and the count is shown. Datagrams are taken off in bursts
bounded in number and time, so that a flood slows the intake down but never starves the rest of
the process.
"""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

import anyio.lowlevel
import msgspec

from breakwater.ingest.aggregator import LineAggregator
from breakwater.ingest.errors import ListenError
from breakwater.ingest.settings import IngestSettings
from breakwater.model import Clock

_SO_RCVBUFFORCE = 33  # Linux; lets a privileged process go beyond net.core.rmem_max
_SO_MEMINFO = 55  # Linux; nine counters of a socket's memory, the last one its drops
_LARGEST_DATAGRAM = 65_536
_BURST = 256
_BURST_S = 0.005
_SETTLE_S = 0.03


class UdpStats(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived at the port; `kernel_drops` is None where the system does not tell."""

    host: str
    port: int
    datagrams: int
    size_bytes: int
    receive_buffer_bytes: int
    kernel_drops: int | None


class UdpLineServer:
    """Receives spectatord lines and closes the aggregator's steps on time.

    `bind` opens the port (0 takes a free one; `port` tells which), `run` serves until it is
    cancelled, then writes what has arrived and closes. A step is written 30 ms after its end.
    """

    def __init__(
        self, settings: IngestSettings, aggregator: LineAggregator, clock: Clock, *, step_ms: int
    ) -> None:
        self._settings = settings
        self._aggregator = aggregator
        self._clock = clock
        self._step_ms = step_ms
        self._socket: socket.socket | None = None
        self._buffer = bytearray(_LARGEST_DATAGRAM)
        self._view = memoryview(self._buffer)
        self._port = settings.port
        self._datagrams = self._size_bytes = 0

    @property
    def port(self) -> int:
        """The port that is bound, or that will be."""
        return self._port

    def bind(self) -> None:
        """Open the port; raises ListenError naming the address and the cause."""
        if self._socket is not None:
            return
        host = self._settings.host
        try:
            family = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][0]
            opened = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise ListenError(f"cannot resolve {host} for the UDP port: {error}") from error
        try:
            opened.setblocking(False)
            _enlarge(opened, self._settings.receive_buffer_bytes)
            opened.bind((host, self._settings.port))
        except OSError as error:
            opened.close()
            raise ListenError(
                f"cannot listen on udp://{host}:{self._settings.port}: {error}; "
                "choose another port or stop the process that holds it"
            ) from error
        self._socket = opened
        self._port = opened.getsockname()[1]

    async def run(self) -> None:
        """Serve until cancelled; the step in progress is kept by the aggregator."""
        self.bind()
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._drain)
        try:
            while True:
                now_ms = self._clock.now_ms()
                left_ms = self._step_ms - now_ms % self._step_ms
                await anyio.sleep(left_ms / 1000 + _SETTLE_S)
                self.flush()
                while self._aggregator.is_behind:
                    await anyio.lowlevel.checkpoint()
                    self._aggregator.flush(self._clock.now_ms())
        finally:
            loop.remove_reader(self._socket.fileno())
            self.close()

    def flush(self) -> None:
        """Write some of what has ended, and take what has arrived once all of it is closed."""
        now_ms = self._clock.now_ms()
        self._aggregator.flush(now_ms)
        if not self._aggregator.is_over(now_ms):
            self._take(now_ms)

    def close(self) -> None:
        """Take what has arrived, write finished steps and close the port."""
        if self._socket is None:
            return
        now_ms = self._clock.now_ms()
        self._aggregator.flush(now_ms)
        while self._aggregator.is_behind:
            self._aggregator.flush(now_ms)
        self._take(now_ms)
        self._socket.close()
        self._socket = None

    async def __aenter__(self) -> Self:
        """Bind; `run` still has to be started."""
        self.bind()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port."""
        self.close()

    def stats(self) -> UdpStats:
        """Counts since the start, with the kernel's own count of what it had to drop."""
        return UdpStats(
            host=self._settings.host,
            port=self._port,
            datagrams=self._datagrams,
            size_bytes=self._size_bytes,
            receive_buffer_bytes=self._option(socket.SO_RCVBUF) or 0,
            kernel_drops=self._kernel_drops(),
        )

    def _drain(self) -> None:
        """Take some datagrams; while a step is being closed they wait in the kernel's buffer."""
        now_ms = self._clock.now_ms()
        if self._aggregator.is_over(now_ms):
            self._aggregator.flush(now_ms)
        else:
            self._take(now_ms)

    def _take(self, now_ms: int) -> None:
        opened = self._socket
        if opened is None:
            return
        receive, view = self._aggregator.receive, self._view
        end_s = self._clock.monotonic_s() + _BURST_S
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BURST):
                size = opened.recv_into(view)
                self._datagrams += 1
                self._size_bytes += size
                receive(bytes(view[:size]), now_ms)
                if self._clock.monotonic_s() > end_s:
                    break

    def _option(self, option: int) -> int | None:
        return None if self._socket is None else self._socket.getsockopt(socket.SOL_SOCKET, option)

    def _kernel_drops(self) -> int | None:
        if self._socket is None:
            return None
        try:
            counters = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        except OSError:
            return None
        return int(struct.unpack("9I", counters)[8]) if len(counters) == 36 else None


def _enlarge(opened: socket.socket, size_bytes: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)
    except OSError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
