"""How fast telemetry comes in, how fast it is read, and what a series costs.

Run with `python -m benchmarks.metrics_engine [--json FILE]`. Every figure is the best of a few
runs on one core; compare ratios between machines, not figures. `ratio` is the figure divided by
the floor named in the row's name, where there is one: an array copy of the same bytes.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest import IngestSettings, LineAggregator, Publisher, Resolved, warm_up
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.model import LimitExceededError
from breakwater.testing import FakeClock

_RUNS = 5
_METERS = 2_000
_UPDATES = 20
_BATCH = 10_000


class Row(NamedTuple):
    """One figure: its name, value and unit, and its ratio to a floor where there is one."""

    name: str
    value: float
    unit: str
    ratio: float | None = None


class _Handles(NamedTuple):
    """What a sink found."""

    handles: NDArray[np.int64]
    error: LimitExceededError | None


class _NullSink:
    """A sink that costs nothing, so that the intake alone is measured."""

    step_ms = 1000

    def __init__(self) -> None:
        self._series = 0

    def resolve(self, tags: Mapping[str, str]) -> int:  # noqa: ARG002 - the port's signature
        """The next handle."""
        self._series += 1
        return self._series

    def resolve_all(self, tags: Sequence[Mapping[str, str]]) -> Resolved:
        """The next handles."""
        return _Handles(np.array([self.resolve(each) for each in tags], dtype=np.int64), None)

    def resolve_table(
        self,
        pairs: Sequence[tuple[str, str]],  # noqa: ARG002 - the port's signature
        lines: NDArray[np.int32],
    ) -> Resolved:
        """The next handles."""
        return self.resolve_all([{}] * len(lines))

    def record(
        self,
        handles: NDArray[np.int64],
        timestamps_ms: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Keep nothing; no handle is stale."""
        return self.write(handles, timestamps_ms, values)

    def write(
        self,
        handles: NDArray[np.int64],  # noqa: ARG002 - the port's signature
        timestamps_ms: NDArray[np.int64] | int,  # noqa: ARG002 - the port's signature
        values: NDArray[np.float64],  # noqa: ARG002 - the port's signature
    ) -> NDArray[np.intp]:
        """Keep nothing; no handle is stale."""
        return np.empty(0, dtype=np.intp)

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:  # noqa: ARG002 - the port's signature
        """Any stamp."""
        return 0, 1 << 62

    def complete(self, timestamp_ms: int) -> None:
        """Take no note."""


def line_intake() -> list[Row]:
    """Lines a second through parser and aggregator, known meters, 20 lines a datagram."""
    rows = []
    for letter, name in (("c", "counter"), ("t", "timer"), ("T", "percentile timer")):
        clock = FakeClock()
        aggregator = LineAggregator(IngestSettings(), _NullSink(), clock)
        datagrams = _datagrams(letter)

        def take(
            aggregator: LineAggregator = aggregator,
            datagrams: list[bytes] = datagrams,
            clock: FakeClock = clock,
        ) -> None:
            for datagram in datagrams:
                aggregator.receive(datagram, clock.now_ms())
            clock.advance(1)
            aggregator.flush(clock.now_ms())

        lines = _METERS * _UPDATES
        rows.append(Row(f"UDP lines, {name}s, steps closed", lines / _best(take), "lines/s"))
    return rows


def _datagrams(letter: str) -> list[bytes]:
    """One step: 20 updates of each of 2000 meters, 20 lines a datagram."""
    lines = [
        f"{letter}:ipc.client.call,ipc.endpoint=e{i % 7},nf.app=app{i % 31},nf.node=n{i}:0.0{n}5"
        for n in range(_UPDATES)
        for i in range(_METERS)
    ]
    return ["\n".join(lines[start : start + 20]).encode() for start in range(0, len(lines), 20)]


