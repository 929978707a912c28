"""How one guarded call is timed: CPU time of this thread, median of repeats, one case a process.

Each repeat of a case is preceded by one of the bare call, in the same process: how fast a shared
machine is changes within seconds, and the pair says what it was. Only the standard library is used
here, since the peers run in an environment of their own. A case is a name, a kind, and what makes
the callable; `python -m <module> <name>` prints its figure and the bare call's.
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


class Timed(NamedTuple):
    """CPU nanoseconds of one call and of one bare call, the loop around them included."""

    call_ns: float
    bare_ns: float


def run(cases: list[Case], name: str) -> Timed:
    """The medians of the case and of the bare call of its kind."""
    case = next(case for case in cases if case.name == name)
    refused = case.kind.endswith("refused")
    if case.kind.startswith("async"):
        return asyncio.run(_time_async(case.make, _loop_async_refused if refused else _loop_async))
    call = case.make()
    loop = _loop_refused if refused else _loop
    calls, bare_calls = _calibrate(loop, call), _calibrate(_loop, identity)
    samples = [
        (_sample(_loop, identity, bare_calls), _sample(loop, call, calls)) for _ in range(REPEATS)
    ]
    return _medians(samples)


def _medians(samples: list[tuple[float, float]]) -> Timed:
    bare, guarded = zip(*samples, strict=True)
    return Timed(call_ns=statistics.median(guarded), bare_ns=statistics.median(bare))


def _calibrate(loop: Callable[[Callable[[int], Any], int], None], call: Any) -> int:
    calls = 500
    while True:
        before = time.thread_time_ns()
        loop(call, calls)
        took_ns = time.thread_time_ns() - before
        if took_ns >= LEAST_NS or calls >= 1_000_000:
            return calls
        calls = min(1_000_000, max(calls * 2, int(calls * LEAST_NS / max(took_ns, 1))))


def _sample(
    loop: Callable[[Callable[[int], Any], int], None], call: Callable[[int], Any], calls: int
) -> float:
    before = time.thread_time_ns()
    loop(call, calls)
    return (time.thread_time_ns() - before) / calls


AsyncLoop = Callable[[Callable[[int], Awaitable[Any]], int], Awaitable[None]]


async def _time_async(make: Callable[[], Callable[[int], Any]], loop: AsyncLoop) -> Timed:
    call = make()
    calls = await _calibrate_async(loop, call)
    bare_calls = await _calibrate_async(_loop_async, identity_async)
    samples = []
    for _ in range(REPEATS):
        bare = await _sample_async(_loop_async, identity_async, bare_calls)
        samples.append((bare, await _sample_async(loop, call, calls)))
        await asyncio.sleep(0)
    return _medians(samples)


async def _calibrate_async(loop: AsyncLoop, call: Callable[[int], Any]) -> int:
    calls = 500
    while True:
        took_ns = calls * await _sample_async(loop, call, calls)
        if took_ns >= LEAST_NS or calls >= 1_000_000:
            return calls
        calls = min(1_000_000, max(calls * 2, int(calls * LEAST_NS / max(took_ns, 1.0))))


async def _sample_async(loop: AsyncLoop, call: Callable[[int], Any], calls: int) -> float:
    before = time.thread_time_ns()
    await loop(call, calls)
    return (time.thread_time_ns() - before) / calls


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
    """Without a name, list the cases; with one, print its figure and the bare call's."""
    if len(sys.argv) < 2:
        for case in cases:
            print(f"{case.name}\t{case.kind}")
    else:
        print(*run(cases, sys.argv[1]))
