"""What it costs to roll up and to archive: `python -m benchmarks.retention [--json FILE]`.

200,000 series (1000 nodes x 200 metrics, 8 tags) of one second steps are rolled up into minutes
without the node, beside packing the same blocks; then hours of such minutes tell the memory of a
target and the size of the archive. One thread; values like those of services.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.fleet_data import SERIES, Values, tags
from breakwater.metrics import MetricsSettings
from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.archive.exporting import Exportable
from breakwater.metrics.archive.objects import FolderObjects
from breakwater.metrics.classes.store import ClassStore
from breakwater.metrics.retention import Retention
from breakwater.metrics.settings import ArchiveSettings
from breakwater.metrics.store.blocks import RawBlock
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.testing import FakeClock

T0 = 1_700_002_800_000
SECONDS = 190
HOURS = 2


def rolling() -> dict[str, Any]:
    """Rolling up seconds into minutes, beside packing them."""
    clock = FakeClock(T0)
    settings = MetricsSettings(block_slots=60)
    store = SeriesStore(settings, clock)
    handles = resolved(store, range(SERIES))
    values = Values("realistic")
    for _ in range(SECONDS):
        clock.advance(1)
        store.write(handles, clock.now_ms(), values.next())
    retention = Retention(store, settings, clock, folder=None)
    kept = retention.classes[0]
    began_s = time.perf_counter()
    for each in kept.rollup._maps.values():  # noqa: SLF001 - the first part of a pass, alone
        for _ in each.update():
            pass
    mapping_s = time.perf_counter() - began_s
    began_s, pieces, longest_s = time.perf_counter(), 0, 0.0
    while True:
        piece_s = time.perf_counter()
        is_done = kept.rollup.advance(partial(next, iter([False]), True))
        longest_s = max(longest_s, time.perf_counter() - piece_s)
        pieces += 1
        if is_done:
            break
    rolling_s = time.perf_counter() - began_s
    rolled = kept.rollup.stats().steps * 60 * SERIES
    began_s = time.perf_counter()
    assert store.seal()
    sealing_s = time.perf_counter() - began_s
    sealed = settings.block_slots * SERIES
    return {
        "source series": SERIES,
        "targets": kept.rollup.stats().series,
        "mapping a new series, us": 1e6 * mapping_s / SERIES,
        "rolling up a value, ns": 1e9 * rolling_s / rolled,
        "packing a value, ns": 1e9 * sealing_s / sealed,
        "rolling up : packing": (rolling_s / rolled) / (sealing_s / sealed),
        "rolling up a minute, ms": 1e3 * rolling_s / kept.rollup.stats().steps,
        "longest piece, ms": 1e3 * longest_s,
        "pieces": pieces,
    }


def holding() -> dict[str, Any]:
    """Memory of a target over hours of minutes, and the size of its archive."""
    clock = FakeClock(T0)
    chosen = np.arange(0, SERIES, 10)
    settings = MetricsSettings(step_ms=20_000, retention_s=3600)
    store = SeriesStore(settings, clock)
    retention = Retention(store, settings, clock, folder=None)
    kept = retention.classes[0]
    handles = resolved(store, chosen.tolist())
    values = Values("realistic")
    steps = HOURS * 180 + 60
    for _ in range(steps):
        clock.advance(20)
        store.write(handles, clock.now_ms(), values.next()[chosen])
        retention.maintain()
        while store.seal():
            pass
    stats = kept.stats()
    minutes = kept.rollup.stats().steps
    targets = stats.rollup.series
    held = kept.store.image().blocks.values()
    raw = sum(block.size_bytes for block in held if isinstance(block, RawBlock))
    packed = kept.store.size_bytes - raw - kept.store.index.size_bytes
    return {
        "targets": targets,
        "kept series": stats.series,
        "minutes": minutes,
        "tables, bytes a target": (stats.size_bytes - raw - packed) / targets,
        "open blocks, bytes a target": raw / targets,
        "packed, bytes a target and hour": packed / targets / (minutes - 20) * 60,
        **archived(kept, clock),
    }


def archived(kept: ClassStore, clock: FakeClock) -> dict[str, Any]:
    """Exporting what a class holds."""
    with tempfile.TemporaryDirectory() as folder:
        source = Exportable(kept.name, 20_000, kept.store, kept.settled)
        archive = Archive(ArchiveSettings(), FolderObjects(Path(folder)), [source], clock)
        began_s = time.perf_counter()
        chunks = archive.export_ready()
        took_s = time.perf_counter() - began_s
        rows = archive.stats().exported_rows
        size = sum(each.stat().st_size for each in Path(folder).rglob("*.parquet"))
    values = rows * chunks[0].slots
    return {
        "archived values": values,
        "archive, bytes a value": size / values,
        "archiving a value, ns": 1e9 * took_s / values,
    }


def resolved(store: SeriesStore, series: Any) -> np.ndarray:
    """Handles of series of the fleet."""
    return store.resolve_all([tags(each) for each in series]).handles


def main() -> None:
    """Run both and show a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {"rolling": rolling(), "holding": holding()}
    for table in found.values():
        for name, value in table.items():
            print(
                f"{name:36} {value:14,.2f}"
                if isinstance(value, float)
                else f"{name:36} {value:14,}"
            )
    if given.json is not None:
        given.json.write_text(json.dumps(msgspec.to_builtins(found), indent=2))


if __name__ == "__main__":
    main()
