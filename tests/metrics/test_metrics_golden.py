"""Files written by version 1 stay readable, and version 1 of the log is written as it was."""

import shutil
from pathlib import Path

import numpy as np
from tests.metrics.keeping import SMALL, T0, Contents, contents, opened, wait_durable

from breakwater.metrics import MetricsEngine
from breakwater.testing import FakeClock

GOLDEN = Path(__file__).parents[1] / "golden"
GRID = "1000ms-5"
NAMES = {
    "metrics-log.v1": "log-0000000002",
    "metrics-snapshot.v1": "snapshot-0000000002",
    "metrics-block.v1": "block-340000008-0000000002",
}
FIRST = T0 // 1000


def life(folder: Path) -> tuple[MetricsEngine, FakeClock]:
    """Two series, fifteen steps, a snapshot, a third series and a column of two slots."""
    clock = FakeClock(T0)
    engine = opened(folder, clock, SMALL)
    handles = np.array([engine.resolve({"name": "m", "nf.node": node}) for node in ("n1", "n2")])
    for step in range(5, 15):
        clock.advance(1)
        engine.write(handles, T0 + step * 1000 - 4000, np.array([step, step / 2]))
    clock.advance(1)
    durability = engine._durability
    assert durability is not None
    wait_durable(engine)
    durability._take_snapshot()
    third = engine.resolve({"name": "late", "nf.node": "n3"})
    engine.write(np.array([third]), clock.now_ms(), np.array([42.5]))
    stamps = np.array([T0 + 10_000, T0 + 11_000])
    engine.write(handles, stamps, np.array([-1.0, 1e300]))
    wait_durable(engine)
    return engine, clock


def expected() -> Contents:
    """What `life` leaves behind."""
    first = {FIRST + step - 4: float(step) for step in range(5, 15)}
    second = {slot: value / 2 for slot, value in first.items()}
    first[FIRST + 10] = -1.0
    second[FIRST + 11] = 1e300
    return {
        (("name", "m"), ("nf.node", "n1")): first,
        (("name", "m"), ("nf.node", "n2")): second,
        (("name", "late"), ("nf.node", "n3")): {FIRST + 11: 42.5},
    }


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    """The golden files give exactly what was written into them."""
    (tmp_path / GRID).mkdir()
    for golden, name in NAMES.items():
        shutil.copy(GOLDEN / golden, tmp_path / GRID / name)
    clock = FakeClock(T0 + 11_000)
    engine = opened(tmp_path, clock, SMALL)
    durability = engine.stats().durability
    assert durability is not None
    assert durability.recovered.damaged == []
    assert contents(engine) == expected()
    engine.close()


def test_the_log_is_written_as_it_was(tmp_path: Path) -> None:
    """Byte for byte; a change of the format needs another version."""
    engine, _ = life(tmp_path)
    assert contents(engine) == expected()
    written = (tmp_path / GRID / NAMES["metrics-log.v1"]).read_bytes()
    assert written == (GOLDEN / "metrics-log.v1").read_bytes()
    engine.close()
