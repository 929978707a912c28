"""What retries and hedges do to a dependency and to its callers, through real commands.

Two experiments, each in virtual time (an asyncio event loop whose clock leaps from timer to timer,
so that the seed decides everything), the second one in real time as well:

* A chain of three services, each with up to three attempts, calls a fourth that fails. Services
  talk through the real headers. Amplification: calls that reach the fourth, per call of a client.
* A dependency of which one call in 80 takes 50 times as long, called with and without hedging.

`python -m benchmarks.resilience [--json FILE] [--pictures FOLDER] [--virtual]`
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from breakwater.model import Clock, SystemClock
from breakwater.render import Chart, Series, Span, line_chart, png
from breakwater.sdk import context
from breakwater.sdk.context import CallContext
from breakwater.sdk.guard import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    HedgeConfig,
    RetryConfig,
)
from breakwater.sdk.guard.retrying.hedge import Hedge
from breakwater.sdk.propagation import read_headers, write_headers
from breakwater.testing import FakeClock, run_virtual

SEED: Final = 7
LAYERS: Final = 3
RATE: Final = 25.0
PHASES: Final = ((30.0, 0.02), (60.0, 1.0), (30.0, 0.02))
"""(seconds, share of calls that fail), one after another, of the last service."""

NO_BUDGET: Final = BudgetConfig(mode="none")
POLICIES: Final[dict[str, CommandConfig]] = {
    "naive: every layer, no budget": CommandConfig(
        breaker=None, retry=RetryConfig(nested=True, budget=NO_BUDGET)
    ),
    "one layer, no budget": CommandConfig(breaker=None, retry=RetryConfig(budget=NO_BUDGET)),
    "every layer, gRPC budget": CommandConfig(breaker=None, retry=RetryConfig(nested=True)),
    "ours: one layer, gRPC budget": CommandConfig(breaker=None, retry=RetryConfig()),
    "ours, AWS budget": CommandConfig(
        breaker=None, retry=RetryConfig(budget=BudgetConfig(mode="aws", tokens=500.0))
    ),
    "ours, Envoy budget": CommandConfig(
        breaker=None, retry=RetryConfig(budget=BudgetConfig(mode="envoy"))
    ),
    "ours, gRPC budget and breaker": CommandConfig(breaker=BreakerConfig(), retry=RetryConfig()),
    "no retries": CommandConfig(breaker=None),
}
"""What each of the three callers of the chain goes by."""

SLOW_SHARE: Final = 0.0125
"""Just over the hundredth that the 99th percentile leaves out."""
HEDGES: Final = {"without": None, "hedged": HedgeConfig()}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    experiment: str
    policy: str
    figures: dict[str, float]


class ChainRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy led to; per_second: calls that reached the last service."""

    reached: int
    asked: int
    reached_down: int
    asked_down: int
    failed_well: int
    asked_well: int
    per_second: dict[int, int]

    @property
    def amplification(self) -> float:
        """Calls that reached the last service while it was down, per call of a client."""
        return self.reached_down / self.asked_down


