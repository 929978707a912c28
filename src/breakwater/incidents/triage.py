"""One judgement on demand: the same arrays, the same rules, plus what people changed meanwhile."""

import time
from typing import Protocol

import msgspec

from breakwater.diagnosis import Diagnosis, diagnose
from breakwater.incidents.settings import IncidentSettings
from breakwater.model import Change, ChangeKind, Clock
from breakwater.topology import CallWindow, QueryEngine, observe

_BLIND_TO = frozenset({ChangeKind.FAULT, ChangeKind.INCIDENT})
"""Chaos must be found by its effects, and our own pages are not causes."""


class ChangeLog(Protocol):
    """What is needed of the journal."""

    async def changes(self, start_ms: int, end_ms: int, *, limit: int = 100) -> list[Change]:
        """Changes that overlap [start_ms, end_ms]."""
        ...


class TriageResult(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement, changes near its onset, and how long it took."""

    diagnosis: Diagnosis
    changes: list[Change] = []
    cost_ms: float = 0.0
    version: str = ""


class Triage:
    """Judges any window of a running metrics engine."""

    def __init__(
        self,
        engine: QueryEngine,
        journal: ChangeLog | None,
        clock: Clock,
        settings: IncidentSettings,
        *,
        step_ms: int,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._settings = settings.for_step(step_ms)
        self.step_ms = step_ms

    def check_settings(self) -> None:
        """Raise the engine's error when the business indicator is no program it can run."""
        end_ms = self.complete_until_ms()
        self._engine.query(
            self._settings.starts_query,
            start_ms=end_ms - self.step_ms,
            end_ms=end_ms,
            step_ms=self.step_ms,
        )

    def complete_until_ms(self) -> int:
        """End of the newest step that no longer receives values."""
        settled = self._clock.now_ms() - self._settings.settle_ms
        return settled // self.step_ms * self.step_ms

    def window(self, *, start_ms: int | None = None, end_ms: int | None = None) -> CallWindow:
        """Telemetry of (start_ms, end_ms]; by default the settings' window up to now. Blocking."""
        end = self.complete_until_ms() if end_ms is None else end_ms // self.step_ms * self.step_ms
        start = end - int(self._settings.window_s * 1000) if start_ms is None else start_ms
        start = max(start, end - int(self._settings.max_incident_s * 1000))
        return observe(
            self._engine,
            start_ms=start // self.step_ms * self.step_ms,
            end_ms=end,
            step_ms=self.step_ms,
            starts_query=self._settings.starts_query,
        )

    def judge(self, window: CallWindow) -> Diagnosis:
        """The judgement over `window`, by the thresholds of the settings. Blocking, pure."""
        return diagnose(_without_silent_start(window), self._settings.thresholds)

    def judge_now(
        self, *, start_ms: int | None = None, end_ms: int | None = None
    ) -> tuple[TriageResult, CallWindow]:
        """Observe and judge; returns the window too, for pictures of it. Blocking."""
        started = time.perf_counter()
        window = self.window(start_ms=start_ms, end_ms=end_ms)
        judged = self.judge(window)
        cost_ms = (time.perf_counter() - started) * 1000
        return TriageResult(diagnosis=judged, cost_ms=round(cost_ms, 1)), window

    async def with_changes(self, result: TriageResult) -> TriageResult:
        """Add the changes people made from ten minutes before the window to its end."""
        if self._journal is None:
            return result
        judged = result.diagnosis
        found = await self._journal.changes(judged.start_ms - 600_000, judged.end_ms, limit=100)
        changes = [change for change in found if change.kind not in _BLIND_TO]
        return msgspec.structs.replace(result, changes=changes)


def _without_silent_start(window: CallWindow) -> CallWindow:
    """Drop leading steps before the first call: the fleet was not there yet, it was not quiet."""
    calls = window.client_calls.sum(axis=(0, 1)) if len(window.edges) else window.end_ms * 0
    busy = calls.nonzero()[0]
    if not len(busy) or busy[0] == 0:
        return window
    first = int(busy[0]) + 1
    return window.only(slice(first, None))
