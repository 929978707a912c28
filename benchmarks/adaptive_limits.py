"""Adaptive limits against a server whose capacity changes in steps, in virtual time.

    python -m benchmarks.adaptive_limits [--json FILE] [--plot FOLDER] [--model NAME] [--seeds N]

For each step of each model the best fixed limit is searched: the one with the highest goodput
(answers within the caller's timeout) on a fresh server that stays at this step. Each algorithm
then goes through all the steps in one run, and its goodput in each step, once it had time to
settle (10 s, or 30 calls one after the other where calls are long), is set against that best.
Beside the algorithms stands the fixed limit that is best in the first step, which is what people
do today. Takes about five minutes; nothing in it depends on the machine.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, Literal, get_args

import msgspec
import numpy as np

from benchmarks.simulated_server import Model, Run, Simulation, Step
from breakwater.render import Chart, Series, Span, line_chart, png
from breakwater.sdk.guard.config import AdaptiveConfig, BulkheadConfig
from breakwater.sdk.guard.gate import CallInfo, Queued, Ticket
from breakwater.sdk.guard.limiting.adaptive import AdaptiveLimit
from breakwater.sdk.guard.limiting.places import Place, Places
from breakwater.sdk.guard.verdict import Verdict

Algorithm = Literal["guarded", "gradient2", "vegas", "aimd"]

SETTLE_S: Final = 10.0
SETTLE_CALLS: Final = 30
"""What each algorithm is given after a step before it is judged: so long, and so many latencies."""
GOAL_PERCENT: Final = 95.0
REFERENCE_S: Final = 40.0
REFERENCE_ANSWERS: Final = 8_000
"""How long a fixed limit is tried, in seconds and at least in answers, to keep chance small."""
REFERENCE_SEED: Final = 1_000
MULTIPLES: Final = (0.8, 1.0, 1.15, 1.35, 1.7, 2.2, 3.0)
"""Fixed limits tried, in multiples of what the workers and the network hold."""


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best fixed limit of one step, and its good answers a second."""

    limit: int
    goodput: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one algorithm did in one step of one model, over all seeds.

    percent: of the goodput of the best fixed limit, once settled, the mean of the seeds;
    worst_percent: of the worst seed. whole_percent: the mean from the moment of the step on.
    settled_s: until goodput was above nine tenths of the best for 3 s, the slowest seed.
    """

    model: str
    step: int
    workers: int
    service_ms: float
    algorithm: str
    best_limit: int
    best_goodput: float
    percent: float
    worst_percent: float
    whole_percent: float
    settled_s: float
    limit: int


class FixedLimit:
    """A gate with a limit that stays what it is."""

    name = "fixed limit"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places = Places(BulkheadConfig(max_concurrent=limit).max_concurrent)

    def enter(self, call: CallInfo, now_s: float) -> Ticket | Queued:
        """A place or a refusal."""
        return self._places.enter(call, now_s)

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,  # noqa: ARG002 - a fixed limit does not care
        *,
        now_s: float,  # noqa: ARG002 - same
        took_s: float,  # noqa: ARG002 - same
        error: BaseException | None,  # noqa: ARG002 - same
    ) -> None:
        """Give the place back."""
        assert isinstance(ticket, Place)
        self._places.leave(ticket)


def models() -> list[Model]:
    """Servers of different kinds; what `guarded` was made on is only the first of them."""
    sizes = ((40, 1.0), (10, 1.0), (80, 1.0), (20, 1.0))
    slower = ((40, 1.0), (40, 2.5), (20, 1.0), (40, 0.5))
    milder = ((40, 1.0), (20, 1.0), (60, 1.0), (30, 1.0))
    few = ((4, 1.0), (2, 1.0), (8, 1.0), (3, 1.0))
    long = [
        Step(seconds=120.0, workers=workers, service_s=1.0, rate=100.0)
        for workers in (120, 40, 160, 60)
    ]
    return [
        Model(name="exponential", steps=_steps(sizes, 2_000), timeout_s=0.4),
        Model(
            name="steady work", steps=_steps(sizes, 2_000), timeout_s=0.15, distribution="erlang"
        ),
        Model(
            name="slower work", steps=_steps(slower, 1_200), timeout_s=0.6, distribution="lognormal"
        ),
        Model(
            name="few slow ones", steps=_steps(sizes, 2_000), timeout_s=0.4, distribution="bimodal"
        ),
        Model(name="far away", steps=_steps(sizes, 2_000), timeout_s=0.5, network_s=0.08),
        Model(name="contention", steps=_steps(sizes, 2_000), timeout_s=1.0, contention=0.25),
        Model(name="refuses", steps=_steps(milder, 2_000), timeout_s=0.4, room=50),
        Model(name="hardly loaded", steps=_steps(milder, 700), timeout_s=0.4),
        Model(name="few workers", steps=_steps(few, 200, seconds=160.0), timeout_s=0.4),
        Model(name="own errors", steps=_steps(sizes, 2_000), timeout_s=0.4, error_percent=5.0),
        Model(name="long calls", steps=long, timeout_s=4.0),
        Model(name="long, even calls", steps=long, timeout_s=4.0, distribution="erlang"),
    ]


def settle_s(model: Model) -> float:
    """How long after a step of this model an algorithm is not judged."""
    return max(SETTLE_S, SETTLE_CALLS * max(step.service_s for step in model.steps))


def _steps(sizes: tuple[tuple[int, float], ...], rate: float, seconds: float = 40.0) -> list[Step]:
    return [
        Step(seconds=seconds, workers=workers, service_s=0.05 * slowness, rate=rate)
        for workers, slowness in sizes
    ]


def best_fixed(model: Model, step: Step) -> Best:
    """The fixed limit with the highest goodput on a server that stays at `step`."""
    settled = settle_s(model)
    seconds = (
        max(REFERENCE_S, REFERENCE_ANSWERS * step.service_s / step.workers) + settled - SETTLE_S
    )
    alone = msgspec.structs.replace(model, steps=[msgspec.structs.replace(step, seconds=seconds)])
    held = step.workers * (1 + model.network_s / step.service_s)
    tried = {}
    for multiple in MULTIPLES:
        limit = max(1, round(held * multiple)) + 2
        outcome = Simulation(alone, FixedLimit(limit), REFERENCE_SEED, settled).run().steps[0]
        tried[limit] = outcome.good_settled / (seconds - settled)
    limit = max(tried, key=lambda one: tried[one])
    return Best(limit=limit, goodput=tried[limit])


def adaptive_run(model: Model, algorithm: Algorithm, seed: int) -> Run:
    """All steps of the model under one algorithm with its defaults."""
    gate = AdaptiveLimit(AdaptiveConfig(algorithm=algorithm), random=Random(seed))
    return Simulation(model, gate, seed, settle_s(model)).run()


def rows_of(model: Model, name: str, bests: list[Best], runs: list[Run]) -> Iterator[Row]:
    """One row for each step, with the worst of all runs."""
    start_s = 0.0
    for number, (step, best) in enumerate(zip(model.steps, bests, strict=True)):
        judged_s = step.seconds - settle_s(model)
        settled = [run.steps[number].good_settled / judged_s for run in runs]
        whole = [run.steps[number].good / step.seconds for run in runs]
        end_s = start_s + step.seconds
        yield Row(
            model=model.name,
            step=number + 1,
            workers=step.workers,
            service_ms=step.service_s * 1000,
            algorithm=name,
            best_limit=best.limit,
            best_goodput=round(best.goodput, 1),
            percent=round(sum(settled) / len(runs) / best.goodput * 100, 1),
            worst_percent=round(min(settled) / best.goodput * 100, 1),
            whole_percent=round(sum(whole) / len(runs) / best.goodput * 100, 1),
            settled_s=max(_settled_s(run, best.goodput, start_s, end_s) for run in runs),
            limit=_limit_at(runs[0], end_s),
        )
        start_s = end_s


def _settled_s(run: Run, best: float, start_s: float, end_s: float) -> float:
    """Seconds from the step until three seconds in a row bring nine tenths of the best."""
    good = run.good_by_second
    for second in range(int(start_s), int(end_s) - 2):
        if sum(good[second : second + 3]) >= 3 * 0.9 * best:
            return second - start_s
    return end_s - start_s


def _limit_at(run: Run, at_s: float) -> int:
    return next((limit for when_s, limit in reversed(run.limits) if when_s <= at_s), 0)


def measure(model: Model, seeds: int) -> tuple[list[Row], dict[str, Run], list[Best]]:
    """Rows of all algorithms, one run of each, and the best fixed limits."""
    bests = [best_fixed(model, step) for step in model.steps]
    rows: list[Row] = []
    shown: dict[str, Run] = {}
    for algorithm in get_args(Algorithm):
        count = seeds if algorithm == "guarded" else 1
        runs = [adaptive_run(model, algorithm, seed) for seed in range(1, count + 1)]
        rows += rows_of(model, algorithm, bests, runs)
        shown[algorithm] = runs[0]
    name = f"fixed {bests[0].limit}"
    shown[name] = Simulation(model, FixedLimit(bests[0].limit), 1, settle_s(model)).run()
    rows += rows_of(model, name, bests, [shown[name]])
    return rows, shown, bests


def table(rows: list[Row]) -> str:
    """One line for each step: settled percent of each algorithm, and how `guarded` got there."""
    lines = []
    steps: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        steps.setdefault((row.model, row.step), []).append(row)
    for (model, _), found in steps.items():
        one = found[0]
        server = f"{one.workers} x {one.service_ms:.0f} ms"
        best = f"{one.best_goodput:.0f}/s at {one.best_limit}"
        percents = " ".join(f"{row.percent:8.0f}%" for row in found)
        guarded = f"{one.worst_percent:6.0f}% {one.whole_percent:6.0f}% {one.settled_s:5.0f} s"
        lines.append(f"{model:15} {server:>13} {best:>16} {percents}  {guarded}")
    return "\n".join(lines)


def heading() -> str:
    """What stands above the columns of `table`."""
    names = " ".join(f"{name:>9}" for name in (*get_args(Algorithm), "fixed"))
    columns = f"{'model':15} {'server':>13} {'best fixed':>16} {names}  {'worst':>7} {'whole':>7}"
    return f"{columns} settled\n{'-' * (len(columns) + 8)}"


def plot(model: Model, shown: dict[str, Run], bests: list[Best], folder: Path) -> list[Path]:
    """Goodput and limit over time, as SVG and PNG."""
    seconds = int(sum(step.seconds for step in model.steps))
    times = np.arange(1, seconds + 1, dtype=np.int64) * 1000
    spans = []
    ideal, ideal_limit = np.empty(seconds), np.empty(seconds)
    start = 0
    for step, best in zip(model.steps, bests, strict=True):
        end = start + int(step.seconds)
        ideal[start:end] = best.goodput
        ideal_limit[start:end] = best.limit
        label = f"{step.workers} x {step.service_s * 1000:.0f} ms"
        spans.append(Span(start_ms=start * 1000, end_ms=start * 1000, label=label))
        start = end
    goodput = [Series(name="best fixed limit of each step", values=ideal, style="step")]
    limits = [Series(name="best fixed limit of each step", values=ideal_limit, style="step")]
    for name, run in shown.items():
        goodput.append(Series(name=name, values=_smooth(run.good_by_second[:seconds])))
        limits.append(Series(name=name, values=_over_time(run, seconds), style="step"))
    charts = {
        "goodput": Chart(
            title=f"Goodput under capacity steps: {model.name}",
            subtitle=f"answers within {model.timeout_s * 1000:.0f} ms, per second; "
            f"{model.steps[0].rate:.0f} requests/s offered; virtual time",
            times_ms=times,
            series=goodput,
            spans=spans,
            height=380,
        ),
        "limit": Chart(
            title=f"Limit under capacity steps: {model.name}",
            subtitle="calls that may be under way; virtual time",
            times_ms=times,
            series=limits,
            spans=spans,
            height=300,
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, chart in charts.items():
        svg = line_chart(chart)
        stem = folder / f"adaptive-limits-{kind}"
        stem.with_suffix(".svg").write_text(svg)
        stem.with_suffix(".png").write_bytes(png(svg))
        written += [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    return written


def _smooth(good: list[int]) -> "np.typing.NDArray[np.float64]":
    """Means of three seconds; two at the ends."""
    padded = np.pad(np.array(good, dtype=np.float64), 1, constant_values=np.nan)
    means: np.typing.NDArray[np.float64] = np.nanmean(
        np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0
    )
    return means


def _over_time(run: Run, seconds: int) -> "np.typing.NDArray[np.float64]":
    """The limit at the end of each second."""
    values = np.empty(seconds)
    moves = iter([*run.limits, (float("inf"), 0)])
    next_s, next_limit = next(moves)
    limit = next_limit
    for second in range(seconds):
        while next_s <= second + 1:
            limit = next_limit
            next_s, next_limit = next(moves)
        values[second] = limit
    return values


def main() -> int:
    """Print the table; 0 when `guarded` is above the goal in every step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--plot", type=Path, help="write pictures of the first model here")
    parser.add_argument("--model", action="append", help="only this model; may be repeated")
    parser.add_argument("--seeds", type=int, default=3, help="runs of `guarded` (3)")
    given = parser.parse_args()
    rows: list[Row] = []
    print("goodput as percent of the best fixed limit of the step, once settled; then of guarded:")
    print("its worst seed, its percent from the moment of the step on, and when it had settled\n")
    print(heading())
    for model in models():
        if given.model and model.name not in given.model:
            continue
        found, shown, bests = measure(model, given.seeds)
        print(table(found), flush=True)
        if given.plot and not rows:
            plot(model, shown, bests, given.plot)
        rows += found
    if given.json:
        given.json.write_text(json.dumps(msgspec.to_builtins(rows), indent=1))
    missed = [r for r in rows if r.algorithm == "guarded" and r.percent < GOAL_PERCENT]
    print(f"\nguarded below {GOAL_PERCENT:.0f} % in {len(missed)} steps")
    for row in missed:
        print(f"  {row.model}, step {row.step}: {row.percent} %")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
