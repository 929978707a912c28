"""When did it begin: the most likely moment of one lasting change, with an interval.

For every possible moment the likelihood of "one level before, another after" is compared with
"one level throughout". The best moment is the onset; the moments whose likelihood is within the
95 % profile of the best are its interval. All moments are tried at once by cumulative sums, O(T).
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_PROFILE_95: Final = 3.84
"""The 95 % point of chi-square with one degree of freedom."""


class Onset(msgspec.Struct, frozen=True, kw_only=True):
    """A lasting change of one series: step indices into it, and the levels on both sides.

    The change lies between steps `low` and `high` (95 %), best at `index`: steps from `index` on
    are after it. `llr` is twice the log likelihood ratio. Levels are rates, shares or seconds,
    whatever the series was.
    """

    index: int
    low: int
    high: int
    llr: float
    before: float
    after: float


def poisson_onset(counts: Array, *, margin: int = 3) -> Onset | None:
    """Onset of a change of rate in counts per step [T], or None when T < 2 margin.

    The variance may exceed the mean (people come in groups): the ratio is divided by the
    dispersion of neighbouring steps, so that lumpy traffic does not look like news.
    """
    steps = len(counts)
    if steps < 2 * margin:
        return None
    n1, n2 = _split(np.ones(steps))
    k1, k2 = _split(counts)
    llr = 2 * (_xlogy(k1, k1 / n1) + _xlogy(k2, k2 / n2))
    llr -= 2 * _xlogy(counts.sum(), counts.mean())
    mean = max(float(counts.mean()), 1e-9)
    dispersion = float(np.mean(np.diff(counts) ** 2)) / (2 * mean)
    return _best(llr / max(dispersion, 1.0), k1 / n1, k2 / n2, margin)


def binomial_onset(bad: Array, total: Array, *, margin: int = 3) -> Onset | None:
    """Onset of a change in the share of bad calls; `bad` and `total` are counts per step [T]."""
    if len(bad) < 2 * margin or total.sum() <= 0:
        return None
    b1, b2 = _split(np.minimum(bad, total))
    n1, n2 = _split(total)
    everything = _log_binomial(np.array([min(bad.sum(), total.sum())]), np.array([total.sum()]))
    llr = 2 * (_log_binomial(b1, n1) + _log_binomial(b2, n2) - everything)
    return _best(llr, b1 / np.maximum(n1, 1e-9), b2 / np.maximum(n2, 1e-9), margin)


def latency_onset(time_s: Array, calls: Array, *, margin: int = 3) -> Onset | None:
    """Onset of a change of mean latency; request-seconds and calls per step [T].

    Works on the logarithm of the per-step mean, clipped at four robust deviations around the
    median of either side, so that one slow request is not a change. Steps without calls carry no
    weight. Levels are returned in seconds, weighted by calls.
    """
    steps = len(calls)
    busy = calls > 0
    if steps < 2 * margin or busy.sum() < 2 * margin:
        return None
    value = np.log(
        np.maximum(time_s, 1e-6) / np.maximum(calls, 1e-9), where=busy, out=np.zeros(steps)
    )
    scale = _step_noise(value[busy])
    value = np.where(busy, value, 0.0)
    centre = float(np.median(value[busy]))
    span = max(4 * scale, float(np.quantile(np.abs(value[busy] - centre), 0.9)))
    value = np.where(busy, np.clip(value, centre - span, centre + span), 0.0)
    weight = busy.astype(float)
    n1, n2 = _split(weight)
    s1, s2 = _split(value)
    mean = float(value.sum() / weight.sum())
    llr = (
        n1 * (s1 / np.maximum(n1, 1e-9) - mean) ** 2 + n2 * (s2 / np.maximum(n2, 1e-9) - mean) ** 2
    ) / scale**2
    t1, t2 = _split(time_s)
    c1, c2 = _split(calls)
    return _best(llr, t1 / np.maximum(c1, 1e-9), t2 / np.maximum(c2, 1e-9), margin)


def is_significant(onset: Onset, steps: int, *, allowance: float = 20.0) -> bool:
    """Whether the ratio beats what trying `steps` moments yields by chance, with an allowance."""
    return onset.llr > 2 * float(np.log(max(steps, 2))) + allowance


def _split(series: Array) -> tuple[Array, Array]:
    """Sums before and from each moment 1..T-1, both [T-1]."""
    sums = np.cumsum(series)
    before = sums[:-1].astype(np.float64)
    return before, sums[-1] - before


def _best(llr: Array, before: Array, after: Array, margin: int) -> Onset | None:
    inside = llr[margin - 1 : len(llr) - margin + 1]
    if len(inside) == 0 or not np.isfinite(inside).any():
        return None
    at = int(np.nanargmax(inside)) + margin - 1
    near = np.flatnonzero(llr > llr[at] - _PROFILE_95)
    low, high = at, at
    while low - 1 in near:
        low -= 1
    while high + 1 in near:
        high += 1
    return Onset(
        index=at + 1,
        low=low + 1,
        high=high + 1,
        llr=float(llr[at]),
        before=float(before[at]),
        after=float(after[at]),
    )


def _step_noise(value: Array) -> float:
    """Robust deviation of one step, from differences of neighbours: blind to a level shift."""
    jumps = np.abs(np.diff(value))
    return max(float(np.median(jumps)) / (0.6745 * 2**0.5), 0.05)


def _xlogy(x: Array | float, y: Array | float) -> Array:
    return np.asarray(np.where(np.asarray(x) > 0, x * np.log(np.maximum(y, 1e-300)), 0.0))


def _log_binomial(k: Array, n: Array) -> Array:
    share = np.clip(k / np.maximum(n, 1e-9), 1e-9, 1 - 1e-9)
    return np.asarray(k * np.log(share) + (n - k) * np.log1p(-share))
