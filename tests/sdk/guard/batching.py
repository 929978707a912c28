"""What the tests of collapsing share: a command whose calls go in batches, a store of numbers."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any

from breakwater.sdk.guard import CollapseConfig, Command, CommandConfig, Guards
from breakwater.testing import FakeClock, run_virtual


def command(clock: FakeClock | None = None, **collapse: Any) -> Command:
    """A command whose calls go in batches."""
    guards = Guards(clock=clock, random=Random(1))
    return guards.command("load", CommandConfig(collapse=CollapseConfig(**collapse)))


class Store:
    """An async batch function that doubles numbers, and remembers its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.seconds = seconds
        self.cancelled = 0

    async def load(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [2 * number for number in numbers]


async def all_of(work: Sequence[Awaitable[Any]]) -> list[Any]:
    """Results and errors in order."""
    return list(await asyncio.gather(*work, return_exceptions=True))


def run(clock: FakeClock, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """`main()` in virtual time."""
    return run_virtual(main(), clock)
