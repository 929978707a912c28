"""What it costs that a restart loses nothing: publishing with and without the log, and starts.

Run with `python -m benchmarks.metrics_log [--json FILE] [--series N]`. Publishing is measured in
wall time, because the log has a thread of its own; the disk under --folder decides.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.metrics_engine import Row
from breakwater.ingest import IngestSettings, Publisher
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

_BATCH = 10_000
_REQUESTS = 160
_SETTINGS = MetricsSettings(step_ms=60_000)


async def _publish(engine: MetricsEngine, publisher: Publisher, body: bytes) -> None:
    """What the endpoint does with one request."""
    engine.check_durable()
    await publisher.publish(body)
    await engine.wait_durable()


def publish_rate(folder: Path | None, callers: int) -> tuple[float, float]:
    """Datapoints a second of wall time, and syncs a request, with so many callers at once."""
    clock = FakeClock()
    engine = MetricsEngine(_SETTINGS, clock, folder=folder)
    publisher = Publisher(IngestSettings(), engine, clock)
    metrics = [
        {
            "tags": {"name": "http.requests", "nf.app": f"app{i % 50}", "nf.node": f"i-{i:08x}"},
            "timestamp": clock.now_ms(),
            "value": i * 1.5,
        }
        for i in range(_BATCH)
    ]
    body = json.dumps({"tags": {"nf.zone": "z1"}, "metrics": metrics}).encode()

    async def caller(requests: int) -> None:
        for _ in range(requests):
            await _publish(engine, publisher, body)

    async def run() -> float:
        await caller(5)
        start = time.perf_counter()
        await asyncio.gather(*(caller(_REQUESTS // callers) for _ in range(callers)))
        return time.perf_counter() - start

    seconds = min(asyncio.run(run()) for _ in range(3))
    durability = engine.stats().durability
    syncs = 0.0 if durability is None else durability.log.syncs / (3 * (_REQUESTS + 5))
    engine.close()
    return _REQUESTS * _BATCH / seconds, syncs


def publishing(folder: Path) -> list[Row]:
    """Publish JSON of known series, in memory and with the log."""
    found = []
    for callers in (1, 8, 32):
        bare, _ = publish_rate(None, callers)
        logged, syncs = publish_rate(folder / f"publish-{callers}", callers)
        found += [
            Row(f"publish, {callers} callers, in memory", bare, "datapoints/s"),
            Row(f"publish, {callers} callers, with the log", logged, "datapoints/s", logged / bare),
            Row(f"publish, {callers} callers, syncs a request", syncs, ""),
        ]
    return found


def starts(folder: Path, series: int, slots: int = 60) -> list[Row]:
    """How long a start takes after a crash: from the log alone, and from a snapshot."""
    clock = FakeClock(now_ms=1_700_000_040_000)
    settings = MetricsSettings(max_series=max(series, 1024))
    engine = MetricsEngine(settings, clock, folder=folder / "live")
    handles = np.array(
        [
            engine.resolve({"name": "requests", "nf.app": f"app{i % 100}", "nf.node": f"n{i}"})
            for i in range(series)
        ]
    )
    random = np.random.default_rng(3)
    for _ in range(slots):
        clock.advance(1)
        engine.write(handles, clock.now_ms(), random.poisson(20, series).astype(np.float64))
        asyncio.run(engine.wait_durable())
    shutil.copytree(folder / "live", folder / "log")
    found = [Row(f"log of {series} series x {slots}", _size(folder / "log") / 1e6, "MB")]
    clock.advance(settings.snapshot_every_s)
    start = time.perf_counter()
    engine.maintain()
    found.append(Row("snapshot of it", time.perf_counter() - start, "s"))
    shutil.copytree(folder / "live", folder / "snapshot")
    engine.wind_up()
    del engine
    for kind in ("log", "snapshot"):
        start = time.perf_counter()
        again = MetricsEngine(settings, clock, folder=folder / kind)
        found.append(Row(f"start from the {kind}", time.perf_counter() - start, "s"))
        assert again.stats().series == series
        again.wind_up()
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def rows(folder: Path | None = None, series: int = 5_000) -> list[Row]:
    """Every figure of this file; the files go below `folder`, or where temporary files go."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        return [*publishing(Path(name)), *starts(Path(name) / "starts", series)]


def main() -> None:
    """Print every figure, or write them to a file as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--series", type=int, default=5_000, help="of the start that is measured")
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary one")
    asked = parser.parse_args()
    found = rows(asked.folder, asked.series)
    for row in found:
        ratio = "" if row.ratio is None else f"  ({row.ratio:.2f} x)"
        print(f"{row.name:<62} {row.value:>14,.2f} {row.unit}{ratio}")
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
