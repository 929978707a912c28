"""`make bench-guard`: what guarding a call costs, ours and the peers', and how it behaves.

Each row is CPU time of one call in a fresh process (median of seven repeats; then the median of
`--processes` processes), less that of the bare call of its kind; refused rows include the caller's
try/except. The bare call is timed in the same process, turn by turn. The peers are run by the
interpreter that `--peers` names and left out without it. Their versions are those that were
measured on the machine on which the targets were set, so they are the yardstick of this one: the
median of what they cost here over what they cost there is its slowness, and `scaled` is a row
without it. `--json FILE` writes all figures, `--behaviour` adds what takes wall time: a hanging
dependency.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.guard_cases import CASES, PLAIN, command_of, opened
from benchmarks.guard_peers import CASES as PEERS
from benchmarks.guard_timing import Case, Timed
from breakwater.sdk import AttemptTimedOutError, CallRefusedError
from breakwater.sdk.guard import CommandConfig, Guards

ROOT: Final = Path(__file__).resolve().parent.parent
BARE: Final = {"sync": "bare call", "async": "bare await"}
REFERENCE_NS: Final = {
    "circuitbreaker": 407.0,
    "purgatory": 614.0,
    "aiobreaker": 911.0,
    "pybreaker": 1101.0,
    "backoff": 1629.0,
    "stamina": 8309.0,
    "tenacity @retry": 9636.0,
    "circuitbreaker, open": 771.0,
    "pyresilience, open": 1313.0,
    "aiobreaker, open": 1696.0,
    "pybreaker, open": 1990.0,
    "pyfailsafe retry+breaker, async": 436.0,
    "circuitbreaker, async": 488.0,
    "hyx breaker, async": 656.0,
    "hyx retry, async": 817.0,
    "purgatory, async": 1004.0,
    "hyx bulkhead, async": 1578.0,
    "backoff, async": 1811.0,
    "asyncio.timeout alone": 3670.0,
    "hyx timeout, async": 8767.0,
    "stamina, async": 13454.0,
    "tenacity @retry, async": 17851.0,
}
"""What calls cost over the bare one where the targets were set: CPython 3.11, 2 vCPU EPYC."""
TARGETS_NS: Final = {
    "breakwater: breaker+bulkhead+statistics": 600.0,
    "breakwater: breaker+bulkhead+statistics, async": 800.0,
    "breakwater: + timeout and total deadline": 2000.0,
    "breakwater: + timeout and total deadline, async": 2000.0,
    "breakwater: refused, breaker open": 1000.0,
    "breakwater: refused, bulkhead full": 1000.0,
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure; value in `unit`. target: what we promise, None where nothing is promised.

    bare_ns: the bare call beside it; None for what is no time of a call. reference: the value on
    the machine on which the targets were set, where it is known.
    """

    name: str
    kind: str
    value: float
    unit: str = "ns/call"
    target: float | None = None
    bare_ns: float | None = None
    reference: float | None = None


def rows() -> list[tuple[str, float, str, float | None]]:
    """Our own rows for `make bench`: name, value, unit, and the ratio to the bare call."""
    measured = _measure("benchmarks.guard_cases", CASES, Path(sys.executable), 1)
    return [
        (
            f"guard, {case.name.removeprefix('breakwater: ')}",
            measured[case.name].call_ns,
            "ns/call",
            measured[case.name].call_ns / measured[case.name].bare_ns,
        )
        for case in CASES
    ]


