"""Updates at any time made datapoints on a step grid, as Netflix Atlas and RRDtool do it.

Each kind of meter has its own way; all take updates one by one and give the datapoints that are
known from then on as (stamp, value), where a later value of a stamp replaces an earlier one. A
stamp is the end of its step. Pure state: no clock, no input or output. Source of the arithmetic:
Atlas' `NormalizationCache` and the functions it is made of.
"""

import math
from collections.abc import Callable
from typing import Final, Protocol

Datapoints = list[tuple[int, float]]

_SHORT_STEP_MS: Final = 60_000
_SHORT_HEARTBEAT_MS: Final = 120_000


def counter_heartbeat_ms(step_ms: int) -> int:
    """How long after a total the next one may come: two steps, or two minutes of short steps."""
    return _SHORT_HEARTBEAT_MS if step_ms < _SHORT_STEP_MS else 2 * step_ms


class Normalizer(Protocol):
    """What each kind of meter offers."""

    def update(self, timestamp_ms: int, value: float) -> Datapoints:
        """Take an update; returns the datapoints it settles, with stamps on the grid."""


class RateNormalizer:
    """Rates: a step that several updates reach into is their mean, weighted by time.

    The value of an update holds since the update before it. After a pause longer than the
    heartbeat, and at first, it holds since the step began in which it came, and fills up the
    step before with its share of it.
    """

    __slots__ = ("_heartbeat_ms", "_last_ms", "_step_ms", "_sum")

    def __init__(self, step_ms: int, heartbeat_ms: int | None = None) -> None:
        self._step_ms = step_ms
        self._heartbeat_ms = step_ms if heartbeat_ms is None else heartbeat_ms
        self._last_ms: int | None = None
        self._sum = 0.0

    def update(self, timestamp_ms: int, value: float) -> Datapoints:
        """Take the rate that held until `timestamp_ms`; what does not move on is passed over."""
        last_ms = self._last_ms
        if last_ms is not None and timestamp_ms <= last_ms:
            return []
        if last_ms is not None and timestamp_ms - last_ms > self._heartbeat_ms:
            last_ms, self._sum = None, 0.0
        into_ms = timestamp_ms % self._step_ms
        boundary_ms = timestamp_ms - into_ms
        self._last_ms = timestamp_ms
        if last_ms is not None and last_ms >= boundary_ms:
            self._sum += self._share(timestamp_ms - last_ms, value)
            return []
        settled = self._settled(last_ms, boundary_ms, into_ms, value)
        self._sum = self._share(into_ms, value)
        return settled

    def _settled(
        self, last_ms: int | None, boundary_ms: int, into_ms: int, value: float
    ) -> Datapoints:
        """The steps that ended since the update before."""
        step_ms = self._step_ms
        if last_ms is None:
            return [(boundary_ms, self._share(step_ms - into_ms, value) if into_ms else value)]
        last_into_ms = last_ms % step_ms
        end_ms = last_ms - last_into_ms + step_ms
        first = (end_ms, self._sum + self._share(step_ms - last_into_ms, value))
        whole = range(end_ms + step_ms, boundary_ms + 1, step_ms)
        return [first, *((stamp_ms, value) for stamp_ms in whole)]

    def _share(self, length_ms: int, value: float) -> float:
        return value * (length_ms / self._step_ms)


class CounterNormalizer:
    """Totals that only grow: their growth a second, then as a rate; a total that fell counts 0.

    An update may be missing for two steps, or two minutes where steps are shorter than one.
    """

    __slots__ = ("_last_ms", "_rate", "_total")

    def __init__(self, step_ms: int) -> None:
        self._rate = RateNormalizer(step_ms, counter_heartbeat_ms(step_ms))
        self._last_ms: int | None = None
        self._total = 0.0

    def update(self, timestamp_ms: int, value: float) -> Datapoints:
        """Take the total at `timestamp_ms`; the first one settles nothing."""
        last_ms, growth = self._last_ms, value - self._total
        self._last_ms, self._total = timestamp_ms, value
        if last_ms is None:
            return []
        seconds = (timestamp_ms - last_ms) / 1000.0
        rate = growth / seconds if seconds > 0 and growth > 0 else 0.0
        return self._rate.update(timestamp_ms, rate)


class StepNormalizer:
    """Updates of one step folded into one value; the step before the newest still takes some."""

    __slots__ = ("_fold", "_newest", "_step_ms", "_values")

    def __init__(self, step_ms: int, fold: Callable[[float, float], float]) -> None:
        self._step_ms = step_ms
        self._fold = fold
        self._newest: int | None = None
        self._values = [math.nan, math.nan]

    def update(self, timestamp_ms: int, value: float) -> Datapoints:
        """Take an update; one that is older than the last two steps is passed over."""
        step = -(-timestamp_ms // self._step_ms)
        place = step % 2
        if self._newest is None or step > self._newest:
            if self._newest is not None and step > self._newest + 1:
                self._values[1 - place] = math.nan
            self._newest = step
            self._values[place] = value
        elif step >= self._newest - 1:
            self._values[place] = self._fold(self._values[place], value)
        else:
            return []
        kept = self._values[place]
        return [] if math.isnan(kept) else [(step * self._step_ms, kept)]


def _greatest(known: float, value: float) -> float:
    return known if math.isnan(value) or known > value else value


def _added(known: float, value: float) -> float:
    if math.isnan(known):
        return value
    return known if math.isnan(value) else known + value


def gauge_normalizer(step_ms: int) -> StepNormalizer:
    """Gauges: the greatest of the updates in a step."""
    return StepNormalizer(step_ms, _greatest)


def sum_normalizer(step_ms: int) -> StepNormalizer:
    """Sums: all updates of a step added up."""
    return StepNormalizer(step_ms, _added)


NORMALIZERS: Final[dict[str, Callable[[int], Normalizer]]] = {
    "rate": RateNormalizer,
    "counter": CounterNormalizer,
    "gauge": gauge_normalizer,
    "sum": sum_normalizer,
}
"""How to make the normalizer of a kind of meter, by the value of the tag `atlas.dstype`."""
