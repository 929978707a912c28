"""How fast this machine is, by what the listed figures were measured beside on theirs.

Absolute targets were written on one machine; these few figures of the same kind of work, taken in
the same run, say how much of a difference is the machine's. Each is the best of several repeats on
one core.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet_data import tags

POINTS: Final = 36_000_000
_METRICS: Final = 10_000
_LONGEST_VALUE: Final = 4
_CALLS: Final = 300_000
_REPEATS: Final = 9


class MachineFigure(NamedTuple):
    """What was found here, and where the targets were written; `slower` is above 1 when it is."""

    name: str
    value: float
    listed: float | None
    slower: float | None


class _Metric(msgspec.Struct):
    tags: dict[str, str]
    timestamp: int
    value: float


class _Payload(msgspec.Struct):
    metrics: list[_Metric]


def machine_figures() -> list[MachineFigure]:
    """Some seconds of work: memory and arithmetic, building objects, and the interpreter."""
    sum_ms = 1000 * _nan_sum_s()
    decoded = _METRICS / _decode_s()
    return [
        MachineFigure("numba NaN-sum of 36 M float64, ms", sum_ms, 14.3, sum_ms / 14.3),
        MachineFigure("msgspec decode of publish, metrics/s", decoded, 1.36e6, 1.36e6 / decoded),
        MachineFigure("a bare Python call, ns", 1e9 * _call_s(), None, None),
    ]


def _best_s(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times)


@numba.njit(nogil=True, fastmath={"reassoc", "nsz"})
def _nan_sum(values: NDArray[np.float64]) -> float:
    total = 0.0
    for value in values:
        total += 0.0 if np.isnan(value) else value
    return total


def _nan_sum_s() -> float:
    values = np.ones(POINTS)
    assert _nan_sum(values[:8]) == 8.0
    return _best_s(lambda: _nan_sum(values))


def _decode_s() -> float:
    """A payload of eight tags and 172 bytes a metric."""
    metrics = []
    for series in range(_METRICS):
        short = {
            key.removeprefix("nf."): value[-_LONGEST_VALUE:] for key, value in tags(series).items()
        }
        metrics.append(_Metric(short, 1_700_000_000_000, 123.45))
    body = msgspec.json.encode(_Payload(metrics))
    decoder = msgspec.json.Decoder(_Payload)
    return _best_s(lambda: decoder.decode(body))


def _call_s() -> float:
    """A call of a function that does nothing, beside a loop that calls nothing."""

    def nothing() -> None:
        pass

    def calling() -> None:
        for _ in range(_CALLS):
            nothing()

    def looping() -> None:
        for _ in range(_CALLS):
            pass

    return (_best_s(calling) - _best_s(looping)) / _CALLS
