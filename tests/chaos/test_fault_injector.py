"""Starting and ending faults: the order of acts, on real victims and a real ledger."""

import contextlib
import ctypes
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.chaos_fakes import (
    MemoryJournal,
    Victim,
    children_running,
    instance,
    request,
    victims,
    view,
)

from breakwater.chaos import (
    BlastRadiusError,
    Chaos,
    ChaosSettings,
    Fault,
    FaultState,
    LeashedError,
    LedgerInUseError,
    NotRecordedError,
    UndoFailedError,
    UnknownFaultError,
    VictimError,
    lifeline,
)
from breakwater.chaos.deadman import started_ticks
from breakwater.chaos.ledger import Began, Ledger, encode, replay
from breakwater.chaos.victims import boot_id
from breakwater.journal import Journal
from breakwater.model import Change, ChangeKind, InstanceView, UnavailableError
from breakwater.storage import ControlDatabase
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio
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


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A fresh bench."""
    made = Bench(tmp_path)
    yield made
    made.end()


@pytest.fixture
def victim(bench: Bench) -> Iterator[Victim]:
    """One real sleeping process, registered."""
    with victims(1) as (one,):
        one.wait_for("S")
        bench.view = view(one.instance)
        yield one


async def test_a_leashed_chaos_shows_the_targets_and_touches_nothing(
    bench: Bench, victim: Victim
) -> None:
    """By default the plan comes back in the refusal, with the way to unleash."""
    chaos = bench.chaos(ChaosSettings(max_share=1.0))
    with pytest.raises(LeashedError, match=r"freeze ranker-1.*chaos\.leashed = false") as caught:
        await chaos.inject(request("freeze"))
    assert caught.value.plan.targets == chaos.preview(request("freeze")).targets
    assert victim.is_free
    assert (bench.journal.stored, bench.open_on_disk(), chaos.faults()) == ([], set(), [])
    assert (chaos.stats().refused, chaos.stats().started) == (1, 0)


async def test_a_rule_fault_is_in_force_until_it_is_undone(bench: Bench) -> None:
    """Rules, journal and ledger follow a fault from start to undo."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency", actor="me", reason="why", duration_s=30))
    assert fault.state is FaultState.ACTIVE
    assert fault.ends_ms == fault.started_ms + 30_000
    (rule,) = chaos.rules_for("ranker", "ranker-1").rules
    assert (rule.id, rule.expires_ms) == (fault.id, fault.ends_ms)
    (change,) = bench.journal.stored
    assert (change.kind, change.target, change.end_ms) == (ChangeKind.FAULT, "ranker", None)
    assert (change.actor, change.detail["kind"], change.id) == ("me", "latency", fault.change_id)
    assert bench.open_on_disk() == {fault.id}
    bench.clock.advance(5.0)
    undone = await chaos.undo(fault.id)
    assert (undone.state, undone.ended_ms) == (FaultState.UNDONE, fault.started_ms + 5_000)
    assert chaos.rules_for("ranker", "ranker-1").rules == []
    assert bench.journal.stored[0].end_ms == undone.ended_ms
    assert bench.open_on_disk() == set()
    assert await chaos.undo(fault.id) == undone
    assert chaos.faults() == [undone]
    assert chaos.faults(active_only=True) == []


async def test_every_fault_ends_at_its_time(bench: Bench) -> None:
    """Maintain expires what is due and nothing earlier."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("hang", duration_s=10))
    bench.clock.advance(9.9)
    await chaos.maintain()
    assert chaos.find(fault.id).state is FaultState.ACTIVE
    bench.clock.advance(0.2)
    await chaos.maintain()
    assert chaos.find(fault.id).state is FaultState.EXPIRED
    assert bench.journal.stored[0].end_ms is not None
    assert (chaos.stats().expired, chaos.stats().active) == (1, 0)


async def test_run_maintains_by_itself(bench: Bench) -> None:
    """The platform's task ends due faults without being asked."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("hang", duration_s=1))
    revision = chaos.rules_for("ranker").revision
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chaos.run)
            bench.clock.advance(2.0)
            await chaos.wait_rules("ranker", None, revision, 20.0)
            tasks.cancel_scope.cancel()
    assert chaos.find(fault.id).state is FaultState.EXPIRED


