"""A process that records updates until it is killed; started by `test_record_durability`.

The updates follow from a seed and are sent batch by batch; a line `kept N` goes to standard output
for each batch that is acknowledged.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

import numpy as np
from tests.metrics.keeping import T0
from tests.metrics.updating import NAMES, Update

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

SERIES = 60
BATCHES = 250
SETTINGS = MetricsSettings(
    block_slots=600, retention_s=2400, max_series=4096, snapshot_every_s=7.0, classes=[]
)


def kind(series: int) -> str:
    """What kind of meter a series is."""
    return NAMES[series % len(NAMES)]


def tags(series: int) -> dict[str, str]:
    """The tags of a series."""
    return {"name": f"m{series}", "atlas.dstype": kind(series)}


def batch(number: int) -> list[Update]:
    """What is sent as batch `number`, a second after the one before: some on the grid, some not."""
    choose = random.Random(number)
    found = []
    for series in choose.sample(range(SERIES), 40):
        back_ms = choose.choice([0, 0, 0, 300, 700, 1000, 1700, 4000])
        total = float(number * (series + 1) % 997)
        found.append(Update(series, T0 + number * 1000 - back_ms, total))
    return found


def send(engine: MetricsEngine, sent: list[Update]) -> None:
    """Record a batch."""
    handles = engine.resolve_all([tags(each.series) for each in sent]).handles
    stamps = np.array([each.stamp_ms for each in sent])
    stale = engine.record(handles, stamps, np.array([each.value for each in sent]))
    assert not len(stale)


def tell(text: str) -> None:
    """Write a line to standard output, whole or not at all; events go there too."""
    os.write(1, f"{text}\n".encode())


def live(folder: Path, first: int) -> None:
    """Send one batch after the other until the end of this process."""
    clock = FakeClock(T0 + first * 1000)
    engine = MetricsEngine(SETTINGS, clock, folder=folder)
    for number in range(first + 1, BATCHES + 1):
        clock.advance(1)
        send(engine, batch(number))
        asyncio.run(engine.wait_durable())
        tell(f"kept {number}")
        engine.maintain()
    engine.close()


if __name__ == "__main__":
    live(Path(sys.argv[1]), int(sys.argv[2]))
