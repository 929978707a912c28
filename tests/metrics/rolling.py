"""Engines that keep the same datapoints in different ways, for the tests of retention classes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.settings import RetentionClass
from breakwater.testing import FakeClock

T0 = 1_700_000_400_000
TENS = RetentionClass(name="tens", step_ms=10_000, retention_s=900, drop_tags=["nf.node"])
MINUTES = RetentionClass(name="minutes", step_ms=60_000, retention_s=7200, drop_tags=["nf.zone"])

Array = NDArray[np.float64]


def tiered(
    clock: FakeClock, *classes: RetentionClass, folder: Path | None = None, retention_s: int = 60
) -> MetricsEngine:
    """An engine that keeps a minute at full resolution and the rest in classes."""
    settings = MetricsSettings(
        retention_s=retention_s,
        block_slots=10,
        max_series=5000,
        max_ahead_steps=60,
        classes=list(classes),
    )
    return MetricsEngine(settings, clock, folder=folder)


def full(clock: FakeClock) -> MetricsEngine:
    """An engine that keeps everything at full resolution."""
    settings = MetricsSettings(
        retention_s=7200, block_slots=10, max_series=5000, max_ahead_steps=60, classes=[]
    )
    return MetricsEngine(settings, clock)


class Fleet:
    """Random series over some time: rates with gaps, gauges, nodes and zones, late datapoints."""

    def __init__(self, seed: int, steps: int, *, gauge_gaps: bool = False) -> None:
        random = np.random.default_rng(seed)
        self.tags: list[dict[str, str]] = []
        lines: list[Array] = []
        for app in ("a", "b"):
            for zone in ("x", "y"):
                for node in range(3):
                    for name in ("calls", "load"):
                        tags = {"name": name, "nf.app": app, "nf.zone": zone}
                        values = np.round(random.normal(5, 20, steps), 1)
                        if name == "load":
                            tags["atlas.dstype"] = "gauge"
                        if name == "calls" or gauge_gaps:
                            values[random.random(steps) < 0.4] = np.nan
                        if random.random() < 0.8:
                            tags["nf.node"] = f"{app}-{zone}-{node}"
                        else:
                            tags["kind"] = f"k{node}"
                        if name == "calls":
                            begin, end = sorted(random.integers(0, steps, 2))
                            values[begin : begin + (end - begin) // 2] = np.nan
                        self.tags.append(tags)
                        lines.append(values)
        self.values = np.array(lines)
        self.is_late = random.random(self.values.shape) < 0.1

    def feed(
        self,
        clock: FakeClock,
        *engines: MetricsEngine,
        first: int,
        last: int,
        maintains: bool = True,
    ) -> None:
        """Steps [first, last) into engines, one second each, some datapoints nine steps late."""
        for step in range(first, last):
            clock.advance(1)
            now_ms = clock.now_ms()
            for engine in engines:
                if step >= 9:
                    late = np.flatnonzero(self.is_late[:, step - 9])
                    self._write(engine, late, now_ms - 9000, self.values[late, step - 9])
                chosen = np.flatnonzero(~self.is_late[:, step])
                self._write(engine, chosen, now_ms, self.values[chosen, step])
                if maintains and step % 7 == 0:
                    engine.maintain()

    def _write(
        self, engine: MetricsEngine, chosen: NDArray[np.intp], stamp_ms: int, values: Array
    ) -> None:
        """Write, and once more for series that were retired by this very write."""
        while len(chosen):
            handles = engine.resolve_all([self.tags[i] for i in chosen]).handles
            stale = engine.write(handles, stamp_ms, values)
            chosen, values = chosen[stale], values[stale]


def answer(
    engine: MetricsEngine, program: str, *, start_ms: int, end_ms: int, step_ms: int
) -> dict[str, Array]:
    """Values of each line by its label."""
    found = engine.query(program, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms)
    return {str(sorted(line.tags.items())): line.values for line in found.lines}