@pytest.mark.slow
async def test_a_frozen_process_stands_still_until_it_is_undone(
    bench: Bench, victim: Victim
) -> None:
    """Freeze stops exactly the registered process; undo continues it and ends the dead-man."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.wait_for("T")
    assert fault.acts[0].pid == victim.pid
    assert children_running(f"{victim.pid}:")
    await chaos.undo(fault.id)
    assert victim.is_free
    assert children_running(f"{victim.pid}:") == []


@pytest.mark.slow
async def test_a_crash_kills_the_process_and_says_it_is_not_undone(
    bench: Bench, victim: Victim
) -> None:
    """Crash is SIGKILL; its undo only ends the record."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("crash"))
    assert victim.process.wait(timeout=20) == -signal.SIGKILL
    assert "started again" in fault.note
    assert (await chaos.undo(fault.id)).state is FaultState.UNDONE


@pytest.mark.slow
async def test_the_button_undoes_everything(bench: Bench) -> None:
    """undo_all ends rules and continues every frozen process."""
    with victims(2) as two:
        bench.view = view(*(v.instance for v in two))
        chaos = bench.chaos()
        await chaos.inject(request("freeze", all_instances=True))
        await chaos.inject(request("latency"))
        for v in two:
            v.wait_for("T")
        assert len(await chaos.undo_all()) == 2
        assert all(v.is_free for v in two)
        assert chaos.rules_for("ranker").rules == []
        assert await chaos.undo_all() == []


