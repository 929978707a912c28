"""A resolver over a fixed list, and a small world to call in pretended time."""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random

import msgspec

from breakwater.model import Clock, Instance
from breakwater.sdk.discovery import BalancerConfig, Evidence, Pick, RegistryView, Resolver
from breakwater.testing import FakeClock

SERVICE = "prices"


def instance(number: int, zone: str = "a", **given: object) -> Instance:
    """Instance prices-<number>."""
    made = {
        "service": SERVICE,
        "instance_id": f"prices-{number}",
        "host": "127.0.0.1",
        "zone": zone,
    }
    return msgspec.convert({**made, "port": 10_000 + number, **given}, Instance)


def instances(count: int, zones: Sequence[str] = ("a",)) -> list[Instance]:
    """So many, zone by zone in turn."""
    return [instance(n, zones[n % len(zones)]) for n in range(count)]


def resolver_of(
    known: Sequence[Instance],
    clock: Clock,
    *,
    zone: str = "a",
    seed: int = 1,
    caller: str = "gateway-1",
    **config: object,
) -> Resolver:
    """A resolver that knows these from the first view on."""
    made = Resolver(
        RegistryView((), clock=clock, random=Random(seed)),
        zone,
        clock=clock,
        random=Random(seed),
        caller=caller,
        balancing=BalancerConfig(**config),  # type: ignore[arg-type] # by name, as a test gives them
    )
    made.pin(SERVICE, known)
    return made


def picked(resolver: Resolver, exclude: Sequence[str] = (), sticky: str | None = None) -> Pick:
    """A pick that must not fail."""
    pick = resolver.pick(SERVICE, exclude, sticky)
    assert pick is not None, resolver.explain(SERVICE)
    return pick


def spread(resolver: Resolver, count: int, **given: object) -> Counter[str]:
    """Where so many calls go that end well at once."""
    found: Counter[str] = Counter()
    for _ in range(count):
        pick = picked(resolver, **given)  # type: ignore[arg-type] # as `picked` takes them
        found[pick.instance.instance_id] += 1
        pick.settle(Evidence.SUCCESS)
    return found


def fail(resolver: Resolver, name: str, evidence: Evidence, times: int = 1) -> None:
    """So many calls of this very instance end so."""
    for _ in range(times):
        resolver.note(SERVICE, name, evidence)


class World:
    """Calls that take time, in the order of a pretended clock.

    answer: says for an instance and the number of the call how long it takes and how it ends.
    """

    def __init__(
        self,
        resolver: Resolver,
        clock: FakeClock,
        answer: Callable[[str], tuple[float, Evidence]],
    ) -> None:
        self.resolver = resolver
        self.clock = clock
        self.answer = answer
        self.began_s = clock.monotonic_s()
        self.calls: list[tuple[float, str, bool, Evidence]] = []
        """When each call began, where it went, whether as a trial, how it will end."""
        self.nobody = 0
        self._under_way: list[tuple[float, int, Pick, Evidence]] = []

    @property
    def now_s(self) -> float:
        """Since the beginning."""
        return self.clock.monotonic_s() - self.began_s

    def run(self, rate: float, seconds: float) -> None:
        """Evenly spaced calls, so many a second, until then."""
        ends_s, gap_s = self.now_s + seconds, 1 / rate
        while self.now_s < ends_s:
            self.call()
            self.settle_until(self.now_s + gap_s)

    def call(self) -> None:
        """One call begins."""
        pick = self.resolver.pick(SERVICE)
        if pick is None:
            self.nobody += 1
            return
        took_s, evidence = self.answer(pick.instance.instance_id)
        self.calls.append((self.now_s, pick.instance.instance_id, pick.is_trial, evidence))
        heappush(self._under_way, (self.now_s + took_s, len(self.calls), pick, evidence))

    def settle_until(self, at_s: float) -> None:
        """Let the calls end that do by then."""
        while self._under_way and self._under_way[0][0] <= at_s:
            end_s, _, pick, evidence = heappop(self._under_way)
            self.clock.advance(max(0.0, end_s - self.now_s))
            pick.settle(evidence)
        self.clock.advance(at_s - self.now_s)

    def to(self, name: str, *, after_s: float = 0.0, trials: bool = False) -> int:
        """How many calls went there since then, on trial or not."""
        return sum(
            at_s >= after_s and where == name and is_trial == trials
            for at_s, where, is_trial, _ in self.calls
        )
