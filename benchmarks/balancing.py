"""What choosing an instance costs: one pick and its settle, for services of every size.

CPU time of this thread, the best of several rounds; `ratio` is to the round robin over a filtered
list that it replaced, which neither counts calls under way nor looks at more than refusals. Rows of
a fleet in trouble keep a tenth of the instances refusing, so that trials and new tables are in it.
"""

import time
from collections.abc import Callable
from random import Random
from typing import Final

from breakwater.model import Instance, SystemClock
from breakwater.sdk.discovery import BalancerConfig, Evidence, RegistryView, Resolver

Row = tuple[str, float, str, float]
SIZES: Final = (2, 20, 1000)
ROUNDS: Final = 7
CALLS: Final = 5_000
SERVICE: Final = "prices"


def rows() -> list[Row]:
    """(name, value, unit, ratio): nanoseconds of a pick and its settle."""
    found: list[Row] = []
    for size in SIZES:
        known = [_instance(n) for n in range(size)]
        old_ns = _best_ns(_round_robin(known))
        found.append((f"round robin of {size}", old_ns, "ns/call", 1.0))
        for name, step in _cases(known).items():
            took_ns = _best_ns(step)
            found.append((f"{name} of {size}", took_ns, "ns/call", took_ns / old_ns))
    return found


def _cases(known: list[Instance]) -> dict[str, Callable[[], None]]:
    weighed = [_instance(n, str(1 + n % 3)) for n in range(len(known))]
    return {
        "less loaded of two": _calls(_resolver(known)),
        "less loaded of two, by weight": _calls(_resolver(weighed)),
        "sticky, 1,000 keys": _sticky_calls(_resolver(known)),
        "less loaded of two, a tenth refuses": _calls(_resolver(known), ill=_ill(known)),
        "less loaded of two, subset of 20": _calls(
            _resolver(known, BalancerConfig(subset_size=20))
        ),
    }


def _instance(number: int, weight: str = "1") -> Instance:
    return Instance(
        service=SERVICE,
        instance_id=f"prices-{number}",
        host="127.0.0.1",
        port=8100,
        zone="ab"[number % 2],
        metadata={"weight": weight},
    )


def _ill(known: list[Instance]) -> frozenset[str]:
    return frozenset(one.instance_id for one in known[: max(1, len(known) // 10)])


def _resolver(known: list[Instance], config: BalancerConfig | None = None) -> Resolver:
    clock, random = SystemClock(), Random(1)
    view = RegistryView((), clock=clock, random=random)
    made = Resolver(view, "a", clock=clock, random=random, caller="gateway-1", balancing=config)
    made.pin(SERVICE, known)
    return made


def _calls(resolver: Resolver, ill: frozenset[str] = frozenset()) -> Callable[[], None]:
    def step() -> None:
        pick = resolver.pick(SERVICE)
        if pick is not None:
            is_ill = pick.instance.instance_id in ill
            pick.settle(Evidence.REFUSED if is_ill else Evidence.SUCCESS)

    return step


def _sticky_calls(resolver: Resolver) -> Callable[[], None]:
    keys, turn = [f"user-{n}" for n in range(1000)], iter(range(10**9))

    def step() -> None:
        pick = resolver.pick(SERVICE, (), keys[next(turn) % 1000])
        if pick is not None:
            pick.settle(Evidence.SUCCESS)

    return step


def _round_robin(known: list[Instance]) -> Callable[[], None]:
    """What was there before: the instances of the own zone that did not refuse take turns."""
    clock, turn, avoid_until_s = SystemClock(), iter(range(10**9)), dict[str, float]()

    def is_good(one: Instance) -> bool:
        until_s = avoid_until_s.get(one.instance_id)
        return until_s is None or until_s <= clock.monotonic_s()

    def step() -> None:
        good = [one for one in known if is_good(one)]
        near = [one for one in good if one.zone == "a"]
        pool = near or good
        _ = pool[next(turn) % len(pool)]

    return step


def _best_ns(step: Callable[[], None]) -> float:
    best = float("inf")
    calls = CALLS
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(calls):
            step()
        best = min(best, (time.thread_time() - started) / calls)
        calls = max(100, min(CALLS, int(0.05 / best)))
    return best * 1e9


if __name__ == "__main__":
    for name, value, unit, ratio in rows():
        print(f"{name:50} {value:10.0f} {unit}  {ratio:6.2f} x")
