"""What a guard costs per call: CPU nanoseconds of a guarded call less those of the bare one.

CPU time of this thread is measured, so other work on the machine shows little; the median of
several repeats is given. `ratio` is the cost as a multiple of the peer named in the row: a bare
call, `asyncio.timeout` alone, or a bare `raise`.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from breakwater.model import Status, SystemClock
from breakwater.sdk.errors import CallError, CallRefusedError
from breakwater.sdk.guard import BreakerConfig, Command

Row = tuple[str, float, str, float]

REPEATS = 7
CALLS = 20_000


def rows() -> list[Row]:
    """(name, value, unit, ratio) for each way to guard a call; takes about four seconds."""
    bare = _sync(_call_bare)
    bare_async = asyncio.run(_async(_await_bare))
    timeout_alone = asyncio.run(_async(_await_timeout))
    raise_alone = _sync(_raise_bare)
    full = _command("full", max_concurrent=10)
    timed = _command("timed", timeout_s=1.0, max_concurrent=10)
    opened = _opened()
    measured: list[tuple[str, float, float]] = [
        ("bare call", bare, bare),
        ("guard, sync: bulkhead + breaker", _sync(lambda n: _guarded(full, n)) - bare, bare),
        ("guard, sync: + timeout and deadline", _sync(lambda n: _guarded(timed, n)) - bare, bare),
        ("bare await", bare_async, bare_async),
        (
            "guard, async: bulkhead + breaker",
            asyncio.run(_async(lambda n: _guarded_async(full, n))) - bare_async,
            bare_async,
        ),
        (
            "guard, async: + timeout and deadline",
            asyncio.run(_async(lambda n: _guarded_async(timed, n))) - bare_async,
            timeout_alone,
        ),
        ("asyncio.timeout alone", timeout_alone - bare_async, timeout_alone),
        ("raise alone", raise_alone, raise_alone),
        ("guard, refused by an open breaker", _sync(lambda n: _refused(opened, n)), raise_alone),
    ]
    return [(name, value, "ns/call", value / peer) for name, value, peer in measured]


def _command(name: str, *, timeout_s: float | None = None, max_concurrent: int) -> Command:
    return Command(
        name,
        clock=SystemClock(),
        timeout_s=timeout_s,
        max_concurrent=max_concurrent,
        breaker=BreakerConfig(),
    )


def _opened() -> Command:
    """A command whose breaker has just opened, for longer than the measurement takes."""
    command = Command(
        "open", clock=SystemClock(), breaker=BreakerConfig(minimum_calls=1, open_s=3600.0)
    )
    try:
        command.call_sync(_fail)
    except ValueError:
        return command
    raise AssertionError("the failing call did not fail")


def _fail() -> None:
    raise ValueError


def _identity(x: int) -> int:
    return x


async def _identity_async(x: int) -> int:
    return x


def _call_bare(calls: int) -> None:
    for i in range(calls):
        _identity(i)


def _guarded(command: Command, calls: int) -> None:
    call = command.call_sync
    for i in range(calls):
        call(_identity, i)


def _refused(command: Command, calls: int) -> None:
    call = command.call_sync
    for i in range(calls):
        try:
            call(_identity, i)
        except CallError:
            continue


def _raise_bare(calls: int) -> None:
    for _ in range(calls):
        try:
            raise CallRefusedError(Status.REJECTED, service="x")
        except CallError:
            continue


async def _await_bare(calls: int) -> None:
    for i in range(calls):
        await _identity_async(i)


async def _await_timeout(calls: int) -> None:
    for i in range(calls):
        async with asyncio.timeout(1.0):
            await _identity_async(i)


async def _guarded_async(command: Command, calls: int) -> None:
    call = command.call
    for i in range(calls):
        await call(_identity_async, i)


def _sync(body: Callable[[int], None]) -> float:
    body(CALLS)
    samples: list[int] = []
    for _ in range(REPEATS):
        before = time.thread_time_ns()
        body(CALLS)
        samples.append(time.thread_time_ns() - before)
    return statistics.median(samples) / CALLS


async def _async(body: Callable[[int], Awaitable[None]]) -> float:
    await body(CALLS)
    samples: list[int] = []
    for _ in range(REPEATS):
        before = time.thread_time_ns()
        await body(CALLS)
        samples.append(time.thread_time_ns() - before)
        await asyncio.sleep(0)
    return statistics.median(samples) / CALLS


if __name__ == "__main__":
    for name, value, unit, ratio in rows():
        print(f"{name:42} {value:10.0f} {unit}  x{ratio:.2f}")
