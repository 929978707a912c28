"""What the reference fleet costs: processor time and memory of its 28 processes, under load.

    python -m benchmarks.fleet_cost [--rps 60 --rps 95] [--seconds 45] [--json]

Starts platform and fleet of its own, waits till the load has settled, and measures. Processor time
is counted by the kernel and so does not depend on who else runs; but shared cores make everybody
slower, so the load of the machine stands beside the figures: above 2 they say little.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import anyio
import msgspec
import psutil

from breakwater.drill.stage import Stage, StageSettings, raise_stage
from breakwater.model import SystemClock

WARM_S: Final = 25.0
ARRIVE_S: Final = 3.0
"""What a figure needs from a process to the graphs of the platform."""

_CALLS: Final = "name,ipc.client.call,:eq,statistic,count,:eq,:and"
PROGRAMS: Final = {
    "edge": f"{_CALLS},ipc.client.app,player,:eq,:and,ipc.server.app,gateway,:eq,:and,:sum",
    "calls": f"{_CALLS},:sum",
    "starts": "name,stream.starts,:eq,result,success,:eq,:and,:sum",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One load; edge, calls, starts: a second. cores: processor seconds a second, of the fleet.

    memory_bytes: proportional set size. platform_cores: of the platform, which is not of the fleet.
    load: processes that ran or waited for a processor, anybody's, in the last minute.
    """

    edge: float
    calls: float
    starts: float
    cores: float
    memory_bytes: int
    platform_cores: float
    load: float


def _children() -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The fleet's processes and the platform's."""
    fleet, platform = [], []
    for process in psutil.Process().children(recursive=True):
        line = process.cmdline()
        if "breakwater.reference" in line:
            fleet.append(process)
        elif "serve" in line:
            platform.append(process)
    return fleet, platform


def _used_s(processes: Iterable[psutil.Process]) -> float:
    """Processor seconds so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def _row(stage: Stage, rps: float, seconds: int, clock: SystemClock) -> Row:
    await stage.client.set_load(rps)
    await anyio.sleep(WARM_S)
    fleet, platform = _children()
    before_s, start_ms = (_used_s(fleet), _used_s(platform)), clock.now_ms() // 1000 * 1000
    began_s = clock.monotonic_s()
    await anyio.sleep(seconds)
    took_s = clock.monotonic_s() - began_s
    used_s = _used_s(fleet) - before_s[0], _used_s(platform) - before_s[1]
    memory_bytes = sum(process.memory_full_info().pss for process in fleet)
    await anyio.sleep(ARRIVE_S)
    rates = {}
    for name, program in PROGRAMS.items():
        values = await stage.client.values(program, start_ms=start_ms, seconds=seconds)
        rates[name] = sum(values) / seconds
    return Row(
        **rates,
        cores=used_s[0] / took_s,
        memory_bytes=memory_bytes,
        platform_cores=used_s[1] / took_s,
        load=os.getloadavg()[0],
    )


async def measure(loads: list[float], seconds: int) -> list[Row]:
    """One row for each load, on one fleet."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="breakwater-cost-") as folder:
        settings = StageSettings(folder=Path(folder), rps=loads[0])
        async with raise_stage(settings, clock) as stage:
            return [await _row(stage, rps, seconds, clock) for rps in loads]


def main() -> None:
    """Measure, and print the table of docs/reference-fleet.md."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet_cost", description=__doc__)
    parser.add_argument("--rps", type=float, action="append", help="edge requests a second")
    parser.add_argument("--seconds", type=int, default=45, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    rows = anyio.run(measure, given.rps or [60.0, 95.0], given.seconds)
    if given.json:
        print(msgspec.json.encode(rows).decode())
        return
    print(
        "| edge requests/s | calls/s | stream starts/s | cores | memory (PSS) | platform | load |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print(
            f"| {row.edge:.0f} | {row.calls:.0f} | {row.starts:.1f} | {row.cores:.2f} "
            f"| {row.memory_bytes / 1e9:.2f} GB | {row.platform_cores:.2f} | {row.load:.1f} |"
        )


if __name__ == "__main__":
    main()
