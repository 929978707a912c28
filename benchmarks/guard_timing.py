"""How one guarded call is timed: CPU time of this thread, median of repeats, one case a process.

Only the standard library is used here, since the peers run in an environment of their own. A case
is a name, a kind, and what makes the callable; `python -m <module> <name>` prints its figure.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

REPEATS = 7
LEAST_NS = 20_000_000
"""CPU time that one repeat takes at least."""


class Case(NamedTuple):
    """kind: `sync`, `async`, and each with ` refused` for calls whose exception is caught.

    make gives the guarded callable; for async kinds it is called within the running loop.
    """

    name: str
    kind: str
    make: Callable[[], Callable[[int], Any]]


def identity(x: int) -> int:
    """The guarded function."""
    return x


async def identity_async(x: int) -> int:
    """The guarded coroutine function."""
    return x


def run(cases: list[Case], name: str) -> float:
    """CPU nanoseconds a call of the case, harness included."""
    case = next(case for case in cases if case.name == name)
    refused = case.kind.endswith("refused")
    if case.kind.startswith("async"):
        return asyncio.run(_time_async(case.make, _loop_async_refused if refused else _loop_async))
    call = case.make()
    loop = _loop_refused if refused else _loop
    calls = _calibrate(loop, call)
    return statistics.median(_sample(lambda n: loop(call, n), calls) for _ in range(REPEATS))


def _calibrate(loop: Callable[[Callable[[int], Any], int], None], call: Any) -> int:
    calls = 500
    while True:
        before = time.thread_time_ns()
        loop(call, calls)
        took_ns = time.thread_time_ns() - before
        if took_ns >= LEAST_NS or calls >= 1_000_000:
            return calls
        calls = min(1_000_000, max(calls * 2, int(calls * LEAST_NS / max(took_ns, 1))))


def _sample(loop: Callable[[int], None], calls: int) -> float:
    before = time.thread_time_ns()
    loop(calls)
    return (time.thread_time_ns() - before) / calls


async def _time_async(
    make: Callable[[], Callable[[int], Any]],
    loop: Callable[[Callable[[int], Awaitable[Any]], int], Awaitable[None]],
) -> float:
    call = make()
    calls = 500
    while True:
        before = time.thread_time_ns()
        await loop(call, calls)
        took_ns = time.thread_time_ns() - before
        if took_ns >= LEAST_NS or calls >= 1_000_000:
            break
        calls = min(1_000_000, max(calls * 2, int(calls * LEAST_NS / max(took_ns, 1))))
    samples = []
    for _ in range(REPEATS):
        before = time.thread_time_ns()
        await loop(call, calls)
        samples.append((time.thread_time_ns() - before) / calls)
        await asyncio.sleep(0)
    return statistics.median(samples)


def _loop(call: Callable[[int], Any], calls: int) -> None:
    for i in range(calls):
        call(i)


def _loop_refused(call: Callable[[int], Any], calls: int) -> None:
    for i in range(calls):
        try:
            call(i)
        except Exception:  # noqa: BLE001 - whatever the library refuses with
            continue


async def _loop_async(call: Callable[[int], Awaitable[Any]], calls: int) -> None:
    for i in range(calls):
        await call(i)


async def _loop_async_refused(call: Callable[[int], Awaitable[Any]], calls: int) -> None:
    for i in range(calls):
        try:
            await call(i)
        except Exception:  # noqa: BLE001 - whatever the library refuses with
            continue


def main(cases: list[Case]) -> None:
    """Without a name, list the cases; with one, print its figure."""
    if len(sys.argv) < 2:
        for case in cases:
            print(f"{case.name}\t{case.kind}")
    else:
        print(run(cases, sys.argv[1]))
