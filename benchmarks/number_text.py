"""What a table of numbers costs as JSON text, beside msgspec on the same numbers.

180,000 numbers, a graph of 1000 lines and 180 points. Best of several repeats in nanoseconds a
number; `ratio` is to making Python floats of them and letting msgspec write those.
"""

import time
from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.text.numbers import table_text, warm_up

Row = tuple[str, float, str, float]

REPEATS = 15
SEED = 7
SHAPE = (1000, 180)


def rows() -> list[Row]:
    """(name, value, unit, ratio) for each kind of number; takes about a second."""
    warm_up()
    rng = np.random.default_rng(SEED)
    kinds = {
        "whole numbers": rng.integers(0, 100_000, SHAPE).astype(np.float64),
        "two decimals": np.round(100 * rng.random(SHAPE), 2),
        "counts per minute, in seconds": rng.integers(0, 100_000, SHAPE) / 60,
        "random doubles": rng.random(SHAPE),
    }
    found = []
    for name, values in kinds.items():
        ours = _best_ns(partial(table_text, values, by_column=True), values)
        plain = _best_ns(partial(_by_msgspec, values), values)
        found.append((f"JSON text of {name}", round(ours, 1), "ns a number", ours / plain))
    return found


def _by_msgspec(values: NDArray[np.float64]) -> bytes:
    return msgspec.json.encode(np.ascontiguousarray(values.T).tolist())


def _best_ns(work: Callable[[], bytes], values: NDArray[np.float64]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) / values.size * 1e9
