"""Files of every version stay readable, and the newest version of the log is written as it was."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.metrics.keeping import SMALL, T0, Contents, contents, opened, wait_durable

from breakwater.metrics import MetricsEngine
from breakwater.testing import FakeClock

GOLDEN = Path(__file__).parents[1] / "golden"
GRID = "1000ms-5"
NAMES = {
    "metrics-log": "log-0000000002",
    "metrics-snapshot": "snapshot-0000000002",
    "metrics-block": "block-340000008-0000000002",
}
FIRST = T0 // 1000
MANY = 70


def values_of_many() -> list[float]:
    """Counts a minute, decimals, whole numbers and what is none of them."""
    return [[n / 60, n / 100, -float(n), 1 / (n + 7)][n % 4] for n in range(MANY)]


def life(folder: Path) -> tuple[MetricsEngine, FakeClock]:
    """Two series, fifteen steps, a snapshot, a third series, columns of two slots and of many."""
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
    many = [{"name": "many", "nf.node": f"n{n}"} for n in range(MANY)]
    found = np.array([engine.resolve(tags) for tags in many])
    engine.write(found, clock.now_ms(), np.array(values_of_many()))
    wait_durable(engine)
    return engine, clock


def expected(version: int = 2) -> Contents:
    """What `life` leaves behind; it did less in version 1."""
    first = {FIRST + step - 4: float(step) for step in range(5, 15)}
    second = {slot: value / 2 for slot, value in first.items()}
    first[FIRST + 10] = -1.0
    second[FIRST + 11] = 1e300
    of_many: Contents = {
        (("name", "many"), ("nf.node", f"n{n}")): {FIRST + 11: value}
        for n, value in enumerate(values_of_many() if version > 1 else [])
    }
    return {
        **of_many,
        (("name", "m"), ("nf.node", "n1")): first,
        (("name", "m"), ("nf.node", "n2")): second,
        (("name", "late"), ("nf.node", "n3")): {FIRST + 11: 42.5},
    }


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_every_version_are_read(tmp_path: Path, version: int) -> None:
    """The golden files give exactly what was written into them."""
    (tmp_path / GRID).mkdir()
    for golden, name in NAMES.items():
        shutil.copy(GOLDEN / f"{golden}.v{version}", tmp_path / GRID / name)
    clock = FakeClock(T0 + 11_000)
    engine = opened(tmp_path, clock, SMALL)
    durability = engine.stats().durability
    assert durability is not None
    assert durability.recovered.damaged == []
    assert contents(engine) == expected(version)
    engine.close()


def test_the_log_is_written_as_it_was(tmp_path: Path) -> None:
    """Byte for byte; a change of the format needs another version."""
    engine, _ = life(tmp_path)
    assert contents(engine) == expected()
    written = (tmp_path / GRID / NAMES["metrics-log"]).read_bytes()
    assert written == (GOLDEN / "metrics-log.v2").read_bytes()
    engine.close()
