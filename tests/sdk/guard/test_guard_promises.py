"""What the guard is for, shown whole: queues, hangs, retries, slow tails, capacity that changes.

The experiments are those of the benchmarks, smaller, in virtual time and with fixed seeds: nothing
here depends on how fast the machine is.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.adaptive_limits import GOAL_PERCENT, adaptive_run, best_fixed, rows_of
from benchmarks.resilience import POLICIES, chain_run, hedged
from benchmarks.simulated_server import Model, Step
from tests.sdk.guard.commanding import NO_WAIT, in_threads

from breakwater.sdk import AttemptTimedOutError, CallRefusedError
from breakwater.sdk.guard import (
    AdaptiveConfig,
    BreakerConfig,
    BulkheadConfig,
    CommandConfig,
    Guards,
    HedgeConfig,
    RateConfig,
    StaleConfig,
    ThrottleConfig,
)
from breakwater.testing import FakeClock, run_virtual

CALLERS = 20
ROOMY = BulkheadConfig(max_concurrent=CALLERS)
PARTS = {
    "nothing but a breaker": CommandConfig(bulkhead=None),
    "breaker and bulkhead": CommandConfig(bulkhead=ROOMY),
    "limits of time": CommandConfig(timeout_s=60.0, total_s=90.0, bulkhead=ROOMY),
    "retries": CommandConfig(retry=NO_WAIT, bulkhead=ROOMY),
    "an adaptive limit": CommandConfig(
        bulkhead=None, adaptive=AdaptiveConfig(initial=CALLERS, minimum=CALLERS)
    ),
    "a rate": CommandConfig(rate=RateConfig(calls=CALLERS, per_s=60.0), bulkhead=ROOMY),
    "a throttle": CommandConfig(throttle=ThrottleConfig(), bulkhead=ROOMY),
    "last good answers": CommandConfig(stale=StaleConfig(max_stale_s=60.0), bulkhead=ROOMY),
}


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("form", ["decorated", "called", "entered"])
def test_no_part_makes_threads_wait_for_each_other(parts: str, form: str) -> None:
    """Twenty threads are in the dependency at once; one lock around it, and nobody would leave."""
    command = Guards().command("rank", PARTS[parts])
    all_inside = threading.Barrier(CALLERS)

    def dependency(caller: int) -> int:
        all_inside.wait(10.0)
        return caller

    def by_block(caller: int) -> int:
        with command.entered():
            return dependency(caller)

    forms: dict[str, Callable[[int], int]] = {
        "decorated": command(dependency),
        "called": lambda caller: command.call_sync(dependency, caller),
        "entered": by_block,
    }
    numbers, done = iter(range(CALLERS)), list[int]()
    in_threads(CALLERS, lambda: done.append(forms[form](next(numbers))))
    assert sorted(done) == list(range(CALLERS))
    assert command.stats().in_flight == 0


@pytest.mark.parametrize("breaker", [None, BreakerConfig()])
def test_callers_of_a_dependency_that_hangs_end_at_the_limit(
    clock: FakeClock, breaker: BreakerConfig | None
) -> None:
    """None of 200 waits longer than its 100 ms, and another command's calls take what they take."""
    guards = Guards(clock=clock)
    limited = CommandConfig(timeout_s=0.1, breaker=breaker, bulkhead=None)
    hanging, healthy = guards.command("hanging", limited), guards.command("healthy", limited)
    waited_s: list[float] = []
    healthy_s: list[float] = []

    async def stuck() -> None:
        start_s = clock.monotonic_s()
        with contextlib.suppress(AttemptTimedOutError, CallRefusedError):
            await hanging.call(asyncio.sleep, 30.0)
        waited_s.append(clock.monotonic_s() - start_s)

    async def at_ease() -> None:
        start_s = clock.monotonic_s()
        await healthy.call(asyncio.sleep, 0.02)
        healthy_s.append(clock.monotonic_s() - start_s)

    async def arrivals() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(stuck())
                group.create_task(at_ease())
                await asyncio.sleep(0.005)

    run_virtual(arrivals(), clock)
    assert len(waited_s) == len(healthy_s) == 200
    assert max(waited_s) == pytest.approx(0.1)
    assert max(healthy_s) == pytest.approx(0.02)
    assert healthy.figures().error_percent == 0
    refused = hanging.stats().calls["short_circuited"]
    assert (refused > 150) is (breaker is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [
        ("naive: every layer, no budget", 20.0, 27.0),
        ("one layer, no budget", 2.9, 3.0),
        ("ours: one layer, gRPC budget", 1.0, 1.1),
        ("ours, AWS budget", 1.0, 1.1),
        ("ours, gRPC budget and breaker", 0.0, 1.0),
    ],
)
def test_three_layers_of_retries_hardly_load_a_dead_service(
    policy: str, least: float, most: float
) -> None:
    """At most 1.1 calls reach it for each of a client's, over real headers; the naive send 27."""
    assert least <= chain_run(POLICIES[policy]).amplification <= most


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hedging_cuts_a_slow_tail_for_few_more_calls(seed: int) -> None:
    """One call in 80 takes 50 times as long: p99 falls to a fifth at most, for 5 % more calls."""
    calls, p99_s, reached = 4_000, {}, {}
    for name, config in (("plain", None), ("hedged", HedgeConfig())):
        clock = FakeClock()
        run = run_virtual(hedged(config, clock, calls=calls, seed=seed), clock)
        p99_s[name], reached[name] = float(np.percentile(run.seconds, 99)), run.reached
    assert reached["plain"] == calls
    assert p99_s["hedged"] <= p99_s["plain"] / 5.0
    assert calls < reached["hedged"] <= 1.05 * calls


@pytest.mark.slow
def test_an_adaptive_limit_follows_capacity() -> None:
    """Settled, it brings 95 % of the best fixed limit's goodput at each step, 90 with any seed."""
    steps = [
        Step(seconds=30.0, workers=workers, service_s=0.05, rate=500.0)
        for workers in (10, 4, 20, 6)
    ]
    model = Model(name="steps", steps=steps, timeout_s=0.4)
    bests = [best_fixed(model, step) for step in steps]
    runs = [adaptive_run(model, "guarded", seed) for seed in (1, 2, 3)]
    rows = list(rows_of(model, "guarded", bests, runs))
    assert min(row.percent for row in rows) >= GOAL_PERCENT, rows
    assert min(row.worst_percent for row in rows) >= 90.0, rows
