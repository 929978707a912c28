"""The reference implementation's cases, where the shared folder is at hand, and its dataset."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.language.registry import WORDS
from breakwater.testing import FakeClock

FOLDER = Path(__file__).parents[2].parent / "shared" / "conformance" / "atlas"

Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    """The cases of one file; none when the folder is not there."""
    path = FOLDER / f"{name}_cases.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def uses_only_known_words(program: str) -> bool:
    """Whether every word of a program is declared; `:nope` is the reference's unknown word."""
    words = {part.strip()[1:] for part in program.split(",") if part.strip().startswith(":")}
    return words <= WORDS.keys() | {"nope"}


@cache
def reference_engine() -> MetricsEngine:
    """An engine that holds the dataset the cases were run on: steps of one minute."""
    dataset = json.loads((FOLDER / "dataset.json").read_text(encoding="utf-8"))
    start_ms, step_ms, series = dataset["start"], dataset["step"], dataset["series"]
    clock = FakeClock(start_ms)
    settings = MetricsSettings(step_ms=step_ms, retention_s=12 * 3600, block_slots=60)
    engine = MetricsEngine(settings, clock)
    handles = np.array([engine.resolve(each["tags"]) for each in series])
    columns = np.array([each["values"] for each in series], dtype=np.float64)
    for slot in range(columns.shape[1]):
        clock.advance(step_ms / 1000)
        engine.write(handles, start_ms + (slot + 1) * step_ms, columns[:, slot])
    return engine
