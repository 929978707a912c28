"""What a judgement costs: one window of a fleet, and one recorded incident where they are present.

`ratio` compares with copying the same arrays once, the least any method that reads them must do.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.diagnosis.simulation import Fault, simulate

from breakwater.diagnosis import diagnose, rank_recorded
from breakwater.diagnosis.petshop import load_petshop

Row = tuple[str, float, str, float]

_DATASETS = Path(__file__).parents[2] / "shared" / "datasets" / "petshop"


def rows() -> list[Row]:
    """(name, value, unit, ratio): milliseconds per judgement."""
    window = simulate(1, Fault("latency", "ranker", 110), steps=150)
    arrays = [getattr(window, name) for name in window.__struct_fields__]
    copied = _median_ms(lambda: [a.copy() for a in arrays if isinstance(a, np.ndarray)])
    judged = _median_ms(lambda: diagnose(window))
    found = [("diagnosis of one window, 13 edges x 150 steps", judged, "ms", judged / copied)]
    incidents = [
        incident.incident
        for scenario in sorted(_DATASETS.glob("*_traffic"))
        for incident in load_petshop(scenario)
    ]
    if incidents:
        each = _median_ms(lambda: [rank_recorded(one) for one in incidents]) / len(incidents)
        found.append(("diagnosis of one recorded incident (PetShop)", each, "ms", each / copied))
    return found


def _median_ms(work: Callable[[], object], repeats: int = 9) -> float:
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        spent.append((time.process_time() - started) * 1000)
    return statistics.median(spent)
