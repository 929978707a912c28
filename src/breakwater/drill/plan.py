"""What will be broken in which round: drawn from a seed, never from the clock."""

import random
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from breakwater.drill.errors import UnknownScenarioError

_T = TypeVar("_T")

NO_FAULT: Final = "none"
SURGE: Final = "surge"
FAULTS: Final = ("latency", "errors", "hang", "slow_edge", "cpu_burn", "freeze", "crash")
_ONE_INSTANCE: Final = frozenset({"cpu_burn", "freeze", "crash"})

EDGES: Final = (
    ("gateway", "account"),
    ("gateway", "catalogue"),
    ("gateway", "personalization"),
    ("gateway", "playback"),
    ("personalization", "features"),
    ("personalization", "ranker"),
    ("playback", "manifest"),
    ("playback", "licence"),
    ("playback", "steering"),
    ("playback", "session"),
)
"""Edges of the reference fleet that a slow network may be played on."""

SERVICES: Final = (
    "gateway",
    "account",
    "catalogue",
    "personalization",
    "features",
    "ranker",
    "playback",
    "manifest",
    "licence",
    "steering",
    "session",
)
"""Services of the reference fleet that may be broken; all have an instance in either zone."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to play: a fault with its target, `none`, or a `surge` of traffic.

    target: the service that must be named, None when nobody must be. edge: caller->callee of a
    slow edge. instance: the one copy that is broken. settings: fields of the fault request.
    """

    fault: str
    target: str | None = None
    instance: str | None = None
    edge: str | None = None
    settings: dict[str, float | int | str] = {}

    @property
    def is_broken(self) -> bool:
        """Whether somebody has to be named."""
        return self.target is not None

    def describe(self) -> str:
        """The scenario in words."""
        if not self.is_broken:
            return "no fault" if self.fault == NO_FAULT else "a surge of traffic, no fault"
        where = self.edge or self.instance or self.target
        return f"{self.fault.replace('_', ' ')} at {where}"


def scenario_for(fault: str | None, target: str | None, seed: int) -> Scenario:
    """The scenario for a fault and a target, each drawn from `seed` where it is None.

    Raises UnknownScenarioError naming what exists. A slow edge is named by its callee, or by
    `caller->callee`.
    """
    rng = random.Random(f"scenario {seed}")  # noqa: S311 - a drill is replayed, not guarded
    if fault is None:
        fault = rng.choice(FAULTS)
    if fault not in (*FAULTS, NO_FAULT, SURGE):
        raise UnknownScenarioError(
            f"fault '{fault}' is unknown; known: {', '.join((*FAULTS, NO_FAULT, SURGE))}"
        )
    if fault in {NO_FAULT, SURGE}:
        return Scenario(fault=fault)
    if fault == "slow_edge":
        return _slow_edge(target, rng)
    service = target or rng.choice(SERVICES)
    if service not in SERVICES:
        raise UnknownScenarioError(f"target '{service}' is unknown; known: {', '.join(SERVICES)}")
    return Scenario(
        fault=fault,
        target=service,
        instance=f"{service}-{rng.choice('ab')}-1" if fault in _ONE_INSTANCE else None,
        settings=_settings(fault, rng),
    )


def draw_scenarios(rounds: int, seed: int) -> list[Scenario]:
    """Scenarios for `rounds` rounds: every sixth is quiet, and every kind of fault comes in turn.

    In a run of twelve or more at least one round is a surge. The targets of one kind do not
    repeat before all were drawn.
    """
    rng = random.Random(f"drill {seed}")  # noqa: S311 - a drill is replayed, not guarded
    kinds = _cycle(FAULTS, rng)
    names = dict.fromkeys(FAULTS, SERVICES) | {"slow_edge": ["->".join(e) for e in EDGES]}
    targets = {kind: _cycle(names[kind], rng) for kind in FAULTS}
    quiet = _cycle((NO_FAULT, SURGE), rng)
    drawn = []
    for number in range(rounds):
        if number % 6 == 4:
            drawn.append(Scenario(fault=next(quiet)))
            continue
        kind = next(kinds)
        drawn.append(scenario_for(kind, next(targets[kind]), rng.randrange(1 << 30)))
    return drawn


def _cycle(items: Sequence[_T], rng: random.Random) -> Iterator[_T]:
    while True:
        order = list(items)
        rng.shuffle(order)
        yield from order


def _slow_edge(target: str | None, rng: random.Random) -> Scenario:
    fitting = [edge for edge in EDGES if target is None or target in {edge[1], "->".join(edge)}]
    if not fitting:
        known = ", ".join("->".join(edge) for edge in EDGES)
        raise UnknownScenarioError(f"no edge '{target}' to slow down; known: {known}")
    caller, callee = rng.choice(fitting)
    return Scenario(
        fault="slow_edge",
        target=callee,
        edge=f"{caller}->{callee}",
        settings={**_settings("slow_edge", rng), "caller": caller},
    )


def _settings(fault: str, rng: random.Random) -> dict[str, float | int | str]:
    if fault in {"latency", "slow_edge"}:
        delay = rng.choice((150, 200, 250, 300))
        return {"delay_ms": delay, "jitter_ms": delay // 5, "percent": 100}
    if fault == "errors":
        return {"percent": rng.choice((30, 50, 70)), "status": rng.choice((500, 503))}
    if fault == "hang":
        return {"percent": rng.choice((30, 50, 70))}
    return {"threads": 6} if fault == "cpu_burn" else {}
