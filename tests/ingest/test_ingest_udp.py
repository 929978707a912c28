"""The UDP port, over real sockets."""

import socket

import pytest
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import IngestSettings, LineAggregator, ListenError, UdpLineServer
from breakwater.testing import FakeClock


def server(sink: MemorySink, clock: FakeClock, port: int = 0) -> UdpLineServer:
    """A server on a free port, not yet bound."""
    settings = IngestSettings(port=port)
    return UdpLineServer(settings, LineAggregator(settings, sink, clock), clock, step_ms=1000)


def test_what_is_sent_is_stored_when_its_step_ends(sink: MemorySink, clock: FakeClock) -> None:
    """Datagrams that have arrived before a flush are in the step that the flush closes."""
    clock.advance(0.5)
    with_port = server(sink, clock)
    with_port.bind()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(b"c:hits:1\nc:hits:2", ("127.0.0.1", with_port.port))
    with_port.flush()
    clock.advance(1.0)
    with_port.flush()
    stats = with_port.stats()
    with_port.close()
    assert list(sink.of(name="hits", statistic="count").values()) == [300.0]
    assert (stats.datagrams, stats.kernel_drops) == (100, 0)


def test_a_port_in_use_is_named(sink: MemorySink, clock: FakeClock) -> None:
    """The error says which address cannot be had and what to do."""
    first = server(sink, clock)
    first.bind()
    with pytest.raises(ListenError, match=rf"127.0.0.1:{first.port}.*another port"):
        server(sink, clock, first.port).bind()
    first.close()


def test_kernel_drops_are_visible(sink: MemorySink, clock: FakeClock) -> None:
    """What does not fit into the receive buffer is counted by the kernel and shown."""
    settings = IngestSettings(port=0, receive_buffer_bytes=4096)
    small = UdpLineServer(settings, LineAggregator(settings, sink, clock), clock, step_ms=1000)
    small.bind()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(200):
            sender.sendto(b"c:hits:1" * 100, ("127.0.0.1", small.port))
    small.flush()
    stats = small.stats()
    small.close()
    assert stats.kernel_drops is not None
    assert stats.kernel_drops + stats.datagrams == 200
    assert stats.kernel_drops > 0
