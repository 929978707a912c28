import msgspec
import pytest
from tests.diagnosis.simulation import Fault, simulate
from tests.incidents.replay import FIRST_MS, SETTINGS, Replay

from breakwater.incidents import IncidentSettings, Triage
from breakwater.incidents.triage import TriageResult
from breakwater.model import Change, ChangeKind
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


class Changes:
    """A journal that holds one change of every kind."""

    async def changes(self, start_ms: int, end_ms: int, *, limit: int = 100) -> list[Change]:
        return [
            Change(kind=kind, target="x", start_ms=start_ms, actor="a", source="s")
            for kind in ChangeKind
        ][:limit]


async def test_chaos_and_our_own_pages_are_not_shown_as_changes() -> None:
    """What was injected has to be found by its effects; everything else people did is told."""
    clock = FakeClock(FIRST_MS)
    replay = Replay(simulate(1, steps=40), clock)
    triage = Triage(replay._engine, Changes(), clock, SETTINGS, step_ms=1000)
    told = await triage.with_changes(TriageResult(diagnosis=replay.judge(replay.recorded)))
    kinds = {change.kind for change in told.changes}
    assert kinds == set(ChangeKind) - {ChangeKind.FAULT, ChangeKind.INCIDENT}


async def test_the_minute_before_the_fleet_existed_is_no_baseline() -> None:
    """Steps before the first call are cut off, or a start would look like a surge."""
    recorded = simulate(1, Fault("errors", "licence", 60), steps=80)
    late = recorded.client_calls.copy()
    late[..., :50] = 0
    clock = FakeClock(FIRST_MS + 81_000)
    replay = Replay(recorded, clock)
    replay.recorded = msgspec.structs.replace(recorded, client_calls=late)
    judged = replay.judge(replay.window(start_ms=0))
    assert judged.start_ms == FIRST_MS + 51_000
    assert "quiet steps" in judged.headline


@pytest.mark.parametrize(("step_ms", "window_s"), [(1000, 150), (5000, 300), (60_000, 3600)])
def test_coarse_steps_get_longer_windows(step_ms: int, window_s: float) -> None:
    """A judgement sees at least sixty steps, whatever their length."""
    assert IncidentSettings().for_step(step_ms).window_s == window_s