def publish_intake() -> list[Row]:
    """Datapoints a second from publish JSON into the store, series known and new."""
    clock = FakeClock()
    engine = MetricsEngine(MetricsSettings(step_ms=60_000), clock)
    publisher = Publisher(IngestSettings(), engine, clock)
    warm_up()
    body = _payload(clock.now_ms(), 0)
    first = _timed(lambda: anyio.run(publisher.publish, body))
    known = _best(lambda: anyio.run(publisher.publish, body))
    return [
        Row("publish JSON, known series", _BATCH / known, "datapoints/s"),
        Row("publish JSON, new series", _BATCH / first, "datapoints/s"),
    ]


def group_by_sum(series: int = 1_000_000, slots: int = 60) -> list[Row]:
    """A group-by sum of every series, against a plain copy of the same bytes."""
    clock = FakeClock(now_ms=1_700_000_040_000)
    engine = MetricsEngine(MetricsSettings(block_slots=slots, max_series=series), clock)
    gc.collect()
    before = _resident_bytes()
    handles = np.array(
        [
            engine.resolve({"name": "requests", "nf.app": f"app{i % 100}", "nf.node": f"n{i}"})
            for i in range(series)
        ]
    )
    index_bytes = _resident_bytes() - before
    values = np.random.default_rng(1).random(series)
    start_ms = -(-clock.now_ms() // (slots * 1000)) * slots * 1000
    for slot in range(slots):
        clock.advance((start_ms + slot * 1000 - clock.now_ms()) / 1000)
        engine.write(handles, start_ms + slot * 1000, values)
    engine.warm_up()
    program = "name,requests,:eq,:sum,(,nf.app,),:by"
    end_ms = start_ms + (slots - 1) * 1000

    def ask() -> None:
        engine.query(program, start_ms=start_ms - 1000, end_ms=end_ms)

    ask()
    asked = _best(ask)
    source = np.random.default_rng(1).random((series, slots))
    target = np.empty_like(source)
    copied = _best(lambda: np.copyto(target, source))
    return [
        Row(f"array copy of {series} x {slots} float64", copied * 1e3, "ms"),
        Row(
            f"group-by sum of {series} series x {slots} slots, against the copy",
            asked * 1e3,
            "ms",
            asked / copied,
        ),
        Row("memory of tags, index and handle of a series", index_bytes / series, "bytes"),
        Row("memory of a raw value", engine.stats().size_bytes / (series * slots), "bytes"),
    ]


def group_by_answer(lines: int = 1000, points: int = 300) -> list[Row]:
    """What a diagnosis asks for again and again: many lines of a few minutes."""
    clock = FakeClock(now_ms=1_700_000_040_000)
    engine = MetricsEngine(MetricsSettings(), clock)
    handles = np.array(
        [engine.resolve({"name": "calls", "edge": f"e{i}", "nf.node": "n"}) for i in range(lines)]
    )
    start_ms = clock.now_ms()
    for point in range(points):
        clock.advance(1)
        engine.write(handles, start_ms + (point + 1) * 1000, np.full(lines, float(point)))
    engine.maintain()
    program = "name,calls,:eq,(,edge,),:by"

    def ask() -> None:
        engine.query(program, start_ms=start_ms, end_ms=start_ms + points * 1000)

    ask()
    stats = engine.stats()
    name = f"{lines} lines x {points} points, {stats.packed_blocks} of {stats.blocks} blocks packed"
    return [Row(name, _best(ask) * 1e3, "ms")]


def packed_memory(series: int = 40_960, slots: int = 10) -> list[Row]:
    """Bytes a value takes in sealed blocks, four of them joined, and how fast they are packed."""
    from breakwater.metrics.store.blocks import PackedBlock, RawBlock, join  # noqa: PLC0415 - of a room

    found = []
    for name, values in _measured(series, 4 * slots).items():
        blocks = []
        for number in range(4):
            block = RawBlock(number, max_rows=series, slots=slots)
            block.fit(series)
            block.data[:series] = values[:, number * slots : (number + 1) * slots]
            blocks.append(block)
        PackedBlock.of(blocks[0])
        seconds = _timed(lambda: [PackedBlock.of(block) for block in blocks])  # noqa: B023 - at once
        packed = [PackedBlock.of(block) for block in blocks]
        joined = join(packed)
        size = joined[0].packed_rows.size_bytes
        found.append(Row(f"memory of a packed value, {name}", size / values.size, "bytes"))
        found.append(Row(f"packing, {name}", 0.75 * values.size / seconds, "values/s"))
    return found


def _measured(series: int, slots: int) -> dict[str, NDArray[np.float64]]:
    """Values of the kinds people measure, float64 [series, slots]."""
    random = np.random.default_rng(7)
    shape, level = (series, slots), 50 + 1000 * random.random((series, 1))
    gaps = random.poisson(20, shape).astype(np.float64)
    gaps[random.random(shape) < 0.2] = np.nan
    noise = random.standard_normal(shape)
    return {
        "events a second": np.maximum(np.round(level + 10 * noise), 0.0) / 60.0,
        "wandering decimals": np.round(level + np.cumsum(noise, axis=1), 2),
        "totals": np.round(1e3 * level) + np.cumsum(random.poisson(level, shape), axis=1),
        "counts with gaps": gaps,
        "random doubles": random.random(shape),
    }


def packed_reading(series: int = 200_000, points: int = 180) -> list[Row]:
    """Sums straight from packed rows: of everything, and of rows far apart."""
    clock = FakeClock(now_ms=1_700_000_040_000)
    engine = MetricsEngine(MetricsSettings(step_ms=60_000, retention_s=10_800), clock)
    tags = [{"name": f"m{i % 200}", "nf.node": f"n{i // 200}"} for i in range(series)]
    handles = np.concatenate(
        [engine.resolve_all(tags[i : i + 2000]).handles for i in range(0, series, 2000)]
    )
    del tags
    start_ms = clock.now_ms()
    level = 50 + 1000 * np.random.default_rng(3).random(series)
    for _ in range(points):
        clock.advance(60)
        noise = np.random.default_rng(clock.now_ms()).standard_normal(series)
        engine.write(handles, clock.now_ms(), np.maximum(np.round(level + 10 * noise), 0.0) / 60.0)
        engine.maintain()
    end_ms = clock.now_ms()
    engine.warm_up()

    def ask(program: str) -> None:
        engine.query(program, start_ms=start_ms, end_ms=end_ms)

    found = []
    for name, program in (
        (f"sum of {series} series x {points}, wall clock, all cores", ":true,:sum"),
        (f"sum of {series // 200} rows far apart x {points}", "name,m7,:eq,:sum"),
        (f"sum of 10 rows x {points}", "name,m7,:eq,nf.node,n10.$,:re,:and,:sum"),
    ):
        ask(program)
        times = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            ask(program)
            times.append(time.perf_counter() - start)
        found.append(Row(name, min(times) * 1e3, "ms"))
    blocks = engine.stats()
    name = f"memory of a series, {points} points, {blocks.packed_blocks} of {blocks.blocks} packed"
    return [*found, Row(name, blocks.size_bytes / series, "bytes")]


def rows() -> list[Row]:
    """Every figure of this file."""
    return [
        *line_intake(),
        *publish_intake(),
        *group_by_answer(),
        *packed_memory(),
        *packed_reading(),
        *group_by_sum(),
    ]


def _payload(now_ms: int, first: int) -> bytes:
    metrics = [
        {
            "tags": {
                "name": "http.requests",
                "nf.app": f"app{i % 50}",
                "nf.node": f"i-{first + i:08x}",
                "status": "200",
                "statistic": "count",
            },
            "timestamp": now_ms,
            "value": i * 1.5,
        }
        for i in range(_BATCH)
    ]
    return json.dumps({"tags": {"nf.zone": "z1"}, "metrics": metrics}).encode()


def _timed(work: Callable[[], object]) -> float:
    start = time.thread_time()  # CPU time: other work on the machine shows little
    work()
    return time.thread_time() - start


def _best(work: Callable[[], object]) -> float:
    return min(_timed(work) for _ in range(_RUNS))


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Print every figure, or write them to a file as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    path = parser.parse_args().json
    found = rows()
    for row in found:
        ratio = "" if row.ratio is None else f"  ({row.ratio:.2f} x)"
        print(f"{row.name:<62} {row.value:>14,.2f} {row.unit}{ratio}")
    if path is not None:
        path.write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
