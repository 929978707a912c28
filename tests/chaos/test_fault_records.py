"""What faults leave in journal and ledger, and what a restart makes of it."""

import contextlib
import errno
import os
import signal
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.chaos_fakes import (
    MemoryJournal,
    Victim,
    request,
)
from tests.chaos.fault_bench import LOOSE, Bench

from breakwater.chaos import (
    BlastRadiusError,
    Chaos,
    Fault,
    FaultState,
    LedgerInUseError,
    NotRecordedError,
)
from breakwater.chaos.ledger import Began, Ledger, encode
from breakwater.chaos.victims import boot_id
from breakwater.journal import Journal
from breakwater.model import Change, ChangeKind, UnavailableError
from breakwater.storage import ControlDatabase

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), UnavailableError("full")])
async def test_without_the_journal_no_fault_is_started(
    bench: Bench, victim: Victim, failure: Exception
) -> None:
    """A journal that cannot record means that nothing is touched."""
    chaos = bench.chaos()
    bench.journal.failure = failure
    with pytest.raises(NotRecordedError, match="full"):
        await chaos.inject(request("freeze"))
    assert victim.is_free
    assert bench.open_on_disk() == set()
    assert chaos.faults() == []


async def test_a_journal_that_hangs_counts_as_failed(bench: Bench) -> None:
    """The journal has a time limit; past it no fault starts, and what it stored late is closed."""

    class Hanging(MemoryJournal):
        async def record(self, change: Change) -> Change:
            stored = await super().record(change)
            await anyio.sleep_forever()
            return stored

    bench.journal = Hanging()
    chaos = bench.chaos(msgspec.structs.replace(LOOSE, journal_timeout_s=0.01))
    with pytest.raises(NotRecordedError, match=r"no answer in 0\.01 s"):
        await chaos.inject(request("latency"))
    assert bench.journal.stored[0].end_ms is None
    await chaos.maintain()
    assert bench.journal.stored[0].end_ms is not None


async def test_without_the_ledger_no_fault_is_started(
    bench: Bench, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the ledger: nothing is touched and the change is closed again."""
    chaos = bench.chaos()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotRecordedError, match="No space left"):
        await chaos.inject(request("freeze"))
    assert victim.is_free
    assert bench.journal.stored[0].end_ms is not None
    assert bench.open_on_disk() == set()


async def test_healing_does_not_wait_for_the_journal(bench: Bench) -> None:
    """A journal that fails at the end does not keep a fault alive; its end is written later."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency"))
    bench.journal.failure = RuntimeError("database is locked")
    ended = await chaos.undo(fault.id)
    assert chaos.rules_for("ranker").rules == []
    assert chaos.stats().unwritten_ends == 1
    assert bench.open_on_disk() == {fault.id}
    bench.clock.advance(60.0)
    bench.journal.failure = None
    await chaos.maintain()
    assert chaos.stats().unwritten_ends == 0
    assert bench.journal.stored[0].end_ms == ended.ended_ms
    assert bench.open_on_disk() == set()


@pytest.mark.slow
async def test_recover_undoes_what_a_crash_left_and_may_be_repeated(
    bench: Bench, victim: Victim
) -> None:
    """A new platform thaws what the dead one froze, closes its change, and hands out no rules."""
    chaos = bench.chaos()
    await chaos.inject(request("freeze", all_instances=True))
    await chaos.inject(request("latency"))
    victim.wait_for("T")
    # The crash takes the dead-man along here, so that only recover can thaw.
    for running in chaos._running.values():
        if running.lifeline is not None:
            running.lifeline._popen.kill()
            await running.lifeline.release()
    assert victim.state == "T"
    bench.crash()
    bench.clock.advance(100.0)
    again = bench.chaos()
    recovered = await again.recover()
    assert victim.is_free
    assert [f.state for f in recovered] == [FaultState.UNDONE] * 2
    assert all(c.end_ms == f.ends_ms for c, f in zip(bench.journal.stored, recovered, strict=True))
    assert again.rules_for("ranker").rules == []
    assert bench.open_on_disk() == set()
    assert await again.recover() == []
    assert again.stats().recovered == 2


