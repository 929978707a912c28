"""The dataset that cases are run on, in an engine of its own."""

import json
from pathlib import Path

import numpy as np

from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.settings import MetricsSettings


class ReplayClock:
    """A clock that is where the dataset is."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time reached."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """The same in seconds."""
        return self._now_ms / 1000.0

    def move_to(self, now_ms: int) -> None:
        """Let time pass."""
        self._now_ms = now_ms


def load(path: Path) -> MetricsEngine:
    """An engine that holds a dataset: {start, step, series: [{tags, values}]}, all at one step.

    Value i of a series is stamped start + (i + 1) * step; null is no value.
    """
    dataset = json.loads(path.read_text(encoding="utf-8"))
    start_ms, step_ms, series = dataset["start"], dataset["step"], dataset["series"]
    columns = np.array([each["values"] for each in series], dtype=np.float64)
    retention_s = (columns.shape[1] + 60) * step_ms // 1000
    clock = ReplayClock(start_ms)
    settings = MetricsSettings(step_ms=step_ms, retention_s=retention_s, durable=False)
    engine = MetricsEngine(settings, clock)
    handles = np.array([engine.resolve(each["tags"]) for each in series])
    for slot in range(columns.shape[1]):
        stamp_ms = start_ms + (slot + 1) * step_ms
        clock.move_to(stamp_ms)
        engine.write(handles, stamp_ms, columns[:, slot])
    return engine
