"""Records changes until it is killed: run by the tests as a process of its own.

Argument: the database file. It prints the number of every change that was acknowledged.
"""

import asyncio
import sys
from pathlib import Path

from breakwater.journal import Journal
from breakwater.model import Change, ChangeKind, SystemClock
from breakwater.storage import ControlDatabase


async def main() -> None:
    """Record for ever, several changes at a time."""
    async with ControlDatabase(Path(sys.argv[1])) as database:
        journal = Journal(database, SystemClock())
        await asyncio.gather(*(record_for_ever(journal, name) for name in "abcd"))


async def record_for_ever(journal: Journal, name: str) -> None:
    """Record one change after the other; say so after each."""
    number = 0
    while True:
        change = Change(kind=ChangeKind.DEPLOY, target=name, start_ms=number, actor="x", source="y")
        told = await journal.record(change)
        print(told.id, name, number, flush=True)  # noqa: T201 - what the test checks
        number += 1


asyncio.run(main())