class Chain:
    """Client -> three callers -> a service that fails in its bad phase."""

    def __init__(self, config: CommandConfig, clock: FakeClock) -> None:
        self._clock = clock
        self._start_s = clock.monotonic_s()
        self._random = Random(SEED)
        self._commands = [self._service(number, config) for number in range(LAYERS)]
        self.reached: Counter[int] = Counter()
        self.reached_in: Counter[int] = Counter()
        self.asked_in: Counter[int] = Counter()
        self.failed_in: Counter[int] = Counter()

    def _service(self, number: int, config: CommandConfig) -> Command:
        """Each service is a process of its own: its own registry, budgets and dice."""
        guards = Guards(clock=self._clock, random=Random(SEED + number))
        return guards.command(f"call-{number}", config, dependency=f"service-{number + 1}")

    def phase(self) -> int:
        """Which phase it is now."""
        passed_s = self._clock.monotonic_s() - self._start_s
        for number, (seconds, _) in enumerate(PHASES):
            passed_s -= seconds
            if passed_s < 0:
                return number
        return len(PHASES) - 1

    async def request(self, layer: int, headers: dict[str, str]) -> None:
        """What service number `layer` does with a request: it calls the next one."""
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        inbound = read_headers(pairs, self._clock.monotonic_s())
        token = context.bind(inbound.context)
        try:
            await asyncio.sleep(0.001)
            if layer == LAYERS:
                self._last()
            else:
                await self._commands[layer].call(self._send, layer + 1)
        finally:
            context.unbind(token)

    async def _send(self, layer: int) -> None:
        await self.request(
            layer, write_headers(context.current(), context.remaining_s(self._clock))
        )

    def _last(self) -> None:
        phase = self.phase()
        self.reached[int(self._clock.monotonic_s() - self._start_s)] += 1
        self.reached_in[phase] += 1
        if self._random.random() < PHASES[phase][1]:
            raise ConnectionError

    async def client(self) -> None:
        """One user's request."""
        phase = self.phase()
        self.asked_in[phase] += 1
        try:
            await self.request(0, write_headers(CallContext(), None))
        except Exception:  # noqa: BLE001 - counted; any kind of failure is one to the user
            self.failed_in[phase] += 1

    async def run(self) -> ChainRun:
        """Requests at an even rate through all phases."""
        total_s = sum(seconds for seconds, _ in PHASES)
        async with asyncio.TaskGroup() as group:
            for _ in range(int(total_s * RATE)):
                group.create_task(self.client())
                await asyncio.sleep(1.0 / RATE)
        well = [number for number, (_, share) in enumerate(PHASES) if share < 1]
        down = [number for number, (_, share) in enumerate(PHASES) if share == 1]
        return ChainRun(
            reached=self.reached.total(),
            asked=self.asked_in.total(),
            reached_down=sum(self.reached_in[number] for number in down),
            asked_down=sum(self.asked_in[number] for number in down),
            failed_well=sum(self.failed_in[number] for number in well),
            asked_well=sum(self.asked_in[number] for number in well),
            per_second=dict(self.reached),
        )


def chain_run(config: CommandConfig) -> ChainRun:
    """The outage, in virtual time, with callers who go by `config` but for the bulkhead."""
    clock = FakeClock()
    roomy = msgspec.structs.replace(config, bulkhead=BulkheadConfig(max_concurrent=10_000))
    return run_virtual(Chain(roomy, clock).run(), clock)


def chain_rows() -> tuple[list[Row], dict[str, ChainRun]]:
    """Every policy through the same outage."""
    rows, runs = [], {}
    for name, config in POLICIES.items():
        run = runs[name] = chain_run(config)
        figures = {
            "calls": run.asked_down,
            "reached": run.reached_down,
            "amplification": run.amplification,
            "failed_while_well_percent": 100.0 * run.failed_well / run.asked_well,
        }
        rows.append(Row(experiment="retries, last service down", policy=name, figures=figures))
    return rows, runs


class HedgeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of the callers in order of arrival, and calls that the dependency got."""

    seconds: list[float]
    reached: int
    sent: int


async def hedged(
    hedge: HedgeConfig | None,
    clock: Clock,
    *,
    calls: int,
    rate: float = 200.0,
    typical_s: float = 0.02,
    seed: int = SEED,
) -> HedgeRun:
    """Open-loop load on a dependency with a slow share; first calls, till it is known, too."""
    guards = Guards(clock=clock, random=Random(seed))
    command = guards.command(
        "recommend",
        CommandConfig(hedge=hedge, bulkhead=BulkheadConfig(max_concurrent=10_000)),
        idempotent=True,
    )
    random, reached = Random(seed), 0

    async def dependency() -> None:
        nonlocal reached
        reached += 1
        is_slow = random.random() < SLOW_SHARE
        await asyncio.sleep(
            typical_s * 50.0 if is_slow else typical_s * random.lognormvariate(0.0, 0.25)
        )

    guarded = command(dependency)
    seconds = [0.0] * calls

    async def client(number: int) -> None:
        start_s = clock.monotonic_s()
        await guarded()
        seconds[number] = clock.monotonic_s() - start_s

    start_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            await asyncio.sleep(max(0.0, start_s + number / rate - clock.monotonic_s()))
            group.create_task(client(number))
    part = command.parts.hedges
    sent = part.stats().sent if isinstance(part, Hedge) else 0
    return HedgeRun(seconds=seconds, reached=reached, sent=sent)


Runner = Callable[[Callable[[Clock], Coroutine[Any, Any, HedgeRun]]], HedgeRun]


def _in_virtual_time(work: Callable[[Clock], Coroutine[Any, Any, HedgeRun]]) -> HedgeRun:
    clock = FakeClock()
    return run_virtual(work(clock), clock)


def _in_real_time(work: Callable[[Clock], Coroutine[Any, Any, HedgeRun]]) -> HedgeRun:
    return asyncio.run(work(SystemClock()))


def hedge_rows(
    run: Runner, name: str, *, calls: int, rate: float
) -> tuple[list[Row], dict[str, HedgeRun]]:
    """The same load with and without hedges."""
    rows, runs = [], {}
    for policy, config in HEDGES.items():
        found = runs[policy] = run(
            lambda clock, config=config: hedged(  # type: ignore[misc] # bound per turn
                config, clock, calls=calls, rate=rate
            )
        )
        p50, p99, p999 = np.percentile(found.seconds, [50, 99, 99.9]).tolist()
        figures = {
            "calls": calls,
            "p50_ms": p50 * 1e3,
            "p99_ms": p99 * 1e3,
            "p99.9_ms": p999 * 1e3,
            "extra_load_percent": 100.0 * (found.reached / calls - 1.0),
        }
        rows.append(Row(experiment=f"hedging, {name}", policy=policy, figures=figures))
    gain = rows[0].figures["p99_ms"] / rows[1].figures["p99_ms"]
    rows[1].figures["p99_cut"] = gain
    return rows, runs


def chain_picture(runs: dict[str, ChainRun]) -> str:
    """Calls that reach the last service, each second, on a scale that shows both ends."""
    total_s = int(sum(seconds for seconds, _ in PHASES))
    shown = {
        "naive: every layer, no budget": "danger",
        "one layer, no budget": "warning",
        "ours: one layer, gRPC budget": "good",
        "ours, gRPC budget and breaker": None,
    }
    down_s = PHASES[0][0], PHASES[0][0] + PHASES[1][0]
    return line_chart(
        Chart(
            title="A service that is down, and three layers of callers with three attempts each",
            subtitle="calls per second that reach it; users ask 25 times a second",
            times_ms=np.arange(1, total_s + 1, dtype=np.int64) * 1000,
            series=[
                Series(
                    name=name,
                    values=np.array(
                        [runs[name].per_second.get(at, 0) for at in range(total_s)], dtype=float
                    ),
                    colour=colour,
                )
                for name, colour in shown.items()
            ],
            spans=[
                Span(
                    start_ms=int(down_s[0] * 1000),
                    end_ms=int(down_s[1] * 1000),
                    label="fails 100 %",
                    colour="danger",
                )
            ],
            y_label="calls/s",
        )
    )


def hedge_picture(runs: dict[str, HedgeRun], rate: float = 200.0) -> str:
    """The 99th percentile of each ten seconds."""
    width = int(rate * 10)
    parts = len(runs["without"].seconds) // width
    return line_chart(
        Chart(
            title="One call in 80 takes 50 times as long: p99 of the callers",
            subtitle="each ten seconds; a copy after the own p95, at most 5 % extra calls",
            times_ms=np.arange(1, parts + 1, dtype=np.int64) * 10_000,
            series=[
                Series(
                    name=name,
                    values=np.array(
                        [
                            np.percentile(run.seconds[at * width : (at + 1) * width], 99)
                            for at in range(parts)
                        ]
                    ),
                    colour="danger" if name == "without" else "good",
                )
                for name, run in runs.items()
            ],
            y_label="p99",
            unit="seconds",
        )
    )


def main() -> None:
    """Run, print the table, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.resilience", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    parser.add_argument("--pictures", type=Path, help="write SVG and PNG into this folder")
    parser.add_argument("--virtual", action="store_true", help="leave out real time")
    options = parser.parse_args()
    rows, chains = chain_rows()
    more, hedges = hedge_rows(_in_virtual_time, "virtual time", calls=20_000, rate=200.0)
    rows += more
    if not options.virtual:
        rows += hedge_rows(_in_real_time, "real event loop", calls=4_000, rate=400.0)[0]
    for row in rows:
        figures = "  ".join(f"{name} {value:,.5g}" for name, value in row.figures.items())
        print(f"{row.experiment:28s} {row.policy:32s} {figures}")
    if options.json:
        options.json.write_bytes(msgspec.json.encode(rows))
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        pictures = {"retry-amplification": chain_picture(chains), "hedging": hedge_picture(hedges)}
        for name, svg in pictures.items():
            (options.pictures / f"{name}.svg").write_text(svg, encoding="utf-8")
            (options.pictures / f"{name}.png").write_bytes(png(svg))


if __name__ == "__main__":
    main()
