"""What fuzzers call: one function a way in, each takes any bytes.

A target raises only when something is wrong: an error that is not one of those the room promises,
a message that says nothing, a count that does not add up, an answer beyond the limits. Run one for
as long as you like with `make fuzz TARGET=programs FUZZ_FLAGS=-max_total_time=600`.
"""

import asyncio
import gzip
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import cramjam
import msgspec

from breakwater.guards.events import EventParser
from breakwater.guards.merging import Aggregate, merged
from breakwater.guards.picture import guards_svg
from breakwater.guards.view import GuardView, service_view
from breakwater.ingest import (
    IngestSettings,
    LineAggregator,
    Publisher,
    RemoteWriter,
    Taken,
)
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.model import BreakwaterError, InvalidInputError, LimitExceededError
from breakwater.testing import FakeClock
from breakwater.web import gunzipped

Target = Callable[[bytes], None]

_SETTINGS: Final = MetricsSettings(
    max_series=2_000, max_lines=50, max_points=5_000, max_input_points=500_000, retention_s=600
)
_APPS: Final = ("gateway", "ranker", "play-back")


def engine() -> MetricsEngine:
    """A small engine with two minutes of some series of every kind."""
    clock = FakeClock()
    made = MetricsEngine(_SETTINGS, clock)
    for second in range(120):
        stamp_ms = clock.now_ms() // 1000 * 1000
        for app in _APPS:
            for kind in ("count", "gauge", "percentile"):
                tags = {"name": "calls", "nf.app": app, "statistic": kind}
                if kind == "percentile":
                    tags["percentile"] = f"T{second % 5 + 0x40:04X}"
                if kind == "gauge":
                    tags["atlas.dstype"] = "gauge"
                made.write_series(tags, stamp_ms, math.sin(second) + len(app))
        clock.advance(1)
    return made


def publish(loop: asyncio.Runner) -> Target:
    """Publish payloads: JSON, pieces of JSON (after a 0x02), gzip (0x1f), Smile (0x3a)."""
    sink = engine()
    publisher = Publisher(IngestSettings(max_payload_bytes=1 << 20), sink, sink.clock)

    def one(data: bytes) -> None:
        first, rest = data[:1], data[1:]
        with _Promised(InvalidInputError, LimitExceededError):
            if first == b"\x02":
                taken = loop.run(publisher.publish(_pieced(rest, _JSON)))
            elif first == b"\x1f":
                body = gunzipped(data if rest[:1] == b"\x8b" else gzip.compress(rest), 1 << 20)
                taken = loop.run(publisher.publish(body))
            else:
                taken = loop.run(publisher.publish(data, is_smile=first == b":"))
            _check_taken(taken)

    return one


def remote_write(loop: asyncio.Runner) -> Target:
    """Remote write requests: as they are, or compressed here: bytes (0x00) or pieces (0x02)."""
    sink = engine()
    settings = IngestSettings(max_payload_bytes=1 << 20, max_write_bytes=1 << 20)
    writer = RemoteWriter(settings, sink, sink.clock)

    def one(data: bytes) -> None:
        first, rest = data[:1], data[1:]
        body = data
        if first in {b"\0", b"\x02"}:
            plain = rest if first == b"\0" else _pieced(rest, _PROTOBUF)
            body = bytes(cramjam.snappy.compress_raw(plain))
        with _Promised(InvalidInputError, LimitExceededError):
            _check_taken(loop.run(writer.write(body)))

    return one


def _pieced(data: bytes, pieces: tuple[bytes, ...]) -> bytes:
    """Pieces picked by the bytes, since compiled scanners show a fuzzer no coverage to follow.

    A byte beyond the pieces puts the byte after it there as it is.
    """
    made = bytearray()
    rest = iter(data)
    for byte in rest:
        made += pieces[byte] if byte < len(pieces) else bytes([next(rest, 0)])
    return bytes(made)


_JSON: Final = (
    b'{"tags":{"nf.app":"a"},"metrics":[',
    b'{"metrics":[',
    b'{"tags":{"name":"n","k":"v"},"timestamp":1735689600000,"value":1.5}',
    b'{"tags":{"name":"n","atlas.dstype":"counter"},"timestamp":1735689600500,"value":7}',
    b'{"tags":{"name":"\\u00e9"},"start":1735689600000,"values":[1e3,"NaN"]}',
    b'{"tags":',
    b'{"name":"n',
    b'"timestamp":17356896',
    b'"value":',
    b"1735689600000",
    b"-0.000000000000000000000000012345678901234567890e-300",
    b'"NaN"',
    b"]}",
    b"}",
    b",",
    b'"',
    b"\\",
    b" ",
    b"[[[[",
    b"null",
)

