"""How long is a crashed instance still shown, and does anybody else go with it?

Run with `python -m benchmarks.crash_visibility [--sizes 1-12,1000] [--leases native,classic]
[--signals kill,stop] [--json FILE]`. For each size a registry of its own and a fleet of real
processes (of a thousand, one is a process and one plays the others). One instance is killed with
SIGKILL, or frozen with SIGSTOP, at a random moment; then the native view is followed by long poll
and the classic one is asked five times a second.

Bounds: SIGKILL, native view: 15 s whatever the lease; classic view: the lease. SIGSTOP: a frozen
process takes connections, so only its health check tells: doubtful within 15 s, gone with its
lease. Nobody else may be hidden or ended.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import aiohttp
import anyio
import msgspec
import uvicorn
from starlette.applications import Starlette

from breakwater.model import Health, SystemClock, ViewChange
from breakwater.registry import Directory, RegistrySettings
from breakwater.registry.http import routes

LEASES: Final = {"native": (15, 5), "classic": (90, 30)}
VISIBLE_S: Final = 15.0
_APP: Final = "RANKER"
_VICTIM: Final = "victim"
_REAL_UP_TO: Final = 12
_SLACK_S: Final = 1.0
_GIVE_UP_S: Final = 60.0
_INSTANCE: Final = Path(__file__).with_name("small_instance.py")


class Trial(NamedTuple):
    """One crash: in a fleet of `size`, with `lease` terms, by `how`."""

    size: int
    lease: str
    how: Literal["kill", "stop"]


class Seen(msgspec.Struct, kw_only=True):
    """Seconds until the victim was doubted, hidden from the native view, gone from the classic.

    others: instances that went, or were doubted, without a reason.
    """

    size: int
    lease: str
    how: str
    doubted_s: float | None = None
    hidden_s: float | None = None
    gone_s: float | None = None
    others: list[str] = []

    @property
    def is_good(self) -> bool:
        """Whether every bound was kept."""
        lease_s, _ = LEASES[self.lease]
        if self.others or self.gone_s is None or self.gone_s > lease_s + _SLACK_S:
            return False
        told_s = self.hidden_s if self.how == "kill" else self.doubted_s or self.hidden_s
        return told_s is not None and told_s <= VISIBLE_S + _SLACK_S


async def measure(trials: list[Trial], *, seed: int = 1) -> list[Seen]:
    """Carry out all trials at the same time, each with a registry of its own."""
    async with registries(len(trials)) as ports:
        found: dict[int, Seen] = {}

        async def carry_out(number: int, trial: Trial) -> None:
            found[number] = await crash(trial, ports[number], random.Random(seed + number))

        async with anyio.create_task_group() as group:
            for number, trial in enumerate(trials):
                group.start_soon(carry_out, number, trial)
    return [found[number] for number in range(len(trials))]


async def crash(trial: Trial, port: int, chance: random.Random) -> Seen:
    """Start a fleet, crash one of it, and watch."""
    seen = Seen(size=trial.size, lease=trial.lease, how=trial.how)
    lease_s, interval_s = LEASES[trial.lease]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        others = {f"other-{number}": 1 for number in range(trial.size - 1)}
        if trial.size - 1 > _REAL_UP_TO:
            others = {"other": trial.size - 1}
        victim = await stack.enter_async_context(instance(port, _VICTIM, 1, trial.lease))
        for name, count in others.items():
            await stack.enter_async_context(instance(port, name, count, trial.lease))
        await asyncio.sleep(6 + chance.uniform(0, interval_s))
        change = await changes(session, None)
        if len(change.instances) != trial.size:
            seen.others.append(f"{trial.size - len(change.instances)} before the crash")
        victim.send_signal(signal.SIGKILL if trial.how == "kill" else signal.SIGSTOP)
        begun_s = time.monotonic()
        with anyio.move_on_after(lease_s + _GIVE_UP_S):
            async with anyio.create_task_group() as group:
                group.start_soon(follow, session, change, begun_s, seen)
                await until_gone(session, begun_s, seen)
                await asyncio.sleep(2 * _SLACK_S)
                group.cancel_scope.cancel()
    return seen


async def follow(
    session: aiohttp.ClientSession, change: ViewChange, begun_s: float, seen: Seen
) -> None:
    """Note what the native view says of the victim, and of anybody else."""
    revision: int | None = change.revision
    while True:
        told = await changes(session, revision)
        revision = told.revision
        after_s = round(time.monotonic() - begun_s, 2)
        for one in told.instances:
            if one.instance_id != _VICTIM and one.health is not Health.FRESH:
                seen.others.append(f"{one.instance_id} {one.health} after {after_s} s")
            elif one.instance_id == _VICTIM and one.health is Health.DOUBTFUL:
                seen.doubted_s = seen.doubted_s or after_s
        for key in told.gone:
            if key.instance_id == _VICTIM:
                seen.hidden_s = seen.hidden_s or after_s
            else:
                seen.others.append(f"{key.instance_id} gone after {after_s} s")


async def changes(session: aiohttp.ClientSession, revision: int | None) -> ViewChange:
    """The next change of the native view."""
    known = {} if revision is None else {"revision": str(revision), "wait_s": "30"}
    async with session.get("/api/v1/registry/changes", params=known) as answer:
        return msgspec.json.decode(await answer.read(), type=ViewChange)


async def until_gone(session: aiohttp.ClientSession, begun_s: float, seen: Seen) -> None:
    """Ask the classic view for the victim until it is gone."""
    while True:
        async with session.get(f"/eureka/apps/{_APP}/{_VICTIM}") as answer:
            if answer.status == 404:
                seen.gone_s = round(time.monotonic() - begun_s, 2)
                return
        await asyncio.sleep(0.2)


@asynccontextmanager
async def instance(port: int, name: str, count: int, lease: str) -> AsyncIterator[Process]:
    """A process that plays `count` instances, registered and renewing."""
    lease_s, interval_s = LEASES[lease]
    words = [port, _APP, name, count, lease_s, interval_s]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_INSTANCE), *map(str, words), stdout=PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def registries(count: int) -> AsyncIterator[list[int]]:
    """A process with so many registries, each at a port of its own."""
    module = [sys.executable, "-m", "benchmarks.crash_visibility", "--host", str(count)]
    process = await asyncio.create_subprocess_exec(*module, stdout=PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def host(count: int) -> None:
    """Serve so many registries until killed."""
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(count)]
    async with anyio.create_task_group() as group:
        for listener in listeners:
            directory = Directory(RegistrySettings(), SystemClock())
            config = uvicorn.Config(
                Starlette(routes=routes(directory)), log_level="error", access_log=False, ws="none"
            )
            group.start_soon(directory.run)
            group.start_soon(uvicorn.Server(config)._serve, [listener])  # noqa: SLF001 - without signals
        print(json.dumps([each.getsockname()[1] for each in listeners]), flush=True)


def sizes_of(text: str) -> Iterator[int]:
    """The sizes in `1-12,1000`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def told(seconds: float | None) -> str:
    """Seconds in a column."""
    return "-" if seconds is None else f"{seconds:.1f}"


def main() -> int:
    """Measure, print the table, and say by the exit code whether every bound was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default="1-12,1000")
    parser.add_argument("--leases", default="native,classic")
    parser.add_argument("--signals", default="kill,stop")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--host", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.host:
        asyncio.run(host(asked.host))
        return 0
    trials = [
        Trial(size, lease, how)
        for how in asked.signals.split(",")
        for lease in asked.leases.split(",")
        for size in sizes_of(asked.sizes)
    ]
    found = asyncio.run(measure(trials, seed=asked.seed))
    print(f"{os.cpu_count()} cores, seed {asked.seed}; seconds after the signal")
    print("signal lease    size  doubted  native  classic  others  ")
    for seen in found:
        print(
            f"{seen.how:6} {seen.lease:7} {seen.size:5} {told(seen.doubted_s):>8} "
            f"{told(seen.hidden_s):>7} {told(seen.gone_s):>8}  "
            f"{len(seen.others):6}  {'' if seen.is_good else 'BOUND BROKEN'}"
        )
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    return 0 if all(seen.is_good for seen in found) else 1


if __name__ == "__main__":
    sys.exit(main())
