"""What the journal acknowledged survives a kill -9."""

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from breakwater.journal import Journal
from breakwater.storage import ControlDatabase
from breakwater.testing import FakeClock

PROGRAM = Path(__file__).with_name("journal_program.py")


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(3))
async def test_every_acknowledged_change_survives_a_kill(tmp_path: Path, seed: int) -> None:
    """Killed at a random moment, the journal has every change it said it had, and stays usable."""
    path = tmp_path / "control.db"
    acknowledged = kill_while_recording(path, random.Random(seed).randrange(1, 400))
    async with ControlDatabase(path) as database:
        journal = Journal(database, FakeClock())
        for number, target, start_ms in acknowledged:
            change = await journal.change(number)
            assert (change.target, change.start_ms) == (target, start_ms)
        again = msgspec.structs.replace((await journal.changes(limit=1))[0], id=None)
        newest = await journal.record(again)
        assert newest.id is not None
        assert newest.id > max(number for number, _, _ in acknowledged)


def kill_while_recording(path: Path, after: int) -> list[tuple[int, str, int]]:
    """What the program said it recorded until it was killed, after at least `after` changes."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += [line for line in process.stdout if line.endswith("\n")]
    said = [line.split() for line in lines]
    return [(int(number), target, int(start_ms)) for number, target, start_ms in said]
