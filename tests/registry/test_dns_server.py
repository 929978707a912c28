"""The zone over real sockets, asked by a stock resolver library."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from breakwater.model import Instance, InstanceView
from breakwater.registry.dns.answering import Answerer
from breakwater.registry.dns.server import MAX_CONNECTIONS, DnsServer
from breakwater.registry.errors import DnsPortError

DEADLINE_S = 10.0
VIEW = InstanceView(
    revision=1,
    instances=[
        Instance(service="ranker", instance_id=f"r-{n}", host=f"10.0.{n // 250}.{n % 250}", port=80)
        for n in range(300)
    ],
)


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the server."""
    return "asyncio"


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[DnsServer]:
    """A server of VIEW on a free port."""
    answerer = Answerer(lambda: VIEW, domain="breakwater", ttl_s=1)
    server = DnsServer(answerer, host=host, port=0)
    server.bind()
    async with anyio.create_task_group() as group:
        group.start_soon(server.run)
        try:
            with anyio.fail_after(DEADLINE_S):
                yield server
        finally:
            group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_resolver_falls_back_to_tcp() -> None:
    """A truncated answer over UDP leads to the whole one over TCP, under the same port."""
    query = dns.message.make_query("ranker.breakwater.", "A")
    async with serving() as server:
        answer, by_tcp = await dns.asyncquery.udp_with_fallback(
            query, "127.0.0.1", port=server.port, timeout=DEADLINE_S
        )
    assert by_tcp
    assert len(answer.answer[0]) == 300


@pytest.mark.anyio
async def test_a_connection_takes_many_queries() -> None:
    """Queries over one TCP connection are answered one after the other, until the client leaves."""
    query = dns.message.make_query("r-7.ranker.breakwater.", "A").to_wire()
    framed = len(query).to_bytes(2, "big") + query
    async with serving() as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(framed * 3)
            received = BufferedByteReceiveStream(stream)
            for _ in range(3):
                length = int.from_bytes(await received.receive_exactly(2), "big")
                found = dns.message.from_wire(await received.receive_exactly(length))
                assert found.answer[0][0].address == "10.0.0.7"
        answer, _ = await dns.asyncquery.udp_with_fallback(
            dns.message.make_query("nobody.breakwater.", "A"), "127.0.0.1", port=server.port
        )
        assert server.stats().answers.queries == 4
    assert answer.rcode() == dns.rcode.NXDOMAIN


@pytest.mark.anyio
async def test_junk_does_not_stop_the_server() -> None:
    """After datagrams and connections of nonsense the next query is answered."""
    async with serving() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for junk in (b"", b"x", b"\0" * 12, b"\xff" * 400):
                udp.sendto(junk, ("127.0.0.1", server.port))
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(b"\x00\x05hello")
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        answer = await dns.asyncquery.udp(
            dns.message.make_query("r-1.ranker.breakwater.", "A"), "127.0.0.1", port=server.port
        )
    assert answer.answer[0][0].address == "10.0.0.1"


@pytest.mark.anyio
async def test_connections_are_bounded() -> None:
    """Beyond the bound a connection is closed at once and counted; the others stay."""
    async with serving() as server:
        held = [await anyio.connect_tcp("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
        while server.stats().connections < MAX_CONNECTIONS:
            await anyio.lowlevel.checkpoint()
        async with await anyio.connect_tcp("127.0.0.1", server.port) as one_more:
            with pytest.raises(anyio.EndOfStream):
                await one_more.receive()
        assert server.stats().connections_refused == 1
        for stream in held:
            await stream.aclose()


@pytest.mark.anyio
async def test_an_open_connection_does_not_hold_up_the_end() -> None:
    """Who keeps a connection and says nothing is cut off when the server ends."""
    async with serving() as server:
        idle = await anyio.connect_tcp("127.0.0.1", server.port)
        while not server.stats().connections:
            await anyio.lowlevel.checkpoint()
    with anyio.fail_after(DEADLINE_S):
        async with idle:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await idle.receive()
    while server.stats().connections:
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_the_zone_is_served_over_ipv6() -> None:
    """An address of that family is as good as any."""
    async with serving("::1") as server:
        answer = await dns.asyncquery.udp(
            dns.message.make_query("r-1.ranker.breakwater.", "A"), "::1", port=server.port
        )
    assert answer.answer[0][0].address == "10.0.0.1"


def test_a_taken_port_is_named() -> None:
    """The error says which port, and which setting to change."""
    answerer = Answerer(lambda: VIEW, domain="breakwater", ttl_s=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = DnsServer(answerer, host="127.0.0.1", port=port)
        with pytest.raises(DnsPortError, match=rf"{port} on 127\.0\.0\.1 .*registry\.dns_port"):
            server.bind()
    assert server.port == 0
