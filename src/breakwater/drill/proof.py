"""What is proven: that a dependency can be gone and people still get their streams. Pure.

A dependency *holds* when, from the moment it is broken until it is repaired, the seconds in which
its callers find out included:

- of those who came to watch, as many got a stream as before, to one percent (`stream.wanted` by
  result: people come by chance, so the plain rate of `stream.starts` would need hours to be known
  to one percent);
- as many edge requests as before, to one percent, were answered well;
- stream starts per second are not lower than before by more than chance allows (three standard
  errors of a Poisson process), so that nobody is merely kept waiting.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Final

import msgspec

GOAL_PERCENT: Final = 99.0
CHANCE: Final = 3.0
"""Standard errors that a rate may be below the one before."""

MASKED: Final = ("personalization", "ranker", "features", "catalogue", "manifest", "steering")
"""Dependencies of the reference fleet whose every call on the way to a stream has a fallback."""

FAULTS: Final[Mapping[str, tuple[str, Mapping[str, float | int | bool]]]] = {
    "hang": ("hang", {"percent": 100}),
    "errors": ("errors", {"percent": 100, "status": 500}),
    "delay": ("latency", {"percent": 100, "delay_ms": 3000}),
    "crash": ("crash", {"all_instances": True}),
}
"""By name: the kind of fault, and what makes it hit every instance and every request."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What users and guards went through in one stretch of time; rates are per second.

    sps: stream starts. wanted: people who came to watch, served: those of them who got a stream,
    both by the end of their attempt. edge_percent: edge requests answered well. fallbacks,
    short_circuited: of calls to the dependency.
    """

    seconds: float
    sps: float
    wanted: float
    served: float
    edge_percent: float
    fallbacks: float = 0.0
    short_circuited: float = 0.0

    @property
    def served_percent(self) -> float:
        """Of those who came to watch, how many got a stream."""
        return 100.0 * self.served / self.wanted if self.wanted else 0.0


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what there was before was there while the dependency was down.

    starts_percent: streams for those who wanted one; edge_percent: edge requests answered well;
    both as a share of before. lowest_sps: what chance alone could make of the rate before.
    """

    starts_percent: float
    edge_percent: float
    lowest_sps: float
    holds: bool


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One run second by second, from `before_s` before the fault on; start_ms: where it begins."""

    start_ms: int
    before_s: int
    down_s: int
    sps: list[float]
    fallbacks: list[float]
    short_circuited: list[float]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One outage: what was measured before and while the dependency was down.

    named: whom the platform's watcher named meanwhile, None for nobody.
    """

    before: Reading
    down: Reading
    holding: Holding
    curve: Curve
    named: str | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One dependency: with its fallbacks, and for contrast without, if that was played."""

    target: str
    fault: str
    kept: Run
    bare: Run | None = None

    @property
    def holds(self) -> bool:
        """Whether the fallbacks kept the streams coming."""
        return self.kept.holding.holds


def judge(before: Reading, down: Reading) -> Holding:
    """Whether it holds by the rules at the head of this module."""
    starts = _share(down.served_percent, before.served_percent)
    edge = _share(down.edge_percent, before.edge_percent)
    # Rates of Poisson counts: variance of a rate = rate / seconds.
    error = sqrt(before.sps * (1.0 / max(before.seconds, 1.0) + 1.0 / max(down.seconds, 1.0)))
    lowest = max(0.0, before.sps - CHANCE * error)
    good = starts >= GOAL_PERCENT and edge >= GOAL_PERCENT and down.sps >= lowest
    return Holding(
        starts_percent=round(starts, 2),
        edge_percent=round(edge, 2),
        lowest_sps=round(lowest, 2),
        holds=good and before.sps > 0,
    )


def _share(down: float, before: float) -> float:
    return 100.0 * down / before if before else 0.0


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """The series a run is read from, one value for each second after `start_ms`."""

    start_ms: int
    sps: list[float]
    wanted: list[float]
    served: list[float]
    edge: list[float]
    edge_good: list[float]
    fallbacks: list[float]
    short_circuited: list[float]

    def reading(self, since_s: int, until_s: int) -> Reading:
        """The means of these seconds, counted from the first; `until_s` is left out."""
        part = slice(since_s, until_s)
        asked, good = sum(self.edge[part]), sum(self.edge_good[part])
        seconds = max(1, until_s - since_s)
        return Reading(
            seconds=seconds,
            sps=round(sum(self.sps[part]) / seconds, 3),
            wanted=round(sum(self.wanted[part]) / seconds, 3),
            served=round(sum(self.served[part]) / seconds, 3),
            edge_percent=round(100.0 * good / asked, 3) if asked else 0.0,
            fallbacks=round(sum(self.fallbacks[part]) / seconds, 2),
            short_circuited=round(sum(self.short_circuited[part]) / seconds, 2),
        )


def run_of(track: Track, *, before_s: int, down_s: int, named: str | None = None) -> Run:
    """The run in a track that begins `before_s` before the fault."""
    before = track.reading(0, before_s)
    down = track.reading(before_s, before_s + down_s)
    curve = Curve(
        start_ms=track.start_ms,
        before_s=before_s,
        down_s=down_s,
        sps=track.sps,
        fallbacks=track.fallbacks,
        short_circuited=track.short_circuited,
    )
    return Run(before=before, down=down, holding=judge(before, down), curve=curve, named=named)
