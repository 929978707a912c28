"""Engines with a folder, and everything that is in them, for the tests of restarts."""

import asyncio
import random
import shutil
from pathlib import Path

import numpy as np

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

T0 = 1_700_000_040_000
DEFAULT = MetricsSettings()
SMALL = MetricsSettings(block_slots=5, retention_s=20, raw_blocks=2, max_series=4096)

Contents = dict[tuple[tuple[str, str], ...], dict[int, float]]


def opened(folder: Path, clock: FakeClock, settings: MetricsSettings = DEFAULT) -> MetricsEngine:
    """An engine that keeps its data in `folder`."""
    return MetricsEngine(settings, clock, folder=folder)


def contents(engine: MetricsEngine) -> Contents:
    """Every value of every series by its tags and slot; series without values too."""
    store = engine._store
    rows = np.array(store.index.rows_in_use.to_array(), dtype=np.int64)
    found: Contents = {}
    blocks = sorted(store.ring.blocks)
    first, last = 0, 0
    values = np.empty((len(rows), 0))
    if blocks:
        slots = engine.settings.block_slots
        first, last = blocks[0] * slots, (blocks[-1] + 1) * slots - 1
        values = store.values(rows, first, last)
    for row, line in zip(rows.tolist(), values, strict=True):
        kept = np.flatnonzero(~np.isnan(line))
        tags = tuple(sorted(store.index.tags_of(row).items()))
        found[tags] = {first + int(at): float(line[at]) for at in kept}
    return found


def points(held: Contents) -> set[tuple[tuple[tuple[str, str], ...], int, float]]:
    """Every datapoint as one item."""
    return {(tags, slot, v) for tags, line in held.items() for slot, v in line.items()}


def wait_durable(engine: MetricsEngine) -> None:
    """What a publish request does before it answers."""
    asyncio.run(engine.wait_durable())


def crash_image(engine: MetricsEngine, folder: Path, copy: Path) -> Path:
    """The folder as a crash right now would leave it."""
    wait_durable(engine)
    shutil.copytree(folder, copy)
    return copy


class History:
    """Random life of an engine: series come and go, values are all different."""

    def __init__(self, folder: Path, seed: int, settings: MetricsSettings = SMALL) -> None:
        self.folder = folder
        self.clock = FakeClock(T0)
        self.settings = settings
        self.engine = opened(folder, self.clock, settings)
        self.written: set[tuple[tuple[tuple[str, str], ...], int, float]] = set()
        self._random = random.Random(seed)
        self._value = 0.0
        self._alive = [self._name() for _ in range(6)]

    def _name(self) -> str:
        return f"s{self._random.randrange(10_000)}"

    def live(self, steps: int, *, snapshot_share: float = 0.05) -> None:
        """So many steps; some write to two slots, some are skipped, some end in a snapshot."""
        for _ in range(steps):
            self.clock.advance(self._random.choice([1, 1, 1, 1, 2, 7]))
            if self._random.random() < 0.3:
                self._alive[self._random.randrange(len(self._alive))] = self._name()
            self.write(back=0)
            if self._random.random() < 0.3:
                self.write(back=self._random.randrange(4))
            while self.engine._store.seal():
                pass
            if self._random.random() < snapshot_share:
                self.snapshot()

    def write(self, back: int) -> None:
        """One column, of one slot or of two."""
        engine, chosen = self.engine, self._random.sample(self._alive, 4)
        tags = [{"name": name, "kind": name[:2]} for name in chosen]
        handles = np.array([engine.resolve(each) for each in tags])
        slot = self.clock.now_ms() // 1000 - back
        slots = np.array([slot, slot, slot - (back % 2), slot])
        values = self._value + np.arange(1.0, 5.0)
        self._value += 4
        engine.write(handles, slots * 1000, values)
        for each, at, value in zip(tags, slots.tolist(), values.tolist(), strict=True):
            self.written.add((tuple(sorted(each.items())), at, value))

    def snapshot(self) -> None:
        """Take a snapshot now."""
        durability = self.engine._durability
        assert durability is not None
        with durability._turn:
            durability._take_snapshot()

    def restart(self) -> None:
        """End cleanly and start again."""
        self.engine.close()
        self.engine = opened(self.folder, self.clock, self.settings)
