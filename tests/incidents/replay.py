"""A recorded fleet shown second by second, as a live engine would, and a journal in memory."""

from breakwater.incidents import IncidentSettings, Triage
from breakwater.metrics import QueryResult
from breakwater.model import Change, UnavailableError
from breakwater.testing import FakeClock
from breakwater.topology import CallWindow

SETTINGS = IncidentSettings(window_s=150, close_after_s=4.0)
FIRST_MS = 1_700_000_000_000


class NoEngine:
    """Stands where the metrics engine would be; a replay never asks it."""

    def query(
        self, program: str, *, start_ms: int, end_ms: int, step_ms: int | None = None
    ) -> QueryResult:
        raise UnavailableError("a replay has no engine")


class Replay(Triage):
    """Shows a simulated fleet second by second, as a live engine would."""

    def __init__(self, recorded: CallWindow, clock: FakeClock) -> None:
        super().__init__(NoEngine(), None, clock, SETTINGS, step_ms=1000)
        self.recorded = recorded
        self.fails = False

    def window(self, *, start_ms: int | None = None, end_ms: int | None = None) -> CallWindow:
        if self.fails:
            raise UnavailableError("the engine is closed")
        end = self.complete_until_ms() if end_ms is None else end_ms
        stamps = self.recorded.end_ms
        seen = (stamps <= end) & (stamps > (start_ms or 0))
        return self.recorded.only(seen)


class Journal:
    """Keeps changes in memory; may refuse like a full disk."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.changes: list[Change] = []
        self.is_full = is_full

    async def record(self, change: Change) -> Change:
        if self.is_full:
            raise UnavailableError("no space left")
        self.changes.append(change)
        return change