@pytest.mark.slow
async def test_a_machine_without_descriptors_keeps_no_other_fault_running(
    bench: Bench, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thaw that the system refuses is told and tried again; the other faults end now."""
    chaos = bench.chaos()
    frozen = await chaos.inject(request("freeze"))
    slow = await chaos.inject(request("latency"))
    victim.wait_for("T")

    def refused(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as short:
        short.setattr(os, "pidfd_open", refused)
        with pytest.raises(UndoFailedError, match="Too many open"):
            await chaos.undo_all()
    assert chaos.find(slow.id).state is FaultState.UNDONE
    assert chaos.find(frozen.id).state is FaultState.ACTIVE
    await chaos.maintain()
    assert chaos.find(frozen.id).state is FaultState.UNDONE
    assert victim.is_free


@pytest.mark.slow
async def test_the_death_of_the_dead_man_ends_the_freeze(bench: Bench, victim: Victim) -> None:
    """Without a dead-man nobody would thaw the victim after a crash, so it is thawed at once."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.wait_for("T")
    (deadman,) = children_running(f"{victim.pid}:")
    os.kill(deadman, signal.SIGKILL)
    with anyio.fail_after(20):
        while chaos.find(fault.id).state is FaultState.ACTIVE:
            await chaos.maintain()
    assert victim.is_free


@contextlib.contextmanager
def traced(pid: int) -> Iterator[None]:
    """Hold a stopped process in a tracing stop, which SIGCONT does not end."""
    libc = ctypes.CDLL(None, use_errno=True)
    attach, detach = 16, 17
    assert libc.ptrace(attach, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, 0)
    try:
        yield
    finally:
        assert libc.ptrace(detach, pid, None, None) == 0, os.strerror(ctypes.get_errno())


@pytest.mark.slow
async def test_an_undo_that_fails_is_tried_until_it_succeeds(bench: Bench, victim: Victim) -> None:
    """A victim that stays stopped keeps its fault active and the others are undone."""
    chaos = bench.chaos()
    frozen = await chaos.inject(request("freeze"))
    slow = await chaos.inject(request("latency"))
    victim.wait_for("T")
    with traced(victim.pid):
        with pytest.raises(UndoFailedError, match=rf"{frozen.id}.*pid {victim.pid}"):
            await chaos.undo_all()
        assert chaos.find(slow.id).state is FaultState.UNDONE
        await chaos.maintain()
        assert chaos.find(frozen.id).state is FaultState.ACTIVE
        bench.crash()
        again = bench.chaos()
        with pytest.raises(UndoFailedError, match=frozen.id):
            await again.recover()
    await again.maintain()
    assert again.find(frozen.id).state is FaultState.UNDONE
    assert bench.open_on_disk() == set()
    for running in chaos._running.values():
        assert running.lifeline is not None
        await running.lifeline.release()


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
async def test_without_a_dead_man_nothing_is_frozen(
    bench: Bench, victim: Victim, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """A dead-man that does not start means that the freeze is refused and closed again."""
    monkeypatch.setattr(lifeline, "_DEADMAN", [program])
    chaos = bench.chaos()
    with pytest.raises(VictimError, match="nothing was frozen"):
        await chaos.inject(request("freeze"))
    assert victim.is_free
    assert chaos.faults(active_only=True) == []
    assert bench.journal.stored[0].end_ms is not None
    assert bench.open_on_disk() == set()


async def test_a_process_that_has_died_is_not_a_victim(bench: Bench, victim: Victim) -> None:
    """A zombie, and a process that is gone altogether, are refused as gone."""
    chaos = bench.chaos()
    victim.process.kill()
    victim.wait_for("Z")
    with pytest.raises(VictimError, match="is gone"):
        await chaos.inject(request("crash"))
    victim.process.wait()
    with pytest.raises(VictimError, match="is gone"):
        await chaos.inject(request("crash"))


@pytest.mark.slow
async def test_undo_of_a_victim_that_died_meanwhile_succeeds(bench: Bench, victim: Victim) -> None:
    """Nothing is left to thaw when a frozen process was killed."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.process.kill()
    victim.process.wait()
    assert (await chaos.undo(fault.id)).state is FaultState.UNDONE


async def test_a_pid_of_another_process_is_not_signalled(bench: Bench, victim: Victim) -> None:
    """When pid and start time do not name one living process, nothing is touched or written."""
    chaos = bench.chaos()
    meta = victim.instance.metadata | {"pid_started": "12345"}
    bench.view = view(msgspec.structs.replace(victim.instance, metadata=meta))
    for kind in ("freeze", "crash"):
        with pytest.raises(VictimError, match="another process's"):
            await chaos.inject(request(kind))
    assert victim.is_free
    assert bench.journal.stored == []


async def test_a_start_time_in_seconds_names_the_same_process(bench: Bench, victim: Victim) -> None:
    """An instance registered with seconds since the epoch is held by its exact ticks."""
    ticks = int(victim.instance.metadata["pid_started"])
    started_s = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    meta = victim.instance.metadata | {"pid_started": f"{started_s:.2f}"}
    bench.view = view(msgspec.structs.replace(victim.instance, metadata=meta))
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    assert (fault.acts[0].started_ticks, fault.acts[0].slack_ticks) == (ticks, 0)
    await chaos.close()


async def test_what_somebody_else_stopped_is_left_alone(bench: Bench, victim: Victim) -> None:
    """A process that is stopped already is refused: undo would continue it behind their back."""
    os.kill(victim.pid, signal.SIGSTOP)
    victim.wait_for("T")
    with pytest.raises(VictimError, match="stopped already"):
        await bench.chaos().inject(request("freeze"))


async def test_the_platform_does_not_freeze_itself(bench: Bench) -> None:
    """An instance registered with the platform's own pid is refused."""
    meta = {"pid": str(os.getpid()), "pid_started": str(started_ticks(os.getpid()))}
    bench.view = view(instance("ranker", 1, host="localhost", metadata=meta))
    with pytest.raises(VictimError, match="platform itself"):
        await bench.chaos().inject(request("freeze"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
async def test_processes_of_another_user_are_left_alone(bench: Bench) -> None:
    """Even as root, only processes of the platform's own user are touched."""
    process = await anyio.open_process(["sleep", "60"], user=65534)
    try:
        meta = {"pid": str(process.pid), "pid_started": str(started_ticks(process.pid))}
        bench.view = view(instance("ranker", 1, host="localhost", metadata=meta))
        with pytest.raises(VictimError, match="belongs to user 65534"):
            await bench.chaos().inject(request("freeze"))
    finally:
        process.kill()
        await process.wait()
        await process.aclose()


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


async def test_unknown_faults_are_named(bench: Bench) -> None:
    """Undo of an unknown id lists what runs."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency"))
    with pytest.raises(UnknownFaultError, match=rf"'f-99'; running: {fault.id}"):
        await chaos.undo("f-99")


async def test_requests_at_once_respect_the_limits(bench: Bench) -> None:
    """Starts are taken one after the other, so a burst cannot exceed the number allowed."""
    chaos = bench.chaos()
    refused = []

    async def start() -> None:
        try:
            await chaos.inject(request("latency"))
        except BlastRadiusError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)
    assert chaos.stats().active == 3
    assert len(refused) == 5


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
