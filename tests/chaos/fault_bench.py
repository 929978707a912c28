"""A chaos with its surroundings, which can crash, lose its disk and start again."""

import os
from pathlib import Path

from tests.chaos.chaos_fakes import (
    MemoryJournal,
    instance,
    view,
)

from breakwater.chaos import (
    Chaos,
    ChaosSettings,
)
from breakwater.chaos.ledger import replay
from breakwater.model import InstanceView
from breakwater.testing import FakeClock

LOOSE = ChaosSettings(leashed=False, max_share=1.0)


class Bench:
    """A chaos with its surroundings, and a way to crash and restart it."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal()
        self.path = folder / "undo.ledger"
        self.view: InstanceView = view(instance("ranker", 1), instance("gateway", 1))
        self._number = 0
        self._made: list[Chaos] = []

    def chaos(self, settings: ChaosSettings = LOOSE) -> Chaos:
        """A platform's chaos on this ledger."""
        made = Chaos(
            lambda: self.view,
            self.path,
            self.journal,
            self.clock,
            settings,
            new_id=self._new_id,
            draw=lambda: 0.0,
        )
        self._made.append(made)
        return made

    def crash(self) -> None:
        """Let the last chaos vanish as kill -9 would: only its open files are given back."""
        self._made.pop()._chronicle.close()

    def break_disk(self, chaos: Chaos) -> None:
        """Put a full device under the ledger: every later write of this run fails."""
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, chaos._chronicle._ledger._fd, inheritable=False)
        os.close(full)

    def open_on_disk(self) -> set[str]:
        """Ids of the faults the ledger says are open."""
        return set(replay(self.path.read_bytes()).open)

    def end(self) -> None:
        """Give the files back."""
        while self._made:
            self.crash()

    def _new_id(self) -> str:
        self._number += 1
        return f"f-{self._number}"