def _measure(module: str, cases: list[Case], python: Path, processes: int) -> dict[str, Timed]:
    """Times by name, harness included; a case that fails is left out, and said so."""
    found: dict[str, Timed] = {}
    for case in cases:
        samples = []
        for _ in range(processes):
            done = subprocess.run(
                [str(python), "-m", module, case.name],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
                print(f"{case.name}: left out: {last[0]}", file=sys.stderr)
                break
            samples.append(Timed(*map(float, done.stdout.split())))
        else:
            found[case.name] = Timed(
                call_ns=statistics.median(sample.call_ns for sample in samples),
                bare_ns=statistics.median(sample.bare_ns for sample in samples),
            )
    return found


def _costs(cases: list[Case], measured: dict[str, Timed]) -> list[Row]:
    """What a call costs over the bare one; a refusal calls nothing, so nothing is taken off."""
    made = []
    for case in cases:
        if case.name not in measured:
            continue
        timed = measured[case.name]
        is_whole = case.kind.endswith("refused") or case.name in BARE.values()
        made.append(
            Row(
                name=case.name,
                kind=case.kind,
                value=timed.call_ns - (0.0 if is_whole else timed.bare_ns),
                target=TARGETS_NS.get(case.name),
                bare_ns=timed.bare_ns,
                reference=REFERENCE_NS.get(case.name),
            )
        )
    return made


def slowness(made: list[Row]) -> float:
    """How many times as long as on the reference machine; 1 where no peer was run."""
    ratios = [row.value / row.reference for row in made if row.reference is not None]
    return statistics.median(ratios) if len(ratios) > 1 else 1.0


def memory_rows() -> list[Row]:
    """Bytes of an idle command, and growth over a million refusals."""
    guards = Guards()
    made = [guards.command(f"warm{i}", PLAIN)(_nothing) for i in range(10)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made += [guards.command(f"idle{i}", PLAIN)(_nothing) for i in range(1_000)]
    idle = (tracemalloc.get_traced_memory()[0] - before) / 1_000
    refused = opened()(_nothing)
    _refuse(refused, 10_000)
    before = tracemalloc.get_traced_memory()[0]
    _refuse(refused, 1_000_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(made) == 1_010, "kept alive until measured"
    return [
        Row(name="idle command", kind="memory", value=idle, unit="bytes", target=4096.0),
        Row(
            name="growth over 10^6 refusals",
            kind="memory",
            value=float(max(0, grown)),
            unit="bytes",
            target=1e6,
        ),
    ]


def _nothing() -> None:
    """What an idle command guards."""


def _refuse(call: Any, times: int) -> None:

    for _ in range(times):
        try:
            call()
        except CallRefusedError:
            continue


def behaviour_rows() -> list[Row]:
    """Wall time: threads through a closed breaker, and callers of a dependency that hangs."""
    return [_threads_row(), *asyncio.run(_hanging_rows())]


def _threads_row() -> Row:

    guarded = command_of(CommandConfig())(time.sleep)
    threads = [threading.Thread(target=guarded, args=(0.05,)) for _ in range(20)]
    start_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_ms = (time.perf_counter() - start_s) * 1000.0
    return Row(name="20 threads x 50 ms, closed breaker", kind="wall", value=took_ms, unit="ms")


async def _hanging_rows() -> list[Row]:
    """p99 of callers of a dependency that hangs for 30 s, and of those of another command."""
    guards = Guards()
    limited = CommandConfig(timeout_s=0.1, breaker=None, bulkhead=None)
    hanging, healthy = guards.command("hanging", limited), guards.command("healthy", limited)
    waits_ms: list[float] = []
    healthy_ms: list[float] = []

    async def stuck() -> None:
        start_s = time.perf_counter()
        try:
            await hanging.call(asyncio.sleep, 30.0)
        except AttemptTimedOutError:
            waits_ms.append((time.perf_counter() - start_s) * 1000.0)

    async def at_ease() -> None:
        for _ in range(300):
            start_s = time.perf_counter()
            await healthy.call(asyncio.sleep, 0.001)
            healthy_ms.append((time.perf_counter() - start_s) * 1000.0)

    async def arrivals() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(stuck())
                await asyncio.sleep(0.001)

    await asyncio.gather(arrivals(), at_ease())
    return [
        Row(
            name="hanging 30 s, timeout 100 ms: callers' p99",
            kind="wall",
            value=statistics.quantiles(waits_ms, n=100)[98],
            unit="ms",
            target=105.0,
        ),
        Row(
            name="meanwhile another command, calls of 1 ms: p99",
            kind="wall",
            value=statistics.quantiles(healthy_ms, n=100)[98],
            unit="ms",
        ),
    ]


def _show(made: list[Row], slow: float) -> None:

    table = Table(
        title="Cost of a guarded call over the bare call (CPU time)",
        caption=f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; "
        f"by the peers it is {slow:.2f} times as slow as the one on which the targets were set, "
        "which `scaled` leaves out; bare: the bare call timed beside the row",
    )
    for heading in ("", "value", "unit", "bare", "scaled", "reference", "target"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for row in made:
        scaled = None if row.bare_ns is None else row.value / slow
        numbers = (row.bare_ns, scaled, row.reference, row.target)
        shown = ["" if number is None else f"{number:,.0f}" for number in numbers]
        table.add_row(row.name, f"{row.value:,.0f}", row.unit, *shown, style=_style(row, scaled))
    Console(width=110).print(table)


def _style(row: Row, scaled: float | None) -> str | None:
    """Red what misses its target, yellow what does so for the machine's slowness alone."""
    if row.target is None:
        return None
    if row.value <= row.target:
        return "bold"
    return "yellow" if scaled is not None and scaled <= row.target else "bold red"


def main() -> None:
    """Measure, show, and write."""
    parser = argparse.ArgumentParser(prog="benchmarks.guard", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--peers", type=Path, help="interpreter that has the peers installed")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes for each row")
    parser.add_argument("--behaviour", action="store_true", help="wall-time behaviour too")
    options = parser.parse_args()

    measured = _measure("benchmarks.guard_cases", CASES, Path(sys.executable), options.processes)
    made = _costs(CASES, measured)
    if options.peers is not None and options.peers.exists():
        others = _measure("benchmarks.guard_peers", PEERS, options.peers, options.processes)
        made += _costs(PEERS, others)
    else:
        print("no peers installed: only our own rows", file=sys.stderr)
    made += memory_rows()
    if options.behaviour:
        made += behaviour_rows()
    slow = slowness(made)
    _show(made, slow)
    if options.json:
        machine = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.platform(),
            "load": os.getloadavg()[0],
            "slowness": slow,
        }
        options.json.write_bytes(msgspec.json.encode({"machine": machine, "rows": made}))


if __name__ == "__main__":
    main()
