"""Floods of lines: bounded memory, bounded time, and everything left out is counted."""

import socket

from msgspec.structs import replace
from tests.ingest.memory_sink import MemorySink
from tests.ingest.test_ingest_aggregator import T0, aggregator
from tests.ingest.test_ingest_udp import server

from breakwater.ingest import IngestSettings, LineAggregator, UdpLineServer
from breakwater.testing import FakeClock


def new_meters(count: int, start: int = 0) -> bytes:
    """A datagram with the first update of `count` counters."""
    return b"\n".join(b"c:calls.%d:1" % number for number in range(start, start + count))


def write_all(lines: LineAggregator, now_ms: int) -> None:
    """Flush until nothing waits."""
    lines.flush(now_ms)
    while lines.is_behind:
        lines.flush(now_ms)


def test_a_step_with_very_many_new_series_is_written_in_several_calls(
    sink: MemorySink, clock: FakeClock
) -> None:
    """Each call does a bounded part; a step is complete when all of it is written."""
    lines = aggregator(sink, clock)
    lines.receive(new_meters(7_000), T0 + 1)
    before = list(sink.completed)
    calls = 1
    lines.flush(T0 + 1001)
    while lines.is_behind:
        assert sink.completed == before
        lines.flush(T0 + 1001)
        calls += 1
    assert 7 <= calls <= 9
    assert len(sink.points) == 7_000
    assert sink.completed == [*before, T0 + 1000]


def test_steps_that_wait_too_long_are_counted(sink: MemorySink, clock: FakeClock) -> None:
    """When new series come faster than they can be made, the oldest steps are given up."""
    lines = aggregator(sink, clock)
    for step in range(24):
        lines.receive(new_meters(7_000, start=step * 7_000), T0 + step * 1000 + 1)
    for now_ms in [T0 + 23_001] * 100 + [T0 + 24_001] * 10:
        lines.flush(now_ms)
    assert not lines.is_behind
    stats = lines.stats()
    assert stats.dropped["behind"] > 0
    assert stats.dropped["behind"] + len(sink.points) == 24 * 7_000
    assert sink.completed[-1] == T0 + 24_000


def test_spellings_of_one_meter_are_not_all_remembered(sink: MemorySink, clock: FakeClock) -> None:
    """Names that differ only in what is replaced, and very long ones, take no memory."""
    lines = aggregator(sink, clock)
    odd = "!@#$%&*()[]<>?/"
    for one in odd:
        for other in odd:
            lines.receive(f"c:calls{one}{other}:1".encode(), T0 + 1)
    long = b"c:long" + b",kk=v" * 10_000 + b":1"
    lines.receive(long, T0 + 1)
    lines.receive(long, T0 + 1)
    assert len(lines._updates) <= 10
    lines.flush(T0 + 1001)
    assert sink.of(name="calls__", statistic="count") == {T0 + 1000: float(len(odd) ** 2)}
    assert sink.of(name="long", kk="v", statistic="count") == {T0 + 1000: 2.0}


class HurryingClock(FakeClock):
    """A clock that moves a millisecond each time it is looked at."""

    def monotonic_s(self) -> float:
        """A millisecond later than last time."""
        self.advance(0.001)
        return super().monotonic_s()


def test_a_flood_is_taken_in_bursts_bounded_in_time(sink: MemorySink) -> None:
    """Taking datagrams off stops after a few milliseconds; the rest waits in the kernel."""
    clock = HurryingClock()
    flooded = server(sink, clock)
    flooded.bind()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(b"c:hits:1", ("127.0.0.1", flooded.port))
    flooded.flush()
    assert 1 <= flooded.stats().datagrams <= 10
    for _ in range(100):
        flooded.flush()
    assert flooded.stats().datagrams == 100
    flooded.close()


def test_closing_writes_all_that_waits(sink: MemorySink, clock: FakeClock) -> None:
    """A server that is stopped while it is behind finishes the steps it has closed."""
    settings = replace(IngestSettings(), port=0)
    lines = LineAggregator(settings, sink, clock)
    one = UdpLineServer(settings, lines, clock, step_ms=1000)
    one.bind()
    lines.receive(new_meters(7_000), clock.now_ms() + 1)
    clock.advance(1.5)
    one.close()
    assert len(sink.points) == 7_000


def test_a_step_of_very_many_meters_is_closed_in_several_calls(
    sink: MemorySink, clock: FakeClock
) -> None:
    """Also when all their series are known: each call asks some thousands of meters."""
    lines = aggregator(sink, clock)
    for step in (0, 1):
        lines.receive(new_meters(25_000), T0 + step * 1000 + 1)
        calls = 0
        while lines.is_over(T0 + step * 1000 + 1001) or lines.is_behind:
            assert T0 + step * 1000 + 1000 not in sink.completed
            lines.flush(T0 + step * 1000 + 1001)
            calls += 1
    assert calls >= 5
    assert sink.completed[-2:] == [T0 + 1000, T0 + 2000]
    assert len(sink.points) == 50_000
    assert set(sink.points.values()) == {1.0}


def test_an_update_while_a_step_is_closed_belongs_to_the_next(
    sink: MemorySink, clock: FakeClock
) -> None:
    """It waits for the closing to end; no meter gets it before it was asked for its step."""
    lines = aggregator(sink, clock)
    lines.receive(new_meters(9_000), T0 + 1)
    lines.flush(T0 + 1001)
    closing = [lines.is_over(T0 + 1001)]
    lines.receive(new_meters(9_000), T0 + 1001)
    closing.append(lines.is_over(T0 + 1001))
    assert closing == [True, False]
    write_all(lines, T0 + 1001)
    write_all(lines, T0 + 2001)
    assert len(sink.points) == 18_000
    assert set(sink.points.values()) == {1.0}


def test_datagrams_wait_in_the_kernel_while_a_step_is_closed(sink: MemorySink) -> None:
    """The loop is free between the turns of the closing; then all datagrams are taken."""
    clock = FakeClock()
    settings = replace(IngestSettings(), port=0)
    lines = LineAggregator(settings, sink, clock)
    one = UdpLineServer(settings, lines, clock, step_ms=1000)
    one.bind()
    lines.receive(new_meters(20_000), clock.now_ms() + 1)
    clock.advance(1.5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(10):
            sender.sendto(b"c:calls.0:1", ("127.0.0.1", one.port))
    turns = 0
    while lines.is_over(clock.now_ms()):
        assert one.stats().datagrams == 0
        one.flush()
        turns += 1
    one.flush()
    assert turns >= 4
    assert one.stats().datagrams == 10
    clock.advance(1)
    one.close()
    assert len(sink.points) == 20_001
    assert max(sink.points.values()) == 10.0
