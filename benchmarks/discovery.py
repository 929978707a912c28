"""Discovery: a registry of ten thousand instances on one core, renewed, fetched and changing.

`python -m benchmarks.discovery [--instances 10000] [--seconds 60] [--churn 1] [--json FILE]`
starts `breakwater serve` on the first core and plays the fleet from the last one: every instance
renews each 30 s, 50 times a second somebody fetches everything (gzip; a fifth of them as XML), 30
times a second what changed, and `--churn` instances come and go each second.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.peers import FIRST_CORE, LAST_CORE, Engine
from benchmarks.registry_load import Figures, Rates, play

_INSTANCES: Final = 10_000
_SECONDS: Final = 60.0
_RENEW_MS: Final = 20.0
_FETCH_MS: Final = 2.0


class Registry(Engine):
    """The platform as `breakwater serve` runs it, with places for all and some more."""

    name = "registry"
    program = sys.executable
    instances = _INSTANCES

    def settle(self) -> None:
        """Give it time for what it loads once it listens."""
        time.sleep(4)

    def command(self) -> list[str]:
        """No other port than that of HTTP."""
        settings = {
            "data_dir": self.data,
            "server.port": self.port,
            "ingest.port": 0,
            "log_level": "warning",
            "registry.max_instances": self.instances + 1_000,
        }
        flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        return [str(Path(self.program).with_name("breakwater")), "serve", *flags]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run showed; the share is of one core."""

    instances: int
    churn: float
    figures: dict[str, Figures]
    cpu_share: float
    memory_bytes: int


def run(*, instances: int, seconds: float, rates: Rates) -> Outcome:
    """One registry under one load."""
    Registry.instances = instances
    cores = os.sched_getaffinity(0)
    began_cpu_s = 0.0
    with tempfile.TemporaryDirectory() as folder, Registry(Path(folder)) as server:

        async def settled() -> None:
            nonlocal began_cpu_s
            server.bind(FIRST_CORE)  # threads that were started since are bound too
            began_cpu_s = server.cpu_s

        server.settle()
        os.sched_setaffinity(0, LAST_CORE)
        try:
            playing = play(
                server.port, instances=instances, seconds=seconds, rates=rates, settled=settled
            )
            figures = asyncio.run(playing)
        finally:
            os.sched_setaffinity(0, cores)
        return Outcome(
            instances=instances,
            churn=rates.churn,
            figures=figures,
            cpu_share=(server.cpu_s - began_cpu_s) / seconds,
            memory_bytes=server.memory_bytes,
        )


def rows(seconds: float = 20.0) -> Iterator[tuple[str, float, str, float | None]]:
    """The promises: p99 of a renewal, and of a full fetch, against what they may be."""
    outcome = run(instances=_INSTANCES, seconds=seconds, rates=Rates())
    renew, full = outcome.figures["renew"], outcome.figures["full fetch, JSON"]
    name = f"registry of {outcome.instances}:"
    yield f"{name} renew, p99", renew.p99_ms, "ms", renew.p99_ms / _RENEW_MS
    yield f"{name} full fetch, median", full.p50_ms, "ms", full.p50_ms / _FETCH_MS
    yield f"{name} full fetch, p99", full.p99_ms, "ms", None
    yield f"{name} CPU of one core", 100 * outcome.cpu_share, "%", None
    yield f"{name} memory", outcome.memory_bytes / 1e6, "MB", None


def main() -> None:
    """One run, as a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.discovery", description=__doc__)
    parser.add_argument("--instances", type=int, default=_INSTANCES)
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    parser.add_argument("--churn", type=float, default=1.0, help="come and go each second")
    parser.add_argument("--full", type=float, default=50.0, help="full fetches each second")
    parser.add_argument("--delta", type=float, default=30.0, help="delta fetches each second")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    rates = Rates(full=options.full, delta=options.delta, churn=options.churn)
    outcome = run(instances=options.instances, seconds=options.seconds, rates=rates)
    print(f"{outcome.instances} instances, {outcome.churn:g} come and go each second")
    print(
        f"{'':20s} {'count':>8s} {'failed':>7s} {'p50':>9s} {'p99':>9s} {'most':>9s} {'size':>11s}"
    )
    for kind, each in outcome.figures.items():
        print(
            f"{kind:20s} {each.asked:8d} {each.failed:7d} {each.p50_ms:6.2f} ms {each.p99_ms:6.2f} "
            f"ms {each.most_ms:6.1f} ms {each.size_bytes:9,d} B"
        )
    print(
        f"server: {100 * outcome.cpu_share:.0f} % of one core, {outcome.memory_bytes / 1e6:.0f} MB"
    )
    if options.json:
        named = {kind: each._asdict() for kind, each in outcome.figures.items()}
        told = {**msgspec.structs.asdict(outcome), "figures": named}
        options.json.write_bytes(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