async def test_pids_of_an_earlier_boot_are_not_touched(bench: Bench, victim: Victim) -> None:
    """After a reboot a pid in the ledger means nothing, even if number and ticks agree."""
    os.kill(victim.pid, signal.SIGSTOP)
    victim.wait_for("T")
    chaos = bench.chaos()
    plan_request = request("freeze", all_instances=True)
    act = chaos.preview(plan_request).acts
    bench.crash()
    fault = Fault(
        id="f-1",
        state=FaultState.ACTIVE,
        started_ms=1,
        ends_ms=2,
        request=plan_request,
        targets=[],
        acts=act,
    )
    bench.path.write_bytes(encode(Began(fault=fault, boot="another boot")))
    await bench.chaos().recover()
    assert victim.state == "T"
    assert bench.open_on_disk() == set()
    bench.crash()
    bench.path.write_bytes(encode(Began(fault=fault, boot=boot_id())))
    await bench.chaos().recover()
    assert victim.is_free


async def test_inject_recovers_first_when_nobody_did(bench: Bench) -> None:
    """A platform that forgot to recover does so before it starts a new fault."""
    await bench.chaos().inject(request("latency"))
    bench.crash()
    again = bench.chaos()
    await again.inject(request("hang"))
    assert [f.state.value for f in again.faults()] == ["undone", "active"]


async def test_close_undoes_and_gives_the_ledger_back(bench: Bench) -> None:
    """An orderly end leaves no fault, answers those who wait, and frees the ledger."""
    chaos = bench.chaos()
    await chaos.inject(request("latency"))
    revision = chaos.rules_for("gateway").revision
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chaos.wait_rules, "gateway", None, revision, 20.0)
            await anyio.wait_all_tasks_blocked()
            await chaos.close()
    assert bench.journal.stored[0].end_ms is not None
    ledger = Ledger(bench.path)
    assert ledger.at_start.open == {}
    ledger.close()


async def test_a_second_platform_on_the_same_ledger_is_refused(bench: Bench) -> None:
    """Two platforms would undo each other's faults."""
    bench.chaos()
    with pytest.raises(LedgerInUseError):
        bench.chaos()


STEPS = "inject undo tick journal disk crash maintain".split()


@pytest.mark.slow
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_after_any_history_a_restart_and_maintain_leave_everything_closed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Whatever happened, one healthy restart closes every fault, every change and the ledger."""
    bench = Bench(tmp_path_factory.mktemp("history"))

    async def play() -> None:
        chaos = bench.chaos()
        for step in steps:
            if step == "inject":
                with contextlib.suppress(BlastRadiusError, NotRecordedError):
                    await chaos.inject(request("latency", duration_s=5))
            elif step == "undo":
                await chaos.undo_all()
            elif step == "tick":
                bench.clock.advance(3.0)
            elif step == "journal":
                bench.journal.failure = None if bench.journal.failure else OSError("full")
            elif step == "disk":
                bench.break_disk(chaos)
            elif step == "maintain":
                await chaos.maintain()
            else:
                bench.crash()
                chaos = bench.chaos()
            assert len(chaos.rules_for("ranker").rules) <= chaos.stats().active <= 3
        bench.crash()
        bench.journal.failure = None
        chaos = bench.chaos()
        await chaos.recover()
        assert chaos.faults(active_only=True) == []

    anyio.run(play)
    assert all(change.end_ms is not None for change in bench.journal.stored)
    assert bench.open_on_disk() == set()
    bench.end()


async def test_a_change_without_a_ledger_entry_is_closed_at_the_next_start(bench: Bench) -> None:
    """A crash between journal and ledger leaves a stray change; recover ends it at its limit."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency", duration_s=30))
    bench.crash()
    bench.path.write_bytes(b"")
    bench.clock.advance(3600.0)
    await bench.chaos().recover()
    assert bench.journal.stored[0].end_ms == fault.ends_ms


async def test_the_platforms_own_journal_fits(bench: Bench, tmp_path: Path) -> None:
    """Faults appear in the real journal, and are closed there."""
    async with ControlDatabase(tmp_path / "control.db") as database:
        journal = Journal(database, bench.clock)
        chaos = Chaos(lambda: bench.view, tmp_path / "own", journal, bench.clock, LOOSE)
        fault = await chaos.inject(request("errors", status=503))
        (change,) = await journal.changes(kinds=[ChangeKind.FAULT])
        assert (change.id, change.end_ms) == (fault.change_id, None)
        await chaos.close()
        (change,) = await journal.changes(kinds=[ChangeKind.FAULT])
        assert change.end_ms == bench.clock.now_ms()