_PROTOBUF: Final = (
    b"\x0a\x2d\x0a\x10\x0a\x08__name__\x12\x04cpu_\x0a\x08\x0a\x03job\x12\x01j",
    b"\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\xd0\xde\xe9\xc1\x32",
    b"\x0a\x10\x0a\x08__name__\x12\x04cpu_",
    b"\x0a\x22",
    b"\x0a\x12",
    b"\x12\x10",
    b"\x09\0\0\0\0\0\0\xf0\x7f",
    b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x1a\x02\x08\x01",
    b"\x22\x02\x08\x01",
    b"\xff\xff\xff\xff\x7f",
    b"\x0a\0",
)


def _check_taken(taken: Taken) -> None:
    assert taken.accepted >= 0
    assert taken.refused >= 0
    assert bool(taken.refused) == bool(taken.messages)
    assert all(len(message) > 10 for message in taken.messages)


def lines(_: asyncio.Runner) -> Target:
    """Datagrams of the line protocol, over several steps."""
    sink = engine()
    aggregator = LineAggregator(IngestSettings(max_meters=500), sink, sink.clock)

    def one(data: bytes) -> None:
        aggregator.receive(data, sink.clock.now_ms())
        aggregator.flush(sink.clock.now_ms())

    return one


def programs(_: asyncio.Runner) -> Target:
    """Programs of the stack language: text as it is, or words picked by the bytes."""
    asked = engine()
    words = sorted({f":{word}" for word in asked.vocabulary.words})
    literals = ("calls", "name", "nf.app", "1", "0", "-1", "1e308", "5s", "10", "(", ")", "a.*b")
    tokens = [*words, *literals, "name,calls,:eq,:sum", "name,calls,:eq,(,nf.app,),:by", ":dup"]

    def one(data: bytes) -> None:
        text = data[1:].decode("utf-8", "replace")
        if data[:1] > b"\x40":
            text = ",".join(tokens[(a << 8 | b) % len(tokens)] for a, b in _pairs(data[1:200]))
        now_ms = asked.clock.now_ms()
        with _Promised(BreakwaterError):
            result = asked.query(text, start_ms=now_ms - 120_000, end_ms=now_ms, timeout_s=5.0)
            assert sum(line.values.size for line in result.lines) <= _SETTINGS.max_points
            assert all(line.label for line in result.lines)

    return one


def guard_streams(_: asyncio.Runner) -> Target:
    """Streams of instances in pieces, cut where a 0x01 stands, merged and shown."""

    def one(data: bytes) -> None:
        aggregate = Aggregate(stale_s=10.0)
        for instance in ("a", "b", "c"):
            parser = EventParser(4_096)
            with _Promised(LimitExceededError):
                for piece in data.split(b"\x01"):
                    for told in parser.feed(piece):
                        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                            aggregate.put(instance, msgspec.json.decode(told), 0.0)
        messages = merged(aggregate.snapshot())
        view = service_view("fleet", messages, [], left_out=[])
        shown = GuardView(at_ms=0, services=[view])
        assert msgspec.json.decode(msgspec.json.encode(messages)) is not None
        assert msgspec.json.decode(msgspec.json.encode(shown)) is not None
        assert guards_svg(shown, "light").endswith("</svg>")

    return one


class _Promised:
    """Pass over errors of these kinds, if their message says something."""

    def __init__(self, *kinds: type[BreakwaterError]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        """Whether the error is one of those promised."""
        if not isinstance(error, self._kinds):
            return False
        assert len(str(error)) > 10, f"the message of {kind} says nothing: {error}"
        assert len(str(error)) < 5_000, f"the message of {kind} is endless"
        return True


def _pairs(data: bytes) -> list[tuple[int, int]]:
    return list(zip(data[::2], data[1::2], strict=False))


TARGETS: Final[dict[str, Callable[[asyncio.Runner], Target]]] = {
    "guard-streams": guard_streams,
    "lines": lines,
    "programs": programs,
    "publish": publish,
    "remote-write": remote_write,
}
"""How to make each target; what has to wait runs on the loop it is given."""
