import msgspec
import pytest
from tests.diagnosis.simulation import Fault, simulate
from tests.incidents.replay import FIRST_MS, SETTINGS, Journal, Replay

from breakwater.incidents import Incident, Phase, UnknownIncidentError
from breakwater.incidents.watcher import Watcher
from breakwater.model import ChangeKind, UnavailableError
from breakwater.testing import FakeClock
from breakwater.topology import CallWindow

pytestmark = pytest.mark.anyio

_FAULT = Fault("errors", "licence", 60)


async def _watch(
    recorded: CallWindow, journal: Journal | None = None, seconds: int = 110
) -> tuple[Watcher, list[Incident]]:
    """Judge once a second for `seconds` seconds of a recorded fleet."""
    clock = FakeClock(FIRST_MS + 700)
    moves: list[Incident] = []
    watcher = Watcher(Replay(recorded, clock), journal, clock, SETTINGS, on_change=moves.append)
    for _ in range(seconds):
        clock.advance(1.0)
        await watcher.judge_once()
    return watcher, moves


def _healed() -> CallWindow:
    """A fleet that is broken from second 60 to 80 and healthy before and after."""
    broken, healthy = simulate(5, _FAULT, steps=110), simulate(5, steps=110)
    mixed = {}
    for name in broken.__struct_fields__:
        if name in {"step_ms", "edges", "routes", "instances", "end_ms"}:
            continue
        values = getattr(broken, name).copy()
        values[..., 80:] = getattr(healthy, name)[..., 80:]
        mixed[name] = values
    return msgspec.structs.replace(broken, **mixed)


async def test_a_fault_is_paged_named_and_closed() -> None:
    """From the first bad second to the all-clear: one incident, one name, three steps."""
    watcher, moves = await _watch(_healed())
    assert [move.phase for move in moves] == [Phase.PAGED, Phase.NAMED, Phase.CLOSED]
    assert moves[-1].named == "licence"
    assert len(watcher.incidents()) == 1
    assert watcher.stats().pages == 1


async def test_the_name_comes_within_seconds() -> None:
    """Ten judgements after the fault are enough to name it."""
    _, moves = await _watch(simulate(5, _FAULT, steps=110), seconds=72)
    named = next(move for move in moves if move.phase is Phase.NAMED)
    assert named.named_ms is not None
    assert named.named_ms - (FIRST_MS + 60_000) <= 10_000


async def test_a_quiet_fleet_pages_nobody() -> None:
    """Nothing wrong, nothing said."""
    watcher, moves = await _watch(simulate(6, steps=110))
    assert moves == []
    assert watcher.incidents() == []


async def test_a_page_is_written_to_the_journal_once() -> None:
    """The page becomes a change of kind incident, which triage does not take for a cause."""
    journal = Journal()
    await _watch(_healed(), journal)
    assert [change.kind for change in journal.changes] == [ChangeKind.INCIDENT]


async def test_a_full_disk_does_not_stop_the_page() -> None:
    """An incident that cannot be journalled is still paged and named."""
    _, moves = await _watch(_healed(), Journal(is_full=True))
    assert any(move.phase is Phase.NAMED for move in moves)


async def test_unknown_incidents_are_answered_by_the_known() -> None:
    """The error lists what is kept."""
    watcher, _ = await _watch(_healed())
    assert watcher.incident(1).named == "licence"
    with pytest.raises(UnknownIncidentError, match="no incident 7 is kept; kept: 1"):
        watcher.incident(7)


async def test_a_failing_engine_does_not_end_the_watch() -> None:
    """A judgement that cannot be made is an error of that judgement only."""
    clock = FakeClock(FIRST_MS + 30_000)
    replay = Replay(simulate(6, steps=60), clock)
    watcher = Watcher(replay, None, clock, SETTINGS)
    replay.fails = True
    with pytest.raises(UnavailableError):
        await watcher.judge_once()
    replay.fails = False
    await watcher.judge_once()
    assert watcher.stats().judgements == 1
