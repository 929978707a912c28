"""Where normalisation stands is read from files of version 2, and the log is written as it was."""

import shutil
from pathlib import Path

import numpy as np
from tests.metrics.keeping import T0, contents, opened, wait_durable
from tests.metrics.updating import NAMES, Oracle, Slots, Update

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

GOLDEN = Path(__file__).parents[1] / "golden"
SETTINGS = MetricsSettings(block_slots=60, max_series_per_name=2, classes=[])
GRID = "1000ms-60"
FILES = {
    "metrics-standing-log.v2": "log-0000000002",
    "metrics-standing-snapshot.v2": "snapshot-0000000002",
}


def tags(series: int) -> dict[str, str]:
    """The tags of a series; from the sixth on they are rolled up."""
    kind = NAMES[series] if series < len(NAMES) else "rate"
    name = kind if series < len(NAMES) else "rolled"
    return {"name": name, "nf.node": f"n{series}", "atlas.dstype": kind}


def updates(second: int) -> list[Update]:
    """What is recorded in a second: on the grid, off it, and for two series nothing else."""
    late_ms = 0 if second % 3 else 400
    known = [Update(series, T0 + 1000 * second - late_ms, 10.0 * second) for series in range(5)]
    return [*known, *(Update(series, T0 + 1000 * second, 1.0) for series in range(5, 9))]


def send(engine: MetricsEngine, clock: FakeClock, second: int) -> None:
    """Record what comes in a second."""
    clock.advance(1)
    sent = updates(second)
    handles = engine.resolve_all([tags(each.series) for each in sent]).handles
    stamps = np.array([each.stamp_ms for each in sent])
    engine.record(handles, stamps, np.array([each.value for each in sent]))


def life(folder: Path) -> tuple[MetricsEngine, FakeClock]:
    """Five seconds, a snapshot, five more."""
    clock = FakeClock(T0)
    engine = opened(folder, clock, SETTINGS)
    for second in range(1, 11):
        send(engine, clock, second)
        wait_durable(engine)
        if second == 5:
            durability = engine._durability
            assert durability is not None
            durability._take_snapshot()
    wait_durable(engine)
    return engine, clock


def expected(seconds: int) -> dict[str, Slots]:
    """What the model says, by name, and the sum of what was rolled up."""
    model = Oracle(NAMES, 1000)
    for second in range(1, seconds + 1):
        model.take(updates(second)[:5])
    found = dict(zip(NAMES, model.slots, strict=True))
    found["rolled"] = {T0 // 1000 + second: 4.0 for second in range(1, seconds + 1)}
    return found


def by_name(engine: MetricsEngine) -> dict[str, Slots]:
    """What an engine holds, series of one name added up."""
    found: dict[str, Slots] = {}
    for pairs, line in contents(engine).items():
        into = found.setdefault(dict(pairs)["name"], {})
        for slot, value in line.items():
            into[slot] = into.get(slot, 0.0) + value
    return found


def test_files_of_version_2_are_read(tmp_path: Path) -> None:
    """The golden files give what was recorded, and the next update goes on from there."""
    (tmp_path / GRID).mkdir()
    for golden, name in FILES.items():
        shutil.copy(GOLDEN / golden, tmp_path / GRID / name)
    clock = FakeClock(T0 + 10_000)
    engine = opened(tmp_path, clock, SETTINGS)
    durability = engine.stats().durability
    assert durability is not None
    assert durability.recovered.damaged == []
    send(engine, clock, 11)
    assert by_name(engine) == expected(11)
    engine.close()


def test_the_log_is_written_as_it_was(tmp_path: Path) -> None:
    """Byte for byte; a change of the format needs another version."""
    engine, _ = life(tmp_path)
    assert by_name(engine) == expected(10)
    written = (tmp_path / GRID / FILES["metrics-standing-log.v2"]).read_bytes()
    assert written == (GOLDEN / "metrics-standing-log.v2").read_bytes()
    engine.close()
