"""How a drill went, counted the strict way: a service named in a quiet round is a false naming."""

import statistics
from collections.abc import Sequence

import msgspec

from breakwater.drill.plan import Scenario


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One played round.

    ranked: services from most to least suspected when one was named, or at the deadline; empty
    when nobody was suspected. seconds: from fault to name, None when nobody was named. named: the
    service the watcher committed to. The `*_right` fields are None where nothing can be right.
    """

    fault: str
    target: str | None
    ranked: list[str]
    seconds: float | None
    named: str | None = None
    verdict: str = ""
    instance: str | None = None
    edge: str | None = None
    kind_named: str | None = None
    instance_named: str | None = None
    edge_named: str | None = None
    kind_right: bool | None = None
    instance_right: bool | None = None
    edge_right: bool | None = None
    page_seconds: float | None = None
    settings: dict[str, float | int | str] = {}


class DrillScore(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds; top1 and top3 are shares of the rounds with a fault.

    A fault round counts for top1 only if the culprit was also named, not merely ranked first.
    """

    rounds: list[Round]
    top1: float
    top3: float
    false_namings: int
    median_s: float | None
    kind_right: float
    instance_right: float
    edge_right: float
    seed: int = 0


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """What the watcher committed itself to, and how long after the fault, in seconds."""

    service: str
    seconds: float
    kind: str | None = None
    instance: str | None = None
    edge: str | None = None


def played(
    scenario: Scenario,
    *,
    ranked: list[str],
    naming: Naming | None,
    verdict: str,
    page_seconds: float | None = None,
) -> Round:
    """The record of one round, with what was right about the name."""
    said = naming or Naming(service="", seconds=0.0)
    hit = naming is not None and said.service == scenario.target
    return Round(
        fault=scenario.fault,
        target=scenario.target,
        ranked=ranked,
        seconds=round(said.seconds, 3) if naming else None,
        named=said.service if naming else None,
        verdict=verdict,
        instance=scenario.instance,
        edge=scenario.edge,
        kind_named=said.kind,
        instance_named=said.instance,
        edge_named=said.edge,
        kind_right=(hit and said.kind == scenario.fault) if scenario.is_broken else None,
        instance_right=(hit and said.instance == scenario.instance) if scenario.instance else None,
        edge_right=(hit and said.edge == scenario.edge) if scenario.edge else None,
        page_seconds=page_seconds,
        settings=dict(scenario.settings),
    )


def score_rounds(rounds: Sequence[Round], seed: int) -> DrillScore:
    """Top-1, top-3, false namings and the median time to a name over all rounds."""
    broken = [entry for entry in rounds if entry.target is not None]
    times = [entry.seconds for entry in broken if entry.seconds is not None]
    return DrillScore(
        rounds=list(rounds),
        top1=_share([entry.named == entry.target for entry in broken]),
        top3=_share([entry.target in entry.ranked[:3] for entry in broken]),
        false_namings=sum(entry.named is not None for entry in rounds if entry.target is None),
        median_s=round(statistics.median(times), 1) if times else None,
        kind_right=_share([bool(entry.kind_right) for entry in broken]),
        instance_right=_share(
            [entry.instance_right for entry in broken if entry.instance_right is not None]
        ),
        edge_right=_share([entry.edge_right for entry in broken if entry.edge_right is not None]),
        seed=seed,
    )


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0
