"""The loop that judges the fleet and keeps its incidents."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog

from breakwater.diagnosis import Diagnosis, has_recovered
from breakwater.incidents.errors import UnknownIncidentError
from breakwater.incidents.pager import Incident, Phase, advance
from breakwater.incidents.settings import IncidentSettings
from breakwater.incidents.triage import Triage
from breakwater.model import BreakwaterError, Change, ChangeKind, Clock

log = structlog.get_logger("breakwater.incidents")


class Recorder(Protocol):
    """Where pages are written down: the journal."""

    async def record(self, change: Change) -> Change:
        """Keep `change`; returns it with its id."""
        ...


class WatcherStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the watcher has done since it started; `last_cost_ms` is one judgement."""

    judgements: int
    failed_judgements: int
    pages: int
    named: int
    open_incident: int | None
    last_verdict: str | None
    last_cost_ms: float


class Watcher:
    """Judges every `evaluate_s` seconds; owns the open incident and the last closed ones."""

    def __init__(
        self,
        triage: Triage,
        recorder: Recorder | None,
        clock: Clock,
        settings: IncidentSettings,
        *,
        on_change: Callable[[Incident], None] | None = None,
    ) -> None:
        self._triage = triage
        self._recorder = recorder
        self._clock = clock
        self._settings = settings = settings.for_step(triage.step_ms)
        self._on_change = on_change
        self._open: Incident | None = None
        self._closed: deque[Incident] = deque(maxlen=settings.keep)
        self._baseline_from_ms = 0
        self._next_id = 1
        self._judgements = self._failed = self._pages = self._named = 0
        self._last: Diagnosis | None = None
        self._last_cost_ms = 0.0

    async def run(self) -> None:
        """Judge until cancelled; a judgement that fails is counted and logged, never the end."""
        while True:
            started = self._clock.monotonic_s()
            try:
                await self.judge_once()
            except BreakwaterError as error:
                self._failed += 1
                log.warning("watcher.judgement_failed", reason=str(error))
            spent = self._clock.monotonic_s() - started
            await anyio.sleep(max(self._settings.evaluate_s - spent, 0.05))

    async def judge_once(self) -> Diagnosis:
        """Observe, judge and advance the open incident by one judgement."""
        start_ms = self._window_start_ms()
        judged, healthy = await anyio.to_thread.run_sync(self._judge, start_ms)
        self._judgements += 1
        self._last = judged
        previous = self._open
        self._open = advance(
            previous,
            judged,
            is_healthy=healthy,
            now_ms=self._clock.now_ms(),
            next_id=self._next_id,
            settings=self._settings,
        )
        await self._follow(previous, self._open)
        return judged

    def incidents(self) -> list[Incident]:
        """Paged incidents, the open one first, then closed ones from new to old."""
        is_public = self._open is not None and self._open.phase is not Phase.SUSPECTED
        current = [self._open] if is_public and self._open else []
        return [*current, *reversed(self._closed)]

    def incident(self, number: int) -> Incident:
        """The incident of that id; raises UnknownIncidentError."""
        for found in self.incidents():
            if found.id == number:
                return found
        kept = ", ".join(str(found.id) for found in self.incidents()) or "none"
        raise UnknownIncidentError(f"no incident {number} is kept; kept: {kept}")

    def stats(self) -> WatcherStats:
        """Counters for the platform's own monitoring."""
        return WatcherStats(
            judgements=self._judgements,
            failed_judgements=self._failed,
            pages=self._pages,
            named=self._named,
            open_incident=self._open.id if self._open else None,
            last_verdict=self._last.verdict if self._last else None,
            last_cost_ms=self._last_cost_ms,
        )

    def _window_start_ms(self) -> int:
        sliding = self._triage.complete_until_ms() - int(self._settings.window_s * 1000)
        if self._open is not None:
            sliding = self._open.baseline_ms
        return max(sliding, self._baseline_from_ms)

    def _judge(self, start_ms: int) -> tuple[Diagnosis, bool]:
        result, window = self._triage.judge_now(start_ms=start_ms)
        self._last_cost_ms = result.cost_ms
        current = self._open
        healthy = False
        if current is not None and current.diagnosis.onset_ms is not None:
            healthy = has_recovered(window, current.diagnosis.onset_ms, self._settings.thresholds)
        return result.diagnosis, healthy

    async def _follow(self, before: Incident | None, now: Incident | None) -> None:
        """Count, journal and announce what the last judgement changed."""
        if now is None or (before is not None and before.phase is now.phase):
            return
        if now.phase is Phase.SUSPECTED:
            self._next_id += 1
            return
        if now.phase is Phase.PAGED or (before is None or before.phase is Phase.SUSPECTED):
            self._pages += 1
            await self._journal(now)
        if now.phase is Phase.NAMED:
            self._named += 1
        if now.phase is Phase.CLOSED:
            self._closed.append(now)
            self._open = None
            self._baseline_from_ms = (now.healthy_since_ms or now.closed_ms or 0) - 1000
        log.info("incident.moved", phase=now.phase, id=now.id, signal=now.signal, service=now.named)
        if self._on_change is not None:
            self._on_change(now)

    async def _journal(self, incident: Incident) -> None:
        if self._recorder is None:
            return
        change = Change(
            kind=ChangeKind.INCIDENT,
            target=incident.signal,
            start_ms=incident.diagnosis.onset_ms or incident.first_seen_ms,
            actor="breakwater",
            source="watcher",
            detail={"incident": str(incident.id), "verdict": incident.diagnosis.verdict},
        )
        try:
            await self._recorder.record(change)
        except BreakwaterError as error:
            log.warning("watcher.page_not_journalled", id=incident.id, reason=str(error))
