"""A process that writes and rolls up until it is killed; started by `test_rollup_crashes`.

Every value follows from its series and its step, so that whatever is left can be checked. A line
goes to standard output for every step that is acknowledged.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
import numpy as np
import structlog
from tests.metrics.rolling import MINUTES, T0, TENS

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

TAGS = [
    {"name": "m", "nf.app": f"app{app}", "nf.node": f"i-{node}", "kind": kind}
    for app in range(5)
    for node in range(4)
    for kind in ("x", "y")
]
SETTINGS = MetricsSettings(
    retention_s=600,
    block_slots=5,
    max_series=2000,
    classes=[
        msgspec.structs.replace(TENS, retention_s=1200),
        msgspec.structs.replace(MINUTES, retention_s=36_000, drop_tags=[]),
    ],
    snapshot_every_s=40.0,
)


def values(step: int) -> np.ndarray:
    """What the series have at a step; some have nothing."""
    found = np.arange(len(TAGS)) * 1000.0 + step
    found[step % 7 :: 7] = np.nan
    return found


def tell(line: str) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def live(folder: Path, first: int) -> None:
    """Write one step after the other, rolling up after each, until the end of this process."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    clock = FakeClock(T0 + first * 1000)
    engine = MetricsEngine(SETTINGS, clock, folder=folder)
    tell("ready")
    step = first
    while True:
        step += 1
        clock.advance(1)
        handles = engine.resolve_all(TAGS).handles
        engine.write(handles, clock.now_ms(), values(step))
        asyncio.run(engine.wait_durable())
        tell(str(step))
        engine.maintain()


if __name__ == "__main__":
    live(Path(sys.argv[1]), int(sys.argv[2]))
