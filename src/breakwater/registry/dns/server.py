"""The sockets of the DNS zone: one UDP port, and TCP of the same number for large answers."""

import asyncio
import socket
from typing import Final, cast

import anyio
import anyio.lowlevel
import msgspec

from breakwater.registry.dns.answering import Answerer, AnswerStats
from breakwater.registry.errors import DnsPortError

MAX_CONNECTIONS: Final = 100
"""TCP connections at a time; a further one is closed at once and counted."""
IDLE_S: Final = 10.0
"""How long a connection may take for one query."""
_TRIES: Final = 20


class DnsStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where the zone is served (port 0: nowhere), and what was asked.

    unsent: answers over UDP that were dropped because the host could not send as fast.
    """

    port: int
    unsent: int
    connections: int
    connections_refused: int
    answers: AnswerStats


class DnsServer:
    """Serves `answerer`: `bind` opens the ports, `run` answers until cancelled, `close` ends it."""

    def __init__(self, answerer: Answerer, *, host: str, port: int) -> None:
        self._answerer = answerer
        self._host = host
        self._wanted_port = port
        self._udp: socket.socket | None = None
        self._tcp: socket.socket | None = None
        self._datagrams = _Datagrams(answerer)
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections_refused = 0

    @property
    def port(self) -> int:
        """The port that is open, 0 for none."""
        return 0 if self._udp is None else int(self._udp.getsockname()[1])

    def bind(self) -> None:
        """Open UDP and TCP under one number, port 0 for any; raises DnsPortError."""
        tries = 1 if self._wanted_port else _TRIES  # a free UDP port may be taken for TCP
        for attempt in range(tries):
            try:
                self._udp = _bound(socket.SOCK_DGRAM, self._host, self._wanted_port)
                self._tcp = _bound(socket.SOCK_STREAM, self._host, self.port)
            except OSError as error:
                self.close()
                if attempt == tries - 1:
                    raise self._unusable(error) from error
            else:
                self._tcp.listen(MAX_CONNECTIONS)
                return

    def _unusable(self, error: OSError) -> DnsPortError:
        return DnsPortError(
            f"port {self._wanted_port} on {self._host} cannot be opened for DNS: "
            f"{error.strerror or error}; choose another with registry.dns_port, or 0 for none"
        )

    async def run(self) -> None:
        """Answer until cancelled; opens the ports if they are not open."""
        if self._udp is None:
            self.bind()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self._datagrams, sock=self._udp)
        try:
            async with await asyncio.start_server(self._converse, sock=self._tcp):
                try:
                    await anyio.sleep_forever()
                finally:  # the end of the listener waits for them otherwise
                    for writer in self._writers:
                        writer.transport.abort()
        finally:
            transport.close()
            self.close()

    def close(self) -> None:
        """Close the ports."""
        for one in (self._udp, self._tcp):
            if one is not None:
                one.close()
        self._udp = self._tcp = None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one TCP connection."""
        if len(self._writers) >= MAX_CONNECTIONS:
            self._connections_refused += 1
            writer.close()
            return
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            return  # the client is gone, or has nothing more to ask
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One query and its answer, each with its length before it (RFC 1035 §4.2.2)."""
        with anyio.fail_after(IDLE_S):
            length = int.from_bytes(await reader.readexactly(2), "big")
            answer = self._answerer.answer(await reader.readexactly(length), over_udp=False)
            if answer is None:
                return False
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
            await anyio.lowlevel.checkpoint()  # others come between what is sent at once
        return True

    def stats(self) -> DnsStats:
        """Counts since start."""
        return DnsStats(
            port=self.port,
            unsent=self._datagrams.unsent,
            connections=len(self._writers),
            connections_refused=self._connections_refused,
            answers=self._answerer.stats(),
        )


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram in its turn; what the kernel cannot hold is asked again."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._transport: asyncio.DatagramTransport
        self._is_paused = False
        self.unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Neither loop derives its transports of datagrams from the class made for that.
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._is_paused = False

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        if self._is_paused:  # what the transport holds back has no bound of its own
            self.unsent += 1
            return
        answer = self._answerer.answer(data, over_udp=True)
        if answer is not None:
            self._transport.sendto(answer, addr)

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_paused = False


def _bound(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    family, _, _, _, target = socket.getaddrinfo(host, port, type=kind)[0]
    opened = socket.socket(family, kind)
    try:
        opened.setblocking(False)
        if kind is socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(target)
    except OSError:
        opened.close()
        raise
    return opened
